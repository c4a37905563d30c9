import dataclasses

import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import RetargetConfig
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.points import (
    Frames,
    Points,
    aimed,
    find_scale,
    frames_of,
    markers,
    match,
    points_of,
)
from ksim_cli.motion.retarget import at_limits, retarget
from tests.legged import LEGGED
from tests.motion.motions import legged, walking

CONFIG = RetargetConfig(ground=False)
BALL = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <body name="arm">
      <joint name="shoulder" type="ball" range="0 1"/>
      <geom size="0.02"/>
      <site name="elbow" pos="0.3 0 0"/>
      <site name="thumb" pos="0.3 0.1 0"/>
      <body name="hand" pos="0.3 0 0">
        <joint name="reach" type="slide" axis="1 0 0" range="0 0.1"/>
        <geom size="0.02"/>
        <site name="tip" pos="0.1 0 0"/>
      </body>
    </body>
    <body name="stone" pos="1 0 0"><freejoint name="stone"/><geom size="0.02"/></body>
  </worldbody>
</mujoco>
"""


def keypoints(model, qpos, names, turns=True, scale=1.0):
    """Where some bodies and sites are, as keypoints."""
    chosen = [markers(model)[name] for name in names]
    frames = frames_of(model, chosen, qpos)
    quaternions = frames.quaternions if turns else None
    return Points("kp.npz", 50.0, tuple(names), Frames(scale * frames.positions, quaternions))


def brought(model, points, scale=1.0, config=CONFIG):
    pairs = match(model, points, config.points, config.weights)
    aim = aimed(model, pairs, points, scale, config.offset)
    return retarget(model, pairs, aim, config, ("x", points.fps))


def test_known_angles_are_recovered_from_trunk_and_soles():
    model, clip = legged(), walking(turn=2.0)
    names = ("trunk", "left_sole", "right_sole", "left_shank", "right_shank")
    done = brought(model, keypoints(model, clip.qpos, names))
    np.testing.assert_allclose(done.clip.qpos[:, 7:], clip.qpos[:, 7:], atol=1e-3)
    np.testing.assert_allclose(done.clip.qpos[:, :7], clip.qpos[:, :7], atol=1e-3)
    np.testing.assert_allclose(done.clip.qvel[1:-1], clip.qvel[1:-1], atol=0.05)
    assert done.distances.shape == (21, 5) and done.distances.max() < 1e-3
    assert done.angles is not None and done.angles.max() < 2e-3
    assert done.clip.fps == 50.0 and done.lift == 0.0 and not done.at_limit


def test_positions_alone_do_where_they_fix_the_angles():
    model, clip = legged(), walking(turn=2.0)
    names = ("trunk", "left_thigh", "right_thigh", "left_shank", "right_shank", "imu")
    points = keypoints(model, clip.qpos, (*names, "left_sole", "right_sole"), turns=False)
    done = brought(model, points)
    assert done.angles is None
    # Hips and soles of a sagittal leg on either side: enough for base and legs.
    np.testing.assert_allclose(done.clip.qpos[:, 7:], clip.qpos[:, 7:], atol=1e-3)


def test_what_lies_beyond_a_limit_is_held_there_and_told():
    wide = LEGGED.replace('range="-0.5 1.5"', 'range="-1.5 1.5"')
    far = mujoco.MjModel.from_xml_string(wide)
    clip = walking(model=far)
    clip.qpos[:, 8] = np.linspace(0.2, -1.2, 21)  # the knee may go to -0.5
    model = legged()
    names = ("trunk", "left_foot", "right_foot", "left_shank", "right_shank")
    done = brought(model, keypoints(far, clip.qpos, names))
    free = clip.qpos[:, 8] > -0.5
    np.testing.assert_allclose(done.clip.qpos[free, 7:], clip.qpos[free, 7:], atol=1e-3)
    assert (done.clip.qpos[:, 8] >= -0.5 - 1e-9).all()
    assert done.at_limit == {"left_knee": pytest.approx((~free).mean(), abs=0.05)}
    assert done.distances[-1, 1] > 0.04
    # And the way back is found again.
    there = keypoints(far, clip.qpos[::-1], names)
    back = brought(model, there).clip.qpos[::-1]
    np.testing.assert_allclose(back[free, 7:], clip.qpos[free, 7:], atol=1e-3)


def scaled(xml, factor):
    """The robot, every length in its bodies, geoms and sites times a factor."""
    spec = mujoco.MjSpec.from_string(xml)
    for body in [each for each in spec.bodies if each.name != "world"]:
        body.pos = factor * body.pos
        for each in (*body.geoms, *body.sites):
            each.pos = factor * each.pos
            each.size = factor * each.size
            if not np.isnan(getattr(each, "fromto", np.full(1, np.nan))[0]):
                each.fromto = factor * each.fromto
    return spec.compile()


def test_a_scaled_copys_motion_gives_the_same_angles():
    model, large = legged(), scaled(LEGGED, 1.7)
    clip = walking(turn=2.0)
    qpos = clip.qpos.copy()
    qpos[:, :3] *= 1.7
    points = points_of(large, Clip("big", 50.0, qpos, clip.qvel))
    pairs = match(model, points, {}, {})
    assert find_scale(model, pairs, points) == pytest.approx(1 / 1.7, rel=1e-6)
    done = brought(model, points, scale=1 / 1.7)
    np.testing.assert_allclose(done.clip.qpos, clip.qpos, atol=1e-3)
    # Of points that all move against each other the reference poses tell the size.
    some = match(model, points, dict.fromkeys(set(markers(model)) - {"trunk", "left_sole"}), {})
    assert find_scale(model, some, points) == pytest.approx(1 / 1.7, rel=1e-6)
    free = dataclasses.replace(points, rest=None)
    assert find_scale(model, some, free) is None


def test_turns_are_those_since_the_reference_pose():
    """A robot whose bodies' frames lie differently, and which else is the same."""
    other = LEGGED.replace(
        '<body name="left_foot" pos="0 0 -0.24">',
        '<body name="left_foot" pos="0 0 -0.24" quat="0 1 0 0">',
    )
    model, clip = legged(), walking()
    points = points_of(mujoco.MjModel.from_xml_string(other), clip)
    points = dataclasses.replace(points, rest=points.rest)
    listed = {"left_sole": None}  # its place in the turned frame is another
    done = brought(model, points, config=dataclasses.replace(CONFIG, points=listed))
    np.testing.assert_allclose(done.clip.qpos, clip.qpos, atol=1e-3)


