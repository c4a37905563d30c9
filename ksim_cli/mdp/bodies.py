"""Terms of bodies."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import mujoco

from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.sensors import add_frame_sensor, sensor_address
from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import match_names, object_ids, object_names


@dataclass(frozen=True, kw_only=True)
class BodyTerm(Term):
    """Mixin of terms of bodies.

    Attributes:
        bodies: names or patterns.
    """

    bodies: tuple[str, ...]
    body_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(super().bind(model), body_ids=object_ids(model, "body", self.bodies))


@dataclass(frozen=True, kw_only=True)
class MovingBodies(BodyTerm):
    """Mixin of terms of how bodies move: the velocities are those of their own frames."""

    velocities: tuple[int, ...] = resolved()

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: a velocity sensor for each body."""
        super().edit(spec)
        for body in match_names(self.bodies, [b.name for b in spec.bodies], "body"):
            add_frame_sensor(spec, "framelinvel", "body", body)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        names = match_names(self.bodies, object_names(model, "body"), "body")
        first = [sensor_address(model, "framelinvel", "body", name) for name in names]
        addresses = tuple(a + i for a in first for i in range(3))
        return replace(super().bind(model), velocities=addresses)

    def velocity(self, view: View) -> jax.Array:
        """`[3 B]` m/s of bodies' origins in the world, body by body."""
        return pick(view.sensordata, self.velocities)
