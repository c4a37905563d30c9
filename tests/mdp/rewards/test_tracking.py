"""Rewards for doing what a command says, worked out by hand on the legged robot."""

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import bound, posed, step_of

register_terms()
S = np.sqrt(0.5)
LEFT = [0, 0, 0.5, S, 0, 0, S, 0, 0, 0, 0]  # turned left by 90 degrees


def value(section, qpos=None, qvel=None, commands=None, **changes):
    term, model = bound(REWARDS.build(section, "rewards.x"))
    step = step_of(posed(model, qpos, qvel), commands, **changes)
    return float(term(step, term.init(None))[0])


def test_linear_velocity_is_that_of_where_it_looks():
    # Moving at 0.8 m/s along world y while looking along it: forward. Told 0.5 forward and 0.4
    # left: error (0.3, -0.4), |error| = 0.5; sigma 0.5: exp(-1).
    velocity = [0, 0.8, 0, 0, 0, 0, 0, 0, 0, 0]
    told = {"linear_velocity": [0.5, 0.4]}
    section = {"type": "linear_velocity"}
    np.testing.assert_allclose(value(section, LEFT, velocity, told), np.exp(-1), rtol=1e-5)
    # A wider kernel: exp(-(0.5 / 1)^2). The vertical speed does not count.
    velocity[2] = 3.0
    wide = {**section, "sigma": 1.0}
    np.testing.assert_allclose(value(wide, LEFT, velocity, told), np.exp(-0.25), rtol=1e-5)


def test_a_tilt_does_not_change_the_heading():
    # Pitched by 30 degrees and moving along world x at 1 m/s: 1 m/s forward all the same.
    pitched = [0, 0, 0.5, np.cos(np.pi / 12), 0, np.sin(np.pi / 12), 0, 0, 0, 0, 0]
    told = {"linear_velocity": [1.0, 0.0]}
    velocity = [1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert value({"type": "linear_velocity"}, pitched, velocity, told) == pytest.approx(1.0)


def test_angular_velocity_is_about_the_bases_own_axis():
    # 0.7 rad/s, told 0.2: exp(-(0.5 / 0.5)^2); turning the other way is an error of 0.9.
    told = {"angular_velocity": [0.2]}
    section = {"type": "angular_velocity"}
    spin = [0, 0, 0, 5.0, 5.0, 0.7, 0, 0, 0, 0]
    np.testing.assert_allclose(value(section, LEFT, spin, told), np.exp(-1), rtol=1e-5)
    spin[5] = -0.7
    np.testing.assert_allclose(value(section, LEFT, spin, told), np.exp(-3.24), rtol=1e-5)


def test_base_height_from_a_number_or_a_command():
    # 0.5 m against 0.4: exp(-(0.1 / 0.1)^2).
    np.testing.assert_allclose(value({"type": "base_height", "height": 0.4}), np.exp(-1), rtol=1e-4)
    told = {"type": "base_height", "command": "height", "sigma": 0.2}
    np.testing.assert_allclose(value(told, commands={"height": [0.3]}), np.exp(-1), rtol=1e-4)


def test_joint_position_is_a_mean_over_joints():
    # Errors 0.2, 0, 0, 0: mean square 0.01; sigma 0.1: exp(-1).
    qpos = [0, 0, 0.5, 1, 0, 0, 0, 0.2, 0, 0, 0]
    section = {"type": "joint_position", "sigma": 0.1}
    told = {"joint_position": [0.0] * 4}
    np.testing.assert_allclose(value(section, qpos, None, told), np.exp(-1), rtol=1e-4)


def test_motion_counts_only_at_rest():
    # Joint velocities 1, 0, 0, 2: mean square 1.25.
    velocity = [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]
    rest = {"linear_velocity": [0.0, 0.0], "angular_velocity": [0.0]}
    section = {"type": "motionless_at_rest"}
    np.testing.assert_allclose(value(section, None, velocity, rest), 1.25, rtol=1e-5)
    for name, told in (("linear_velocity", [0.1, 0.0]), ("angular_velocity", [-0.1])):
        assert value(section, None, velocity, {**rest, name: told}) == 0.0


def test_a_command_that_the_task_lacks_is_named():
    with pytest.raises(UserError, match=r"no command 'linear_velocity'.*linear_velocities"):
        value({"type": "linear_velocity"}, commands={"linear_velocities": jnp.zeros(2)})


def test_tails_slope_where_the_kernel_is_flat():
    # Errors of 0.5 and of 5: exp(-1) - 0.1 * 0.25 - 0.2 * 0.5, and 0 - 0.1 * 25 - 0.2 * 5.
    section = {"type": "linear_velocity", "sq_scale": 0.1, "abs_scale": 0.2}
    for told, wanted in (([0.3, 0.4], np.exp(-1) - 0.125), ([3.0, 4.0], -3.5)):
        got = value(section, commands={"linear_velocity": told})
        np.testing.assert_allclose(got, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    ("component", "error"),
    [("speed", 0.2), ("x", 0.2), ("y", 0.4), ("direction", np.arctan2(3, 4))],
)
def test_components_of_the_velocity(component, error):
    # Looking along world y and moving along it at 0.8 m/s: [0.8, 0]. Told [0.8, 0.6]: 1 m/s, at an
    # angle of atan(3 / 4). Of x the command is told as 1.
    told = [1.0, 0.6] if component == "x" else [0.8, 0.4 if component == "y" else 0.6]
    section = {"type": "linear_velocity", "component": component, "sigma": error}
    moving = [0, 0.8, 0, 0, 0, 0, 0, 0, 0, 0]
    got = value(section, LEFT, moving, {"linear_velocity": told})
    np.testing.assert_allclose(got, np.exp(-1), rtol=1e-4)


@pytest.mark.parametrize(("speed", "told"), [(0.0, 1.0), (1.0, 0.0)])
def test_who_stands_or_is_told_to_has_no_direction(speed, told):
    section = {"type": "linear_velocity", "component": "direction"}
    moving = [speed, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert value(section, None, moving, {"linear_velocity": [told, 0.0]}) == 0.0


def test_roll_and_pitch_are_commanded():
    # Pitched by 0.4 rad and turned left; told a roll of 0.3: |(-0.3, 0.4)| = 0.5.
    pitched = [0, 0, 0.5, np.cos(0.2), 0, np.sin(0.2), 0, 0, 0, 0, 0]
    section = {"type": "roll_pitch", "sigma": 0.5}
    got = value(section, pitched, commands={"roll_pitch": [0.3, 0.0]})
    np.testing.assert_allclose(got, np.exp(-1), rtol=1e-4)


def test_height_over_the_lowest_foot():
    # The left knee lifts its foot, the right leg is straight: the trunk is 0.48 above that foot,
    # wherever in the world.
    lifted = [0, 0, 3.0, 1, 0, 0, 0, 0, 1.0, 0, 0]
    section = {"type": "base_height", "height": 0.48, "sigma": 0.1, "above": ["*_foot"]}
    assert value(section, lifted) == pytest.approx(1.0)
    section = {"type": "base_height_range", "low": 0.2, "high": 0.38, "sigma": 0.1}
    got = value({**section, "above": ["*_foot"]}, lifted)
    np.testing.assert_allclose(got, np.exp(-1), rtol=1e-4)
