"""Observations of the task itself: time, actions and commands."""

from dataclasses import dataclass

import jax

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
