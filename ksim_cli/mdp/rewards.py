"""Rewards. Penalties are the same thing with a negative weight."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp.term import Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("stay_alive")
@dataclass(frozen=True, kw_only=True)
class StayAlive(Reward):
    """1 for a step that does not end in failure, else 0. Range {0, 1}."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.where(step.termination < 0, 0.0, 1.0), carry
