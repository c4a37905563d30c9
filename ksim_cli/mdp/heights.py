"""Terms of the base's height."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import mujoco

from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.frames import Frames, bind_frames
from ksim_cli.mdp.term import resolved
from ksim_cli.physics.engine import View


@dataclass(frozen=True, kw_only=True)
class HeightTerm(BaseTerm):
    """Mixin of terms of the base's height.

    Attributes:
        above: names or patterns of bodies or sites, as feet, from the lowest of which heights
            count; empty: from the world's origin.
    """

    above: tuple[str, ...] = ()
    below: Frames = resolved(Frames())

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(super().bind(model), below=bind_frames(model, self.above))

    def height_now(self, view: View) -> jax.Array:
        """The height, a scalar, m."""
        if not self.above:
            return self.base.position(view)[2]
        lowest = self.below.position(view)[:, 2].min()
        return self.base.sensed_position(view)[2] - lowest
