import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.observations import reference
from ksim_cli.registry import OBSERVATIONS
from tests.motion.motions import about_z, following, on_the_motion, walking

KEY = jax.random.key(0)


def seen(term, model, frame, off=None, loop=True):
    """The observation once the command says the frame that the robot is at, but for `off`."""
    term, model = following(term, [walking()], loop)
    step = on_the_motion(term, model, frame - 1, off=off)
    step = dataclasses.replace(step, commands={"motion": jnp.array([0.0, frame])})
    return np.asarray(term(step, (), KEY)[0])


def test_the_phase_goes_round_once_a_clip():
    for frame, angle in ((0, 0.0), (5, np.pi / 2), (10, np.pi), (25, np.pi / 2)):
        value = seen(reference.MotionPhase(), None, frame)
        np.testing.assert_allclose(value, [np.cos(angle), np.sin(angle)], atol=1e-6)
    half = seen(reference.MotionPhase(), None, 20, loop=False)
    np.testing.assert_allclose(half, [-1.0, 0.0], atol=1e-6)


def test_joints_of_the_motion_now_and_ahead():
    clip = walking()
    value = seen(reference.MotionJointPositions(ahead=(0, 4)), None, 5)
    np.testing.assert_allclose(value, np.r_[clip.qpos[5, 7:], clip.qpos[9, 7:]], atol=1e-6)
    value = seen(reference.MotionJointVelocities(joints=("*_hip",), ahead=(2,)), None, 5)
    np.testing.assert_allclose(value, clip.qvel[7, [6, 8]], atol=1e-5)
    # Past the end a loop begins anew.
    value = seen(reference.MotionJointPositions(ahead=(3,)), None, 19)
    np.testing.assert_allclose(value, clip.qpos[2, 7:], atol=1e-6)


def test_how_far_off_the_base_is():
    def off(qpos):
        qpos[:3] += [0.0, 0.2, 0.1]
        qpos[3:7] = about_z(np.pi / 2)

    assert seen(reference.MotionBasePositionError(), None, 5, off) == pytest.approx(-0.1, abs=1e-6)
    own = seen(reference.MotionBasePositionError(horizontal=True), None, 5, off)
    np.testing.assert_allclose(own, [-0.2, 0.0, -0.1], atol=1e-5)
    turn = seen(reference.MotionBaseOrientationError(), None, 5, off)
    np.testing.assert_allclose(turn, [0.0, 0.0, -np.pi / 2], atol=1e-5)
    np.testing.assert_allclose(seen(reference.MotionBaseOrientationError(), None, 5), 0, atol=1e-6)


@pytest.mark.parametrize("ahead", [[], [-1, 2]])
def test_frames_that_have_passed_are_refused(ahead):
    with pytest.raises(UserError, match="steps from 0 on are needed"):
        OBSERVATIONS.build({"type": "motion_joint_position", "ahead": ahead}, "observations.x")
