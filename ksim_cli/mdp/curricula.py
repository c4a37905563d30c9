"""Curricula: what moves the level."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import error_context
from ksim_cli.mdp.term import Carry, Curriculum, checked
from ksim_cli.physics.free_base import base_body
from ksim_cli.quarantine import beyond
from ksim_cli.registry import CURRICULA
from ksim_cli.types import EpisodeStatistics


def next_level(
    curriculum: Curriculum, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
) -> tuple[jax.Array, Carry]:
    """What a curriculum makes of a rollout: a level in [0, 1], and its carry.

    Both stay as they are where it gives what is not finite: statistics are NaN while no episode
    has ended, and what is made of that is not known either.

    Raises:
        UserError: it gave no level, or a carry of another kind.
    """
    with error_context("curriculum"):
        moved = checked(curriculum, curriculum(level, statistics, carry), carry)
    stays = beyond(jax.tree.map(lambda x: jnp.asarray(x)[None], moved), 1)[0]
    level, carry = jax.tree.map(lambda new, old: jnp.where(stays, old, new), moved, (level, carry))
    return jnp.clip(level, 0.0, 1.0), carry


@CURRICULA.register("constant")
@dataclass(frozen=True, kw_only=True)
class Constant(Curriculum):
    """The level never moves.

    Attributes:
        level: in [0, 1].
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a level outside its range."""
        _in_unit("level", self.level)

    def initial_level(self) -> float:
        """See `Curriculum`."""
        return self.level

    def __call__(
        self, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """See `Curriculum`."""
        del statistics
        return level, carry


@dataclass(frozen=True, kw_only=True)
class Rising(Curriculum):
    """Base of curricula that start low and move by steps, within [min_level, max_level].

    Attributes:
        step_size: change of the level at once.
        min_level: the level training starts at, and the lowest.
        max_level: the highest.
        min_level_steps: rollouts between two changes, at least.
    """

    step_size: float = 0.1
    min_level: float = 0.0
    max_level: float = 1.0
    min_level_steps: int = 1

    def __post_init__(self) -> None:
        """Refuses levels outside their range."""
        _in_unit("min_level", self.min_level)
        _in_unit("max_level", self.max_level)
        if self.min_level > self.max_level:
            raise ValueError(f"min_level={self.min_level}: is above max_level={self.max_level}")
        if not self.step_size > 0:
            raise ValueError(f"step_size={self.step_size}: must be positive")
        if self.min_level_steps < 1:
            raise ValueError(f"min_level_steps={self.min_level_steps}: must be at least 1")

    def initial_level(self) -> float:
        """See `Curriculum`."""
        return self.min_level

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: rollouts since the last change."""
        return jnp.int32(0)

    def __call__(
        self, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """See `Curriculum`."""
        since = carry + 1
        wanted = jnp.where(since >= self.min_level_steps, self.direction(statistics), 0)
        moved = jnp.clip(level + wanted * self.step_size, self.min_level, self.max_level)
        return moved, jnp.where(wanted != 0, 0, since)

    def direction(self, statistics: EpisodeStatistics) -> jax.Array:
        """1 to go up, -1 to go down, 0 to stay."""
        raise NotImplementedError


@CURRICULA.register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Rising):
    """Up by `step_size` every `min_level_steps` rollouts."""

    def direction(self, statistics: EpisodeStatistics) -> jax.Array:
        """See `Rising`."""
        return jnp.int32(1)


def _between(value: jax.Array, low: float, high: float) -> jax.Array:
    """1 above `high`, -1 below `low`, else 0; 0 for NaN, which is no episode at all."""
    return jnp.where(value > high, 1, jnp.where(value < low, -1, 0))


@CURRICULA.register("episode_length")
@dataclass(frozen=True, kw_only=True)
class EpisodeLengthCurriculum(Rising):
    """Up while episodes are long, down while they are short.

    Attributes:
        increase_threshold: mean length in control steps above which the level rises.
        decrease_threshold: below which it falls.
    """

    increase_threshold: float
    decrease_threshold: float

    def direction(self, statistics: EpisodeStatistics) -> jax.Array:
        """See `Rising`."""
        return _between(statistics.length, self.decrease_threshold, self.increase_threshold)


@CURRICULA.register("distance_from_origin")
@dataclass(frozen=True, kw_only=True)
class DistanceFromOrigin(Rising):
    """Up while the base comes far from where episodes begin, down while it stays near.

    The base is the robot's own: `task.base`, else the body whose free joint is above the driven
    joints.

    Attributes:
        increase_threshold: mean distance at the end of episodes, m, above which the level rises.
        decrease_threshold: below which it falls.
    """

    increase_threshold: float
    decrease_threshold: float

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`: refuses a model of whose bodies several may be the base."""
        base_body(model)
        return self

    def direction(self, statistics: EpisodeStatistics) -> jax.Array:
        """See `Rising`."""
        return _between(statistics.distance, self.decrease_threshold, self.increase_threshold)


@CURRICULA.register("step_when_saturated")
@dataclass(frozen=True, kw_only=True)
class StepWhenSaturated(Rising):
    """Up while few episodes fail, down while many do.

    Attributes:
        increase_threshold: share of failures below which the level rises.
        decrease_threshold: above which it falls.
    """

    increase_threshold: float = 0.1
    decrease_threshold: float = 0.5

    def direction(self, statistics: EpisodeStatistics) -> jax.Array:
        """See `Rising`."""
        rate = statistics.failure_rate
        return -_between(rate, self.increase_threshold, self.decrease_threshold)


def _in_unit(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value}: must be in [0, 1]")
