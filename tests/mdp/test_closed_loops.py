"""Closed loops against MuJoCo's own constraints, rows of `efc_pos` and `efc_J`."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.closed_loops import closed_loops, equality_gaps
from ksim_cli.mdp.reset_manager import ResetManager
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import RESETS

register_terms()
EQUALITY = int(mujoco.mjtConstraint.mjCNSTR_EQUALITY)
# Two arms of a base that floats, two bodies of the world, and every constraint that is held.
EVERY_KIND = """<mujoco><option jacobian="dense"/><worldbody>
  <body name="base" pos="0 0 1"><freejoint/><geom size="0.1"/>
    <body name="left" pos="0.1 0 0.1">
      <joint name="a" axis="0 1 0.2" pos="0 0.02 0"/><geom size="0.05"/>
      <site name="one" pos="0.1 0.1 0" quat="1 0.2 0 0"/>
      <body name="hand" pos="0.2 0 0"><joint name="b" type="ball"/><geom size="0.05"/></body>
    </body>
    <body name="right" pos="-0.1 0 0.1">
      <joint name="c" axis="0 1 0"/><joint name="d" axis="1 0 0" ref="0.1"/><geom size="0.05"/>
      <site name="two" pos="0.1 0.1 0"/>
    </body>
  </body>
  <body name="x"><joint name="e" axis="0 0 1"/><geom size="0.1"/></body>
  <body name="y"><joint name="f" axis="0 0 1"/><geom size="0.1"/></body>
</worldbody>
<tendon>
  <fixed name="s"><joint joint="a" coef="1"/><joint joint="c" coef="-2"/></fixed>
  <fixed name="t"><joint joint="e" coef="3"/></fixed>
</tendon>
<equality>
  <connect body1="hand" body2="right" anchor="0.1 0.2 0.3"/>
  <weld body1="left" body2="right" torquescale="0.7"/>
  <connect site1="one" site2="two"/>
  <weld site1="one" site2="two"/>
  <joint joint1="e" joint2="f" polycoef="0.1 0.5 0.2 0.1 0.3"/>
  <joint joint1="f" polycoef="0.3 0 0 0 0"/>
  <tendon tendon1="s" tendon2="t" polycoef="0 1 0.3 0 0"/>
</equality></mujoco>"""
# A crank that a motor drives, a coupler and a rocker whose range ends at 0.7 rad.
FOUR_BAR = """<mujoco><compiler angle="radian"/><option timestep="0.002"/>
<default><joint axis="0 1 0" damping="0.05"/>
  <geom type="capsule" size="0.02" mass="0.3" contype="0" conaffinity="0"/></default>
<worldbody>
  <body name="a"><joint name="crank"/><geom fromto="0 0 0 0 0 -0.2"/>
    <body name="b" pos="0 0 -0.2"><joint name="rod"/><geom fromto="0 0 0 0.3 0 0"/></body>
  </body>
  <body name="c" pos="0.3 0 0"><joint name="rocker" range="-0.7 0.7" limited="true"/>
    <geom fromto="0 0 0 0 0 -0.2"/></body>
</worldbody>
<equality><connect name="pin" body1="b" body2="c" anchor="0.3 0 0"/></equality>
<actuator><motor joint="crank"/></actuator></mujoco>"""


def native(model, qpos, qvel):
    """MuJoCo's data of a float32 pose, and the rows of its equality constraints."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = np.asarray(qpos), np.asarray(qvel)
    mujoco.mj_forward(model, data)
    return data, data.efc_type == EQUALITY


def test_gaps_and_their_derivative_are_mujocos():
    model = mujoco.MjModel.from_xml_string(EVERY_KIND)
    everything = tuple(range(model.neq))
    computed = jax.jit(lambda qpos: equality_gaps(model, everything, qpos))
    for seed in range(3):
        qpos = np.array(model.qpos0)
        change = 0.5 * np.random.default_rng(seed).normal(size=model.nv)
        mujoco.mj_integratePos(model, qpos, change, 1.0)
        data, rows = native(model, qpos, np.zeros(model.nv))
        gaps, jacobian = computed(jnp.asarray(qpos, jnp.float32))
        np.testing.assert_allclose(gaps, data.efc_pos[rows], atol=2e-6)
        wanted = data.efc_J.reshape(-1, model.nv)[rows]
        np.testing.assert_allclose(jacobian, wanted, atol=2e-6)


