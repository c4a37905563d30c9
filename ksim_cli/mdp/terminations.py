"""Terminations and truncations."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.term import Carry, Termination
from ksim_cli.registry import TERMINATIONS
from ksim_cli.types import Step


@TERMINATIONS.register("episode_length")
@dataclass(frozen=True, kw_only=True)
class EpisodeLength(Termination):
    """Truncates an episode at `max_length_seconds` (the first control step at or after it).

    Attributes:
        max_length_seconds: longest episode, s.
    """

    truncates: ClassVar[bool] = True
    max_length_seconds: float

    def __post_init__(self) -> None:
        """Refuses a length that no episode can have."""
        if not self.max_length_seconds > 0:
            raise ValueError(f"max_length_seconds={self.max_length_seconds}: must be positive")

    def longest_episode(self) -> float | None:
        """See `Termination`."""
        return self.max_length_seconds

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        # Times are float32 multiples of the control step: the margin absorbs their rounding.
        return jnp.where(step.time >= self.max_length_seconds - 1e-4, 1, 0), carry
