import mujoco
import numpy as np
import pytest

from ksim_cli.motion.clip import Clip
from ksim_cli.motion.interpolation import differences, resample, slerp
from tests.motion.motions import about_z, legged, walking


def test_slerp_by_hand():
    start, end = about_z(np.array(0.0)), about_z(np.array(2.0))
    for share in (0.0, 0.25, 1.0):
        blended = slerp(start, end, np.array(share))
        np.testing.assert_allclose(blended, about_z(np.array(2.0 * share)), atol=1e-12)
    half = slerp(np.array([1.0, 0, 0, 0]), np.array([0.0, 1.0, 0, 0]), np.array(0.5))
    np.testing.assert_allclose(half, [np.sqrt(0.5), np.sqrt(0.5), 0, 0], atol=1e-12)


def test_slerp_takes_the_short_way_and_divides_by_no_zero():
    start, end = about_z(np.array(0.2)), -about_z(np.array(0.4))
    np.testing.assert_allclose(slerp(start, end, np.array(0.5)), about_z(np.array(0.3)), atol=1e-12)
    np.testing.assert_allclose(slerp(start, start, np.array(0.3)), start, atol=1e-12)
    np.testing.assert_allclose(slerp(start, -start, np.array(0.3)), start, atol=1e-12)


def test_velocities_of_a_steady_motion_are_its_own():
    model = legged()
    clip = walking(speed=0.5, turn=3.0)
    qpos = clip.qpos.copy()
    qpos[:, 7] = 0.8 * np.arange(21) / 50.0
    velocity = differences(model, qpos, 50.0)
    np.testing.assert_allclose(velocity[:, 0], 0.5, atol=1e-9)
    np.testing.assert_allclose(velocity[:, 3:6], np.tile([0.0, 0.0, 3.0], (21, 1)), atol=1e-9)
    np.testing.assert_allclose(velocity[:, 6], 0.8, atol=1e-9)


@pytest.mark.parametrize("fps", [100.0, 25.0, 150.0])
def test_resampling_is_exact_at_knots(fps):
    model, clip = legged(), walking(turn=3.0)
    fine = resample(model, clip, fps)
    assert fine.seconds == pytest.approx(clip.seconds)
    if fps > 50.0:
        each = round(fps / 50.0)
        np.testing.assert_array_equal(fine.qpos[::each], clip.qpos)
        np.testing.assert_array_equal(fine.qvel[::each], clip.qvel)
    else:
        np.testing.assert_array_equal(fine.qpos, clip.qpos[::2])


def test_between_knots_joints_go_straight_and_orientations_on_the_arc():
    model, clip = legged(), walking(turn=3.0)
    fine = resample(model, clip, 100.0)
    np.testing.assert_allclose(fine.qpos[1, 7:], 0.5 * (clip.qpos[0, 7:] + clip.qpos[1, 7:]))
    np.testing.assert_allclose(fine.qpos[1, 3:7], about_z(np.array(0.03)), atol=1e-12)
    np.testing.assert_allclose(fine.qvel[:, 5], 3.0, atol=1e-9)
    np.testing.assert_allclose(differences(model, fine.qpos, 100.0)[:, 5], 3.0, atol=1e-9)


def test_a_rate_that_does_not_divide_ends_before_the_clip_does():
    model, clip = legged(), walking(frames=21, fps=50.0)
    odd = resample(model, clip, 30.0)
    assert odd.num_frames == 13 and odd.seconds <= clip.seconds
    np.testing.assert_allclose(odd.qpos[:, 0], 0.5 * np.arange(13) / 30.0, atol=1e-12)
    assert resample(model, clip, 50.0) is clip


def test_ball_joints_are_turned_on_the_arc():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint type='ball'/><geom size='.1'/></body></worldbody></mujoco>"
    )
    qpos = about_z(np.array([0.0, 1.0]))
    clip = Clip("ball", 10.0, qpos, differences(model, qpos, 10.0))
    np.testing.assert_allclose(clip.qvel, [[0, 0, 10.0]] * 2, atol=1e-9)
    np.testing.assert_allclose(
        resample(model, clip, 20.0).qpos[1], about_z(np.array(0.5)), atol=1e-12
    )
