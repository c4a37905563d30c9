"""Penalties of differences, worked out by hand on the legged robot."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import bound, posed, step_of

register_terms()
DT = 0.02


def actions(kind, sequence, **section):
    term, model = bound(REWARDS.build({"type": kind, **section}, "rewards.x"))
    term = replace(term, action_size=2)
    data, carry, values = posed(model), term.init(None), []
    for action in sequence:
        value, carry = term(step_of(data, action=jnp.array(action, jnp.float32)), carry)
        values.append(float(value))
    return values


def test_actions_are_differenced_once_they_are_known():
    moves = [(0.0, 0.0), (1.0, 3.0), (1.0, 3.0), (2.0, 3.0)]
    # Firsts: none, (1, 3), (0, 0), (1, 0). Means of squares: 5, 0, 0.5.
    np.testing.assert_allclose(actions("action_velocity", moves), [0, 5, 0, 0.5], rtol=1e-6)
    # Seconds: (-1, -3), (1, 0).
    np.testing.assert_allclose(actions("action_acceleration", moves), [0, 0, 5, 0.5], rtol=1e-6)
    # Thirds: (2, 3).
    np.testing.assert_allclose(actions("action_jerk", moves), [0, 0, 0, 6.5], rtol=1e-6)


def joints(kind, speeds, **section):
    term, model = bound(REWARDS.build({"type": kind, **section}, "rewards.x"))
    carry, values = term.init(None), []
    for speed in speeds:
        data = posed(model, qvel=[9, 9, 9, 9, 9, 9, speed, 0, 0, 0])
        value, carry = term(step_of(data), carry)
        values.append(float(value))
    return values


def test_joints_per_second():
    speeds = [0.0, 0.2, 0.2, 0.6]
    # Four joints, one moves: mean of squares.
    np.testing.assert_allclose(joints("joint_velocity", speeds), [0, 0.01, 0.01, 0.09], rtol=1e-5)
    # 0.2 / 0.02 = 10, 0, 20 rad/s^2.
    np.testing.assert_allclose(joints("joint_acceleration", speeds), [0, 25, 0, 100], rtol=1e-4)
    # -10 / 0.02 = -500, 1000 rad/s^3.
    np.testing.assert_allclose(joints("joint_jerk", speeds), [0, 0, 62500, 250000], rtol=1e-4)
    one = joints("joint_acceleration", speeds, joints=["left_hip"])
    np.testing.assert_allclose(one, [0, 100, 0, 400], rtol=1e-4)


@pytest.mark.parametrize(("kind", "wanted"), [("link_acceleration", 0), ("link_jerk", 1)])
def test_links_move_with_their_own_frame(kind, wanted):
    section = {"type": kind, "bodies": ["left_foot"]}
    term, model = bound(REWARDS.build(section, "rewards.x"))
    carry, values = term.init(None), []
    for speed in (0.0, 1.0, 1.0):
        # The hip turns about y: the foot, 0.48 m below it, moves along -x.
        data = posed(model, qvel=[0, 0, 0, 0, 0, 0, speed, 0, 0, 0])
        value, carry = term(step_of(data), carry)
        values.append(float(value))
    acceleration = 0.48 / DT
    by_hand = ([0, acceleration**2 / 3, 0], [0, 0, (acceleration / DT) ** 2 / 3])[wanted]
    np.testing.assert_allclose(values, by_hand, rtol=1e-4, atol=1e-6)


def test_absolute_values_instead_of_squares():
    moves = [(0.0, 0.0), (1.0, -3.0), (1.0, -3.0)]
    np.testing.assert_allclose(actions("action_velocity", moves, norm="l1"), [0, 2, 0], rtol=1e-6)
    np.testing.assert_allclose(actions("action_magnitude", moves, norm="l1"), [0, 2, 2], rtol=1e-6)
    np.testing.assert_allclose(actions("action_magnitude", moves), [0, 5, 5], rtol=1e-6)
    speeds = [0.0, -0.2, 0.2]
    np.testing.assert_allclose(joints("joint_velocity", speeds, norm="l1"), [0, 0.05, 0.05], 1e-5)
    np.testing.assert_allclose(joints("joint_acceleration", speeds, norm="l1"), [0, 2.5, 5], 1e-4)
