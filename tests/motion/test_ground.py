import mujoco
import numpy as np
import pytest

from ksim_cli.motion.ground import base_joint, lift_onto_ground, lowest_point
from tests.motion.motions import legged, walking

SOLIDS = """
<mujoco>
  <asset><mesh name="rod" vertex="0 0 0  0.1 0 0  0 0.1 0  0 0 0.3"/></asset>
  <worldbody>
    <geom type="plane" pos="0 0 0.25" size="1 1 1"/>
    <body name="thing" pos="0 0 1" euler="30 40 50">
      <freejoint/>
      <geom type="sphere" size="0.1"/>
      <geom type="capsule" size="0.1 0.2"/>
      <geom type="cylinder" size="0.1 0.2"/>
      <geom type="box" size="0.1 0.2 0.3"/>
      <geom type="ellipsoid" size="0.1 0.2 0.3"/>
      <geom type="mesh" mesh="rod"/>
    </body>
  </worldbody>
</mujoco>
"""
ARM = """
<mujoco><worldbody>
  <body name="arm"><joint name="elbow" axis="0 1 0"/><geom size="0.1"/></body>
  <body name="stone" pos="1 0 0"><freejoint/><geom size="0.1"/></body>
</worldbody></mujoco>
"""


def surface(model, geom):
    """Points of a geom's surface in its frame."""
    random = np.random.default_rng(0).normal(size=(200_000, 3))
    sphere = random / np.linalg.norm(random, axis=1, keepdims=True)
    size = model.geom_size[geom]
    kind = mujoco.mjtGeom(model.geom_type[geom]).name.removeprefix("mjGEOM_")
    up = np.sign(sphere[:, 2:]) * np.array([[0.0, 0.0, 1.0]])
    ring = sphere * [1.0, 1.0, 0.0]
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)
    return {
        "SPHERE": size[0] * sphere,
        "CAPSULE": size[0] * sphere + size[1] * up,
        "CYLINDER": size[0] * ring + size[1] * up,
        "BOX": np.sign(sphere) * size,
        "ELLIPSOID": sphere * size,
        "MESH": model.mesh_vert,
    }[kind]


def test_the_lowest_point_of_every_solid_is_that_of_its_surface():
    model = mujoco.MjModel.from_xml_string(SOLIDS)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    for geom in range(1, model.ngeom):
        rotation = data.geom_xmat[geom].reshape(3, 3)
        expected = (data.geom_xpos[geom] + surface(model, geom) @ rotation.T)[:, 2].min()
        assert lowest_point(model, data, geom) == pytest.approx(expected, abs=2e-4)
    poses = model.qpos0[None].copy()
    lift = lift_onto_ground(model, poses)
    data.qpos[:] = poses[0]
    mujoco.mj_kinematics(model, data)
    heights = [lowest_point(model, data, geom) for geom in range(1, model.ngeom)]
    assert min(heights) == pytest.approx(0.25) and poses[0, 2] == pytest.approx(1.0 + lift)


def test_only_what_floats_is_lifted():
    model = mujoco.MjModel.from_xml_string(ARM)
    assert base_joint(model) is None, "a stone beside an arm is no base"
    poses = model.qpos0[None] + 0.0
    assert lift_onto_ground(model, poses) == 0.0 and (poses == model.qpos0).all()
    assert base_joint(legged()) == 0
    poses = walking().qpos
    lift = lift_onto_ground(legged(), poses)
    np.testing.assert_allclose(poses[:, 2], 0.5 + lift)
