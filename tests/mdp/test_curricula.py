from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.curricula import next_level
from ksim_cli.mdp.term import Curriculum
from ksim_cli.registry import CURRICULA
from ksim_cli.types import EpisodeStatistics

register_terms()
NAN = float("nan")


def levels(section, statistics):
    """The levels after each rollout, from the statistics of its episodes."""
    term = CURRICULA.build(section, "curriculum")
    level, carry, out = jnp.float32(term.initial_level()), term.init(jax.random.key(0)), []
    for values in statistics:
        fields = dict.fromkeys(("episodes", "length", "episode_return", "failure_rate"), NAN)
        numbers = EpisodeStatistics(**{"distance": NAN, **fields, **values})
        numbers = jax.tree.map(jnp.float32, numbers)
        level, carry = jax.jit(term)(level, numbers, carry)
        assert level.shape == () and level.dtype == jnp.float32
        out.append(round(float(level), 4))
    return out


def test_a_constant_level_stays():
    assert levels({"type": "constant", "level": 0.3}, [{}, {"length": 5.0}]) == [0.3, 0.3]
    with pytest.raises(UserError, match=r"level=2.0: must be in \[0, 1\]"):
        CURRICULA.build({"type": "constant", "level": 2.0}, "curriculum")


def test_linear_rises_every_so_many_rollouts_up_to_its_end():
    section = {"type": "linear", "step_size": 0.25, "min_level_steps": 2, "max_level": 0.6}
    assert levels(section, [{}] * 7) == [0.0, 0.25, 0.25, 0.5, 0.5, 0.6, 0.6]


@pytest.mark.parametrize(
    ("kind", "field"), [("episode_length", "length"), ("distance_from_origin", "distance")]
)
def test_up_above_one_threshold_down_below_the_other(kind, field):
    section = {"type": kind, "increase_threshold": 80.0, "decrease_threshold": 20.0}
    seen = [{field: x} for x in (90.0, 80.0, 100.0, 20.0, 10.0, NAN, 0.0, 0.0)]
    assert levels(section, seen) == [0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0]


def test_saturation_is_few_failures():
    seen = [{"failure_rate": x} for x in (0.05, 0.1, 0.3, 0.0, 0.6, NAN)]
    section = {"type": "step_when_saturated", "step_size": 0.5, "min_level": 0.25}
    assert levels(section, seen) == [0.75, 0.75, 0.75, 1.0, 0.5, 0.5]


def test_changes_keep_their_distance():
    section = {"type": "step_when_saturated", "step_size": 0.1, "min_level_steps": 3}
    assert levels(section, [{"failure_rate": 0.0}] * 6) == [0, 0, 0.1, 0.1, 0.1, 0.2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_level": 0.8, "max_level": 0.5}, r"min_level=0.8: is above max_level=0.5"),
        ({"step_size": 0.0}, r"step_size=0.0: must be positive"),
        ({"min_level_steps": 0}, r"min_level_steps=0: must be at least 1"),
        ({"max_level": 1.5}, r"max_level=1.5: must be in \[0, 1\]"),
    ],
)
def test_wrong_parameters_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        CURRICULA.build({"type": "linear", **changes}, "curriculum")


def test_every_curriculum_is_tried_here():
    tried = {"constant", "linear", "episode_length", "distance_from_origin", "step_when_saturated"}
    assert set(CURRICULA.names()) == tried


@dataclass(frozen=True, kw_only=True)
class Fifth(Curriculum):
    """A hundredth of the mean return, and how often it was asked."""

    def __call__(self, level, statistics, carry):
        return statistics.episode_return / 100.0, carry + 1


@pytest.mark.parametrize(
    ("value", "level", "asked"),
    [(50.0, 0.5, 1), (NAN, 0.25, 0), (np.inf, 0.25, 0), (500.0, 1.0, 1), (-3.0, 0.0, 1)],
)
def test_a_level_is_a_number_in_its_range_or_stays(value, level, asked):
    statistics = EpisodeStatistics(*map(jnp.float32, (1.0, NAN, value, NAN, NAN)))
    got, carry = next_level(Fifth(), jnp.float32(0.25), statistics, jnp.int32(0))
    assert float(got) == level and int(carry) == asked
