"""Rewards of how bodies are held, worked out by hand on the legged robot."""

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import LEGGED, bound, posed, step_of

register_terms()


def value(section, qpos=None, qvel=None, xml=LEGGED, **changes):
    term, model = bound(REWARDS.build(section, "rewards.x"), xml)
    return float(term(step_of(posed(model, qpos, qvel), **changes), ())[0])


def tilted(angle, axis):
    half = np.zeros(3)
    half["xyz".index(axis)] = np.sin(angle / 2)
    return [0, 0, 0.5, np.cos(angle / 2), *half, 0, 0, 0, 0]


@pytest.mark.parametrize(("code", "wanted"), [(-1, 0.0), (0, 1.0), (1, 1.0)])
def test_staying_alive(code, wanted):
    assert value({"type": "stay_alive"}, termination=jnp.int32(code)) == wanted


@pytest.mark.parametrize("axis", ["x", "y"])
def test_upright_falls_from_one_to_zero_upside_down(axis):
    # (1 + cos tilt) / 2.
    for tilt, wanted in ((0.0, 1.0), (np.pi / 3, 0.75), (np.pi / 2, 0.5), (np.pi, 0.0)):
        got = value({"type": "upright"}, tilted(tilt, axis))
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    np.testing.assert_allclose(value({"type": "upright"}, tilted(2.0, "z")), 1.0, atol=1e-5)


def test_roll_and_not_pitch():
    # sin^2 of 30 degrees.
    np.testing.assert_allclose(value({"type": "no_roll"}, tilted(np.pi / 6, "x")), 0.25, rtol=1e-4)
    assert value({"type": "no_roll"}, tilted(np.pi / 6, "y")) == pytest.approx(0.0, abs=1e-9)


def test_flat_feet():
    # The left knee bent by 30 degrees, the right foot level: (sin^2 30 + 0) / 2.
    bent = [0, 0, 0.5, 1, 0, 0, 0, 0, np.pi / 6, 0, 0]
    section = {"type": "flat_body", "bodies": ["*_foot"]}
    np.testing.assert_allclose(value(section, bent), 0.125, rtol=1e-4)
    # Level is what lies on its back, too.
    np.testing.assert_allclose(value(section, tilted(np.pi, "x")), 0.0, atol=1e-9)


def test_off_axis_velocity_is_vertical_speed_and_roll_and_pitch_rates():
    # 0.5^2 + 0.05 (1^2 + 2^2); forward speed and yaw rate do not count.
    velocity = [3.0, -1.0, 0.5, 1.0, 2.0, 4.0, 0, 0, 0, 0]
    np.testing.assert_allclose(value({"type": "off_axis_velocity"}, qvel=velocity), 0.5, rtol=1e-5)
    section = {"type": "off_axis_velocity", "angular_weight": 0.2}
    np.testing.assert_allclose(value(section, qvel=velocity), 1.25, rtol=1e-5)


def test_a_range_of_heights():
    section = {"type": "base_height_range", "low": 0.4, "high": 0.48, "sigma": 0.02}
    # 0.5 is 0.02 above: exp(-1).
    np.testing.assert_allclose(value(section), np.exp(-1), rtol=1e-3)
    assert value({**section, "high": 0.55}) == 1.0


def test_a_sparse_height():
    assert value({"type": "sparse_target_height", "height": 0.49}) == 1.0
    assert value({"type": "sparse_target_height", "height": 0.51}) == 0.0


def test_a_fixed_base_has_a_posture_too():
    fixed = LEGGED.replace('<freejoint name="root"/>', "").replace(
        "0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0 0"
    )
    assert value({"type": "upright"}, xml=fixed) == pytest.approx(1.0)
    assert value({"type": "base_height", "height": 0.5}, xml=fixed) == pytest.approx(1.0)
    # The left shank hangs on a hinge that turns at 2 rad/s about y, 0.24 m below it.
    section = {"type": "off_axis_velocity", "body": "left_shank"}
    spinning = value(section, qvel=[2.0, 0, 0, 0], xml=fixed)
    np.testing.assert_allclose(spinning, 0.05 * 4.0, rtol=1e-4)


@pytest.mark.parametrize(("code", "wanted"), [(-1, -1.0), (0, 0.01), (1, 5.0)])
def test_staying_alive_against_a_failure(code, wanted):
    section = {"type": "stay_alive", "balance": 100.0, "success_reward": 5.0}
    np.testing.assert_allclose(value(section, termination=jnp.int32(code)), wanted)
    assert value({"type": "is_terminated"}, termination=jnp.int32(code)) == (code == -1)


def test_another_axis_of_a_body_that_is_to_be_vertical():
    # The trunk is rolled by 60 degrees: its y axis is 30 from the vertical.
    section = {"type": "flat_body", "bodies": ["trunk"], "plane": [0.0, 2.0, 0.0]}
    got = value(section, tilted(np.pi / 3, "x"))
    np.testing.assert_allclose(got, np.sin(np.pi / 6) ** 2, rtol=1e-4)


def test_the_rates_alone():
    velocity = [3.0, -1.0, 0.5, 1.0, 2.0, 4.0, 0, 0, 0, 0]
    section = {"type": "off_axis_velocity", "linear_weight": 0.0, "angular_weight": 1.0}
    np.testing.assert_allclose(value(section, qvel=velocity), 5.0, rtol=1e-5)
