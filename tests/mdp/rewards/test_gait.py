"""Rewards of steps, by hand: the robot lifted and put down, one foot or both."""

import numpy as np
import pytest

from tests.legged import MASS, posed, stand, step_of
from tests.mdp.rewards.test_feet import at, term_of

TOUCHING, UP, HIGH = -0.001, 0.03, 0.06


def play(term, model, heights, commands=None):
    carry, values = term.init(None), []
    for height in heights:
        value, carry = term(at(model, height, commands=commands), carry)
        values.append(float(value))
    return values


SWING = [TOUCHING, UP, HIGH, UP, TOUCHING, TOUCHING, UP, TOUCHING]
"""Both feet: a swing up to 0.06 m above the ground, and one up to 0.03."""


def test_the_height_of_a_swing_is_paid_at_landing():
    term, model = term_of(type="feet_swing_height", height=0.05, ground=0.02)
    # Two feet: 2 (0.06 / 0.05 - 1)^2 and 2 (0.03 / 0.05 - 1)^2.
    wanted = [0, 0, 0, 0, 2 * 0.2**2, 0, 0, 2 * 0.4**2]
    np.testing.assert_allclose(play(term, model, SWING), wanted, atol=1e-5)
    term, model = term_of(type="feet_peak_height", height=0.05, ground=0.02)
    np.testing.assert_allclose(play(term, model, SWING), [0, 0, 0, 0, 1, 0, 0, 0.6], atol=1e-4)


def test_told_to_stand_no_swing_is_paid():
    term, model = term_of(type="feet_swing_height", height=0.05, commands=["speed"])
    assert not any(play(term, model, SWING, {"speed": [0.0]}))
    assert any(play(term, model, SWING, {"speed": [1.0]}))


def test_a_landing_is_as_hard_as_its_force():
    term, model = term_of(type="soft_landing")
    step = step_of(stand(model))
    # The robot stands: had its feet been in the air before, they would have landed with its weight.
    landed, carry = term(step, np.zeros(2, bool))
    np.testing.assert_allclose(landed, MASS * 9.81, rtol=0.02)
    assert term(step, carry)[0] == 0.0 and term(step, term.init(None))[0] == 0.0


LEFT_UP = [0, 0, 0.499, 1, 0, 0, 0, 0.5, 0.5, 0, 0]


def on_feet(model, which, commands=None):
    poses = {"both": TOUCHING, "none": UP}
    if which in poses:
        return at(model, poses[which], commands=commands)
    return step_of(posed(model, LEFT_UP), commands)


@pytest.mark.parametrize(("speed", "stands"), [(1.0, 0.0), (0.0, 1.0)])
def test_one_foot_alone(speed, stands):
    term, model = term_of(type="single_foot_contact", grace_period=0.04, commands=["speed"])
    carry, values = term.init(None), []
    for which in ("right", "both", "both", "both", "right", "none", "none"):
        value, carry = term(on_feet(model, which, {"speed": [speed]}), carry)
        values.append(float(value))
    # Two steps of 0.02 s are as long as the grace, so that only the first passes.
    assert values == [1.0, 1.0, stands, stands, 1.0, 1.0, stands]


def test_no_foot_at_all():
    term, model = term_of(type="no_contact", commands=["speed"])
    told = {"speed": [1.0]}
    given = [float(term(on_feet(model, w, told), ())[0]) for w in ("right", "both", "none")]
    assert given == [0.0, 0.0, 1.0]
    assert term(on_feet(model, "none", {"speed": [0.0]}), ())[0] == 0.0
