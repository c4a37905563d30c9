"""Commands that are drawn at random."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.mdp.level_schedules import Scale
from ksim_cli.mdp.maths import uniform_between
from ksim_cli.mdp.term import Carry, Command, Latch, Pose
from ksim_cli.registry import COMMANDS
from ksim_cli.rng import named_key
from ksim_cli.types import Step

Intervals = tuple[tuple[float, float], ...]
"""[low, high] of every element of a command."""


def commanded(step: Step | Pose, name: str, size: int | None = None) -> jax.Array:
    """The value of a command by name.

    Args:
        step: the step, or the pose that a reset is given.
        name: the command's name.
        size: elements it must have; None: any.

    Raises:
        UserError: the task has no such command, or it has another size.
    """
    if name not in step.commands:
        raise UserError(
            f"no command '{name}'.{nearest(name, step.commands)}"
            f" The task's commands: {listing(step.commands)}"
        )
    value = step.commands[name]
    if size is not None and value.shape != (size,):
        raise UserError(f"command '{name}' has size {value.size}, and {size} is needed here")
    return value


@dataclass(frozen=True, kw_only=True)
class Sampled(Command):
    """Base of commands that are drawn at the start of an episode and now and then again.

    The carry holds the value in force.

    Attributes:
        switch_seconds: mean time between two draws, s (each control step draws anew with
            probability ctrl_dt / switch_seconds); null: one draw per episode.
        zero_probability: share of the draws that are zero.
        scale: how the drawn value depends on the curriculum level; null: not at all.
    """

    switch_seconds: float | None = None
    zero_probability: float = 0.0
    scale: Scale | None = None

    def __post_init__(self) -> None:
        """Refuses times and probabilities that cannot be."""
        if self.switch_seconds is not None and not self.switch_seconds > 0:
            raise ValueError(f"switch_seconds={self.switch_seconds}: must be positive, or null")
        if not 0.0 <= self.zero_probability <= 1.0:
            raise ValueError(f"zero_probability={self.zero_probability}: must be in [0, 1]")

    @property
    def intervals(self) -> Intervals:
        """[low, high] of every element of the value."""
        raise NotImplementedError

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return Latch.empty(len(self.intervals))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        value = self.draw(named_key(key, "value"), step)
        if self.scale is not None:
            value = self.scale(step.level) * value
        if self.zero_probability:
            zero = jax.random.bernoulli(named_key(key, "zero"), self.zero_probability)
            value = jnp.where(zero, 0.0, value)
        anew = ~carry.is_set
        if self.switch_seconds is not None:
            probability = min(1.0, step.ctrl_dt / self.switch_seconds)
            anew |= jax.random.bernoulli(named_key(key, "switch"), probability)
        value = jnp.where(anew, value, carry.value)
        return value, Latch.holding(value)

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """A new value: every element uniform in its interval."""
        low, high = jnp.array(self.intervals, float).T
        return uniform_between(key, low, high, shape=low.shape)


@COMMANDS.register("float_vector")
@dataclass(frozen=True, kw_only=True)
class FloatVector(Sampled):
    """Numbers, each uniform in its range.

    Attributes:
        ranges: [low, high] of each number.
    """

    ranges: Intervals

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return self.ranges


@COMMANDS.register("int_vector")
@dataclass(frozen=True, kw_only=True)
class IntVector(Sampled):
    """Whole numbers (as floats), each uniform in its range, both ends included.

    Attributes:
        ranges: [low, high] of each number.
    """

    ranges: tuple[tuple[int, int], ...]

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return self.ranges

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Sampled`: an integer."""
        low, high = jnp.array(self.ranges).T
        return jax.random.randint(key, low.shape, low, high + 1).astype(jnp.float32)
