"""Curricula."""

from dataclasses import dataclass

import jax

from ksim_cli.mdp.term import Carry, Curriculum
from ksim_cli.registry import CURRICULA
from ksim_cli.types import EpisodeStatistics


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
        if not 0.0 <= self.level <= 1.0:
            raise ValueError(f"level={self.level}: must be in [0, 1]")

    def initial_level(self) -> float:
        """See `Curriculum`."""
        return self.level

    def __call__(
        self, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """See `Curriculum`."""
        del statistics
        return level, carry
