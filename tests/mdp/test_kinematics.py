import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.mdp.kinematics import ancestors, body_frames, displace

# Every kind of joint, off the bodies' origins, two on one body, a reference that is not zero.
EVERY_JOINT = """<mujoco><worldbody>
  <body name="base" pos="0 0 1"><freejoint/><geom size="0.1"/>
    <body name="arm" pos="0.1 0 0.1" quat="1 0.3 0 0.1">
      <joint name="swing" axis="0 1 0.2" pos="0 0.02 0" ref="0.1"/><geom size="0.05"/>
      <body name="hand" pos="0.2 0 0">
        <joint name="wrist" type="ball"/>
        <joint name="reach" type="slide" axis="1 0 0" pos="0.1 0 0"/><geom size="0.05"/>
      </body>
    </body>
    <body name="tail"><joint axis="0 0 1"/><geom size="0.05" pos="0.2 0 0"/></body>
  </body>
</worldbody></mujoco>"""


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(EVERY_JOINT)


def pose(model, seed, size):
    qpos = np.array(model.qpos0)
    change = size * np.random.default_rng(seed).normal(size=model.nv)
    mujoco.mj_integratePos(model, qpos, change, 1.0)
    return qpos, change


@pytest.mark.parametrize("seed", range(3))
def test_frames_are_mujocos(model, seed):
    data = mujoco.MjData(model)
    data.qpos[:], _ = pose(model, seed, 1.0)
    mujoco.mj_kinematics(model, data)
    qpos, none = jnp.asarray(data.qpos, jnp.float32), jnp.zeros(model.nv)
    frames = body_frames(model, qpos, none, [model.body("hand").id])
    assert set(frames) == {model.body(name).id for name in ("world", "base", "arm", "hand")}
    for body, (position, turn) in frames.items():
        np.testing.assert_allclose(position, data.xpos[body], atol=1e-6)
        np.testing.assert_allclose(turn.ravel(), data.xmat[body], atol=2e-6)


def test_a_small_displacement_is_mujocos(model):
    start, _ = pose(model, 0, 1.0)
    change = pose(model, 1, 1e-3)[1]
    wanted = np.array(start)
    mujoco.mj_integratePos(model, wanted, change, 1.0)
    got = jax.jit(lambda q, v: displace(model, q, v))(start, change)
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    hand = model.body("hand").id
    qpos, none = jnp.asarray(start, jnp.float32), jnp.zeros(model.nv)
    by_change = body_frames(model, qpos, jnp.asarray(change, jnp.float32), [hand])[hand]
    for one, other in zip(by_change, body_frames(model, got, none, [hand])[hand], strict=True):
        np.testing.assert_allclose(one, other, atol=5e-6)


def test_those_that_carry_a_body_come_before_it(model):
    hand, arm, base = (model.body(name).id for name in ("hand", "arm", "base"))
    assert ancestors(model, [hand, base]) == [base, arm, hand]
