import jax
import numpy as np
import pytest

from ksim_cli.mdp.reference_episodes import (
    FarFromMotionBase,
    FarFromMotionBodies,
    FarFromMotionJoints,
    MotionEnd,
)
from tests.motion.motions import about_z, following, on_the_motion, swaying, walking
from tests.robot import make_env


def ends(term, off=None, frame=3, loop=True):
    term, model = following(term, [walking()], loop)
    return int(term(on_the_motion(term, model, frame, off=off), ())[0])


def by(index, amount):
    def off(qpos):
        qpos[index] += amount

    return off


def turned(angle):
    def off(qpos):
        qpos[3:7] = about_z(angle)

    return off


@pytest.mark.parametrize(
    ("term", "inside", "beyond"),
    [
        (FarFromMotionBase(max_distance=0.3), by(1, 0.29), by(1, -0.31)),
        (FarFromMotionBase(max_angle=0.5), turned(0.49), turned(-0.51)),
        (FarFromMotionJoints(max_error=0.4), by(8, 0.39), by(8, -0.41)),
        (FarFromMotionJoints(joints=("left_*",), max_error=0.4), by(10, 0.9), by(7, 0.41)),
        # The foot's distance on an arc of 0.24 m about the knee: 0.0479 m at 0.2 rad.
        (FarFromMotionBodies(max_distance=0.0479), by(8, 0.199), by(8, 0.201)),
    ],
)
def test_episodes_fail_beyond_a_boundary_and_not_before(term, inside, beyond):
    assert ends(term) == 0 and ends(term, inside) == 0 and ends(term, beyond) == -1


def test_what_is_null_ends_nothing():
    free = FarFromMotionBase(max_distance=None, max_angle=None)
    assert ends(free, by(0, 100.0)) == 0 and ends(free, turned(3.0)) == 0


def test_a_clip_that_does_not_loop_ends():
    assert MotionEnd.truncates
    given = [ends(MotionEnd(), frame=frame, loop=False) for frame in (17, 18, 19, 25)]
    assert given == [0, 0, 1, 1]
    assert ends(MotionEnd(), frame=25) == 0
    once, _ = following(MotionEnd(), [walking(), walking(frames=31)], loop=False)
    assert once.longest_episode() == pytest.approx(0.6)
    assert following(MotionEnd(), [walking()])[0].longest_episode() is None


def test_episodes_begin_in_the_motions_state_exactly_whatever_else_is_reset():
    env = make_env(
        num_envs=16,
        motions=swaying,
        commands={"motion": {"type": "motion"}},
        resets={
            "motion": {"type": "motion"},
            "joints": {"type": "random_joint_position", "scale": 1.0},
        },
    )
    state = jax.jit(env.init)(jax.random.key(3))
    moments = np.asarray(state.commands["motion"], int)
    assert len(set(moments[:, 1])) > 5
    motions = env.mdp.commands["motion"].clips
    view = env.engine.view(state.physics)
    np.testing.assert_array_equal(view.qpos, motions.qpos[moments[:, 1]])
    np.testing.assert_array_equal(view.qvel, motions.qvel[moments[:, 1]])
