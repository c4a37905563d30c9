import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import COMMANDS
from tests.legged import bound, posed, step_of

register_terms()
KEY = jax.random.key(0)


def test_what_was_at_the_start_is_kept():
    term, model = bound(COMMANDS.build({"type": "start_position"}, "commands.x"))
    first = step_of(posed(model, [1, 2, 0.5, 1, 0, 0, 0, 0, 0, 0, 0]))
    later = step_of(posed(model, [9, 9, 0.5, 1, 0, 0, 0, 0, 0, 0, 0]))
    value, carry = term(first, term.init(KEY), KEY)
    again, _ = term(later, carry, KEY)
    np.testing.assert_allclose(value, [1, 2, 0.5])
    np.testing.assert_allclose(again, value)
    fresh, _ = term(later, term.init(KEY), KEY)
    np.testing.assert_allclose(fresh, [9, 9, 0.5])


def heights(time, **changes):
    section = {"type": "sinusoidal_gait", "period": 0.8, "max_height": 0.1, **changes}
    term, model = bound(COMMANDS.build(section, "commands.x"))
    commands = {"speed": changes.pop("speed", [0.0, 0.0])}
    step = step_of(posed(model), commands, time=jnp.float32(time))
    return np.asarray(term(step, (), KEY)[0])


def test_feet_rise_in_turn():
    # A quarter of the period: the first foot at the top; three quarters: the second.
    np.testing.assert_allclose(heights(0.2), [0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(heights(0.6), [0.0, 0.1], atol=1e-6)
    np.testing.assert_allclose(heights(0.1), [0.1 * np.sin(np.pi / 4), 0.0], atol=1e-6)
    # The clock is the episode's, so a new one starts the gait anew.
    np.testing.assert_allclose(heights(0.0), [0.0, 0.0], atol=1e-6)


def test_feet_stay_down_while_nothing_is_asked_for():
    np.testing.assert_allclose(heights(0.2, standing_command="speed"), [0.0, 0.0])


def test_a_gait_with_a_longer_stance_above_the_ground():
    # Each foot swings for 0.2 of 0.8 s: at its top after 0.1 s, down after 0.2 s.
    gait = {"stance_ratio": 0.75, "height_offset": 0.03}
    np.testing.assert_allclose(heights(0.1, **gait), [0.13, 0.03], atol=1e-6)
    np.testing.assert_allclose(heights(0.25, **gait), [0.03, 0.03], atol=1e-6)
    np.testing.assert_allclose(heights(0.55, **gait), [0.03, 0.03 + 0.1 * np.sin(np.pi / 4)], 1e-3)


@pytest.mark.parametrize("changes", [{"stance_ratio": 1.0}, {"period": 0.0}])
def test_a_gait_without_swings_is_refused(changes):
    with pytest.raises(UserError, match=rf"{next(iter(changes))}="):
        heights(0.1, **changes)
