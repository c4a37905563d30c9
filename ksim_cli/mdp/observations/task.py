"""Observations of the task itself: time, actions and commands."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp.commands.episode import gait_phase
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.term import Carry, Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@OBSERVATIONS.register("timestep")
@dataclass(frozen=True, kw_only=True)
class Timestep(Observation):
    """Time since the episode began, [t] s."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.time[None], carry


@OBSERVATIONS.register("gait_phase")
@dataclass(frozen=True, kw_only=True)
class GaitPhase(Observation):
    """sin of the phase of every foot's cycle, then cos of every one; in [-1, 1], two per foot.

    The cycles are those of the command `sinusoidal_gait` with the same period and offsets.

    Attributes:
        period: of a gait cycle, s.
        offsets: share of the cycle that each foot is ahead.
    """

    period: float
    offsets: tuple[float, ...] = (0.0, 0.5)

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        angle = 2.0 * math.pi * gait_phase(step.time, self.period, self.offsets)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)]), carry


@OBSERVATIONS.register("action_position")
@dataclass(frozen=True, kw_only=True)
class ActionPosition(Observation):
    """The last action, before its filters and its latency; zeros at the start of an episode."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.action, carry


@OBSERVATIONS.register("command")
@dataclass(frozen=True, kw_only=True)
class CommandObservation(Observation):
    """The value of a command that is in force.

    Attributes:
        command: its name.
    """

    command: str

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return commanded(step, self.command), carry