def test_a_ball_joint_a_slide_and_a_stone():
    model = mujoco.MjModel.from_xml_string(BALL)
    time = np.linspace(0.0, 1.0, 11)
    qpos = np.repeat(model.qpos0[None], 11, axis=0)
    axis = np.array([1.0, 2.0, -1.0]) / np.sqrt(6.0)
    half = 0.75 * time  # up to 1.5 rad, and 1 is the limit
    qpos[:, 0], qpos[:, 1:4] = np.cos(half), np.sin(half)[:, None] * axis
    qpos[:, 4] = 0.1 * time
    qpos[:, 5] = 3.0  # the stone has moved
    names = ("elbow", "thumb", "tip", "stone")
    done = brought(model, keypoints(model, qpos, names, turns=False))
    within = 2.0 * half < 1.0
    np.testing.assert_allclose(done.clip.qpos[within, :5], qpos[within, :5], atol=1e-3)
    angles = 2.0 * np.arccos(done.clip.qpos[:, 0])
    assert angles.max() == pytest.approx(1.0, abs=1e-6)
    assert (done.clip.qpos[:, 5:] == model.qpos0[5:]).all(), "not the robot's"
    assert done.at_limit["shoulder"] == pytest.approx((~within).mean(), abs=0.1)


def test_home_decides_what_no_point_does():
    model, clip = legged(), walking()
    points = keypoints(model, clip.qpos, ("trunk", "left_sole"))
    done = brought(model, points)
    np.testing.assert_array_equal(done.clip.qpos[:, 9:], 0.0)
    held = dataclasses.replace(CONFIG, home_weight=1e3)
    assert np.abs(brought(model, points, config=held).clip.qpos[:, 7:]).max() < 1e-3
    slow = dataclasses.replace(CONFIG, smoothness_weight=1e3)
    steps = np.diff(brought(model, points, config=slow).clip.qpos, axis=0)
    assert np.abs(steps).max() < 1e-3


def test_the_whole_is_put_onto_the_ground():
    model, clip = legged(), walking()
    points = keypoints(model, clip.qpos, ("trunk", "left_foot", "right_foot"))
    done = brought(model, points, config=RetargetConfig(offset=[0.0, 0.0, 0.3]))
    lowest = np.inf
    for name in ("left_toe", "left_heel", "right_toe", "right_heel"):
        data = mujoco.MjData(model)
        for pose in done.clip.qpos:
            data.qpos[:] = pose
            mujoco.mj_kinematics(model, data)
            lowest = min(lowest, data.geom(name).xpos[2] - 0.02)
    assert lowest == pytest.approx(0.0, abs=1e-9)
    assert done.lift == pytest.approx(done.clip.qpos[0, 2] - 0.8, abs=1e-3)
    assert done.distances.max() < 1e-3, "of the places before the lift"


def test_weights_say_which_point_counts():
    model, clip = legged(), walking()
    points = keypoints(model, clip.qpos, ("trunk", "left_sole", "right_sole"), turns=False)
    long = dataclasses.replace(points, frames=Frames(1.3 * points.frames.positions))
    even = brought(model, long)
    config = dataclasses.replace(CONFIG, weights={"left_sole": 100.0})
    heavy = brought(model, long, config=config)
    assert heavy.distances[:, 1].mean() < 0.1 * even.distances[:, 1].mean()


def test_shares_at_limits_by_hand():
    model = legged()
    poses = np.repeat(model.qpos0[None], 4, axis=0)
    poses[0, 7], poses[1, 7], poses[2, 8] = 1.0, -1.0, 1.4995
    assert at_limits(model, poses) == {"left_hip": 0.5, "left_knee": 0.25}
