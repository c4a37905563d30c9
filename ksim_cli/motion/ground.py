"""Motions put onto the ground."""

import mujoco
import numpy as np

from ksim_cli.physics.free_base import base_body, free_joint_of

_GEOM = mujoco.mjtGeom


def base_joint(model: mujoco.MjModel) -> int | None:
    """Index of the free joint of a robot's base; None: it does not float.

    Raises:
        UserError: several bodies may be the base.
    """
    is_free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    if not is_free.any():
        return None
    base = base_body(model)
    jointed = model.body_rootid[model.jnt_bodyid[~is_free]]
    if jointed.size and base not in jointed:  # a thing that lies about a robot that stands
        return None
    return free_joint_of(model, base)


def lift_onto_ground(model: mujoco.MjModel, poses: np.ndarray) -> float:
    """Raise or lower all poses `[F, nq]`, in place, so that the robot's lowest point touches.

    The ground is the highest plane of the world's, else z = 0. It is the points of geoms that can
    touch something; where none can, of all.

    Returns:
        By how much, m; 0 for a robot that does not float.
    """
    base = base_joint(model)
    if base is None or not len(geoms := _touching(model, int(model.jnt_bodyid[base]))):
        return 0.0
    data = mujoco.MjData(model)
    lowest = np.inf
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        lowest = min(lowest, *(lowest_point(model, data, geom) for geom in geoms))
    is_floor = (model.geom_type == _GEOM.mjGEOM_PLANE) & (model.geom_bodyid == 0)
    lift = float(model.geom_pos[is_floor, 2].max() if is_floor.any() else 0.0) - lowest
    poses[:, int(model.jnt_qposadr[base]) + 2] += lift
    return lift


def lowest_point(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> float:
    """Height, m, of the lowest point of a sphere, capsule, cylinder, box, ellipsoid or mesh."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    up = data.geom_xmat[geom].reshape(3, 3)[2]  # the vertical in the geom's frame
    height = float(data.geom_xpos[geom, 2])
    if kind == _GEOM.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        return height + float(
            (model.mesh_vert[first : first + model.mesh_vertnum[mesh]] @ up).min()
        )
    if kind == _GEOM.mjGEOM_BOX:
        return height - float(np.abs(up) @ size)
    if kind == _GEOM.mjGEOM_ELLIPSOID:
        return height - float(np.linalg.norm(up * size))
    if kind == _GEOM.mjGEOM_CAPSULE:
        return height - float(size[0] + abs(up[2]) * size[1])
    if kind == _GEOM.mjGEOM_CYLINDER:
        return height - float(size[0] * np.hypot(up[0], up[1]) + abs(up[2]) * size[1])
    return height - float(size[0])


def _touching(model: mujoco.MjModel, base: int) -> list[int]:
    """Geoms of a robot that can touch something; if none can, all."""
    solid = (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_ELLIPSOID)
    solid += (_GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_BOX, _GEOM.mjGEOM_MESH)
    own = (model.body_rootid[model.geom_bodyid] == base) & np.isin(model.geom_type, solid)
    touches = own & ((model.geom_contype | model.geom_conaffinity) > 0)
    return np.flatnonzero(touches if touches.any() else own).tolist()
