"""Forward kinematics of a few bodies, in JAX, as `mj_kinematics` computes them on the host.

Orientations are matrices: of a program with many of them that makes the smallest.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp import maths
from ksim_cli.physics.names import SCALAR_JOINTS

_FREE, _BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
_SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)
_CROSS = np.stack([np.cross(np.eye(3), axis) for axis in np.eye(3)], axis=-1).astype(np.float32)

Frame = tuple[jax.Array, jax.Array]
"""Position `[3]`, m, and orientation `[3, 3]` in the world."""


def ancestors(model: mujoco.MjModel, bodies: Iterable[int]) -> list[int]:
    """Bodies and all that carry them, but the world, each after the one that carries it."""
    found: set[int] = set()
    for body in bodies:
        while body and body not in found:
            found.add(body)
            body = int(model.body_parentid[body])
    return sorted(found)


def body_frames(
    model: mujoco.MjModel, qpos: jax.Array, change: jax.Array, bodies: Iterable[int]
) -> dict[int, Frame]:
    """Frames of bodies (`xpos`, `xmat`) and of all that carry them, by index.

    Args:
        model: the compiled model.
        qpos: `[nq]` positions.
        change: `[nv]` small change of them, as by `displace`, to first order.
        bodies: indices of bodies.
    """
    frames: dict[int, Frame] = {0: (jnp.zeros(3), jnp.eye(3))}
    for body in ancestors(model, bodies):
        position, turn = frames[int(model.body_parentid[body])]
        fixed = jnp.asarray(rotation(model.body_quat[body]), jnp.float32)
        frame = position + turn @ jnp.asarray(model.body_pos[body], jnp.float32), turn @ fixed
        first = int(model.body_jntadr[body])
        for joint in range(first, first + int(model.body_jntnum[body])):
            frame = _moved(model, qpos, change, joint, frame)
        frames[body] = frame
    return frames


def displace(model: mujoco.MjModel, qpos: jax.Array, change: jax.Array) -> jax.Array:
    """Positions `[nq]` changed by small `change` `[nv]`, as `mj_integratePos` to first order."""
    scalar = [j for j in range(model.njnt) if model.jnt_type[j] in SCALAR_JOINTS]
    qpos = qpos.at[model.jnt_qposadr[scalar]].add(change[model.jnt_dofadr[scalar]])
    for joint in sorted({*range(model.njnt)} - {*scalar}):
        at, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        if model.jnt_type[joint] == _FREE:
            qpos = qpos.at[at : at + 3].add(change[dof : dof + 3])
            at, dof = at + 3, dof + 3
        half = jnp.concatenate([jnp.ones(1), 0.5 * change[dof : dof + 3]])
        turned = maths.multiply(qpos[at : at + 4], half)
        qpos = qpos.at[at : at + 4].set(turned / jnp.linalg.norm(turned))
    return qpos


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """`[3, 3]` the matrix of a quaternion of the model."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def _moved(
    model: mujoco.MjModel, qpos: jax.Array, change: jax.Array, joint: int, frame: Frame
) -> Frame:
    """A body's frame after one of its joints."""
    at, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    kind = model.jnt_type[joint]
    if kind == _FREE:
        turn = _ball(qpos[at + 3 : at + 7], change[dof + 3 : dof + 6])
        return qpos[at : at + 3] + change[dof : dof + 3], turn
    position, turn = frame
    axis = np.asarray(model.jnt_axis[joint], np.float32)
    if kind == _SLIDE:
        way = qpos[at] + change[dof] - jnp.float32(model.qpos0[at])
        return position + way * (turn @ axis), turn
    if kind == _BALL:
        own = _ball(qpos[at : at + 4], change[dof : dof + 3])
    else:
        angle = qpos[at] + change[dof] - jnp.float32(model.qpos0[at])
        cross = np.cross(np.eye(3), axis).astype(np.float32)  # (v -> axis x v), as a matrix
        own = jnp.eye(3) + jnp.sin(angle) * cross + (1.0 - jnp.cos(angle)) * (cross @ cross)
    arm = jnp.asarray(model.jnt_pos[joint], jnp.float32)
    anchor = position + turn @ arm
    turn = turn @ own
    return anchor - turn @ arm, turn


def _ball(quaternion: jax.Array, change: jax.Array) -> jax.Array:
    """`[3, 3]` orientation of a ball joint, turned a little in its own frame."""
    w, v = quaternion[0], quaternion[1:]
    square = quaternion @ quaternion
    turn = (w * w - v @ v) * jnp.eye(3) + 2.0 * jnp.outer(v, v) + 2.0 * w * _skew(v)
    return turn / square @ (jnp.eye(3) + _skew(change))


def _skew(vector: jax.Array) -> jax.Array:
    """`[3, 3]` the matrix of the cross product with a vector on the left."""
    return jnp.asarray(_CROSS) @ vector