@pytest.fixture(scope="module")
def four_bar():
    return mujoco.MjModel.from_xml_string(FOUR_BAR)


def drawn(model, num_envs, **sections):
    terms = {name: RESETS.build(s, f"resets.{name}").bind(model) for name, s in sections.items()}
    manager = ResetManager(terms, model, num_envs)
    return jax.jit(lambda key: manager(key, jnp.ones(()), {})[0])(jax.random.key(0))


@pytest.fixture(scope="module")
def poses(four_bar):
    return drawn(
        four_bar,
        10_000,
        velocity={"type": "random_joint_velocity", "scale": 2.0},  # the order does not matter
        position={"type": "random_joint_position", "scale": 1.0},
    )


def test_every_pose_of_a_four_bar_is_closed_and_stays_so(four_bar, poses):
    fast = 0.0
    for qpos, qvel in zip(poses.qpos[:300], poses.qvel[:300], strict=True):
        data, rows = native(four_bar, qpos, qvel)
        assert np.abs(data.efc_pos[rows]).max() < 1e-4
        assert np.abs(data.efc_J.reshape(-1, 3)[rows] @ data.qvel).max() < 1e-5
        data.qvel[:] = 0.0
        mujoco.mj_step(four_bar, data)
        fast = max(fast, np.abs(data.qvel).max())
    # Gravity alone: 9.81 / 0.2 rad/s^2 in 2 ms. What an open loop pulls with was up to 13 rad/s.
    assert 0.0 < fast < 0.15


def test_joints_stay_in_range_and_the_crank_where_it_was_drawn(poses):
    crank, _, rocker = np.asarray(poses.qpos).T
    assert np.abs(rocker).max() <= 0.7 * (1 + 1e-6)
    # A parallelogram: the rocker turns as the crank does, so that its range bounds both.
    np.testing.assert_allclose(crank, rocker, atol=1e-3)
    # Drawn from U(-1, 1): what lies beyond the rocker's range ends at its end, not at home.
    inside = np.abs(crank) < 0.65
    np.testing.assert_allclose(inside.mean(), 0.65, atol=0.05)
    np.testing.assert_allclose(np.std(crank[inside]), 0.65 / np.sqrt(3), rtol=0.05)
    assert np.std(np.asarray(poses.qvel)[:, 0]) > 0.5


def test_the_base_of_a_robot_with_loops_stays_where_it_is():
    model = mujoco.MjModel.from_xml_string(
        FOUR_BAR.replace(
            "<worldbody>",
            '<worldbody><body pos="0 0 1"><freejoint/><geom size="0.1" type="sphere"/>',
        ).replace("</worldbody>", "</body></worldbody>")
    )
    pose = drawn(
        model,
        64,
        heading={"type": "random_heading"},
        velocity={"type": "base_xy_velocity", "x_range": 1.0, "y_range": 1.0},
        position={"type": "random_joint_position", "scale": 0.5},
    )
    assert np.asarray(pose.qpos)[:, :3].tolist() == [[0, 0, 1]] * 64
    assert np.std(pose.qpos[:, 6]) > 0.3 and np.std(pose.qvel[:, 0]) > 0.3
    for qpos, qvel in zip(pose.qpos, pose.qvel, strict=True):
        data, rows = native(model, qpos, qvel)
        assert np.abs(data.efc_pos[rows]).max() < 1e-4
        assert np.abs(data.efc_J.reshape(-1, model.nv)[rows] @ data.qvel).max() < 1e-5


def test_a_mimic_joint_follows():
    finger = """<mujoco><worldbody>
      <body><joint name="one" type="slide" range="0 0.04"/><geom size="0.01"/></body>
      <body pos="0 1 0"><joint name="two" type="slide" range="0 0.04"/><geom size="0.01"/></body>
      </worldbody><equality><joint joint1="two" joint2="one"/></equality>
      <actuator><motor joint="one"/></actuator></mujoco>"""
    model = mujoco.MjModel.from_xml_string(
        finger.replace("<mujoco>", '<mujoco><compiler autolimits="true"/>')
    )
    pose = drawn(model, 200, position={"type": "random_joint_position", "scale": 0.03})
    one, two = np.asarray(pose.qpos).T
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert one.min() >= 0.0 and one.max() > 0.025


def test_a_rod_on_a_ball_joint_follows_its_crank():
    rod = """<mujoco><compiler angle="radian"/><worldbody>
      <body name="disc"><joint name="crank" axis="0 0 1"/><geom size="0.02"/>
        <body name="rod" pos="0.1 0 0"><joint name="ball" type="ball"/><geom size="0.02"/></body>
      </body>
      <body name="piston" pos="0.4 0 0.1"><joint name="piston" type="slide" axis="1 0 0"/>
        <geom size="0.02"/></body></worldbody>
      <equality><connect body1="piston" body2="rod" anchor="0 0 0"/></equality>
      <actuator><motor joint="crank"/></actuator></mujoco>"""
    model = mujoco.MjModel.from_xml_string(rod)
    pose = drawn(
        model, 64, position={"type": "random_joint_position", "scale": 1.5, "joints": ["crank"]}
    )
    np.testing.assert_allclose(np.std(pose.qpos[:, 0]), 1.5 / np.sqrt(3), rtol=0.2)
    assert np.ptp(pose.qpos[:, 5]) > 0.05
    for qpos in pose.qpos:
        data, rows = native(model, qpos, np.zeros(model.nv))
        assert np.abs(data.efc_pos[rows]).max() < 1e-4


@pytest.mark.parametrize(
    "change",
    [
        ("<connect", '<connect active="false"'),
        ("<option", '<option><flag equality="disable"/></option><option'),
        ('<connect name="pin" body1="b" body2="c" anchor="0.3 0 0"/>', ""),
        # A handle, which pulls; a weld of what cannot move anyway.
        ('body2="c"', 'body2="handle"'),
        ('body1="b" body2="c"', 'body1="wall"'),
    ],
)
def test_what_is_not_held_is_no_loop(change):
    more = """<body name="handle" mocap="true"/><body name="wall"/></worldbody>"""
    xml = FOUR_BAR.replace("</worldbody>", more).replace(*change)
    model = mujoco.MjModel.from_xml_string(xml)
    assert closed_loops(model, home_pose(model)) is None


def test_a_home_pose_that_is_open_is_closed_or_refused(four_bar):
    near = np.array([0.2, -0.1, 0.3])
    loops = closed_loops(four_bar, near)
    data, rows = native(four_bar, loops.home, np.zeros(3))
    assert np.abs(data.efc_pos[rows]).max() < 1e-4
    np.testing.assert_allclose(loops.home, near, atol=0.2)
    apart = mujoco.MjModel.from_xml_string(FOUR_BAR)
    apart.eq_data[0, :3] += [1.0, 0.0, 0.0]
    with pytest.raises(UserError, match=r"home pose does not satisfy pin .*Mend the keyframe"):
        closed_loops(apart, apart.qpos0)


def test_poses_that_cannot_be_closed_are_as_at_home_and_most_must_not_be(four_bar):
    loops = closed_loops(four_bar, four_bar.qpos0)
    nan = jnp.full(3, jnp.nan)
    qpos, _, found = jax.jit(loops.close)(nan, jnp.zeros(3))
    assert not found and not qpos.any()
    with pytest.raises(UserError, match=r"resets\.far: \d+ of 64 draws .*pin.*smaller scale"):
        drawn(four_bar, 1, far={"type": "random_joint_position", "scale": 1e9})


def test_recorded_motion_is_taken_as_it_is(four_bar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("motion.npz", qpos=np.full((1, 3), 0.5), qvel=np.full((1, 3), 0.1))
    motion = {"type": "motion_state", "path": "motion.npz"}
    pose = drawn(four_bar, 2, motion=motion)
    assert (pose.qpos == 0.5).all() and (pose.qvel == np.float32(0.1)).all()
