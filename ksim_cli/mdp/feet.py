"""Terms of feet, or of whatever else touches things."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.frames import Frames, frames_of
from ksim_cli.mdp.sensors import (
    FOUND,
    Contacts,
    add_contact_sensors,
    add_frame_sensor,
    bind_contacts,
    bodies_or_geoms,
    sensor_address,
)
from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import object_names


@dataclass(frozen=True, kw_only=True)
class FeetTerm(Term):
    """Mixin of terms that look at feet.

    Attributes:
        wanted: what its contact sensors tell, `FOUND`, `FORCES` or `TORQUES`; nothing: none.
        motion: whether it needs the feet's velocities.
        feet: names or patterns of bodies or geoms, bodies first; a body touches with any geom.
        against: the same of the things whose touch counts; empty: anything.
    """

    wanted: ClassVar[tuple[str, ...]] = FOUND
    motion: ClassVar[bool] = False
    feet: tuple[str, ...]
    against: tuple[str, ...] = ()
    contacts: Contacts = resolved(Contacts())
    frames: Frames = resolved(Frames())
    velocities: tuple[int, ...] = resolved()

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`."""
        super().edit(spec)
        if self.wanted:
            add_contact_sensors(spec, self.feet, self.wanted, self.against)
        bodies, geoms = ([x.name for x in xs if x.name] for xs in (spec.bodies, spec.geoms))
        named = bodies_or_geoms(self.feet, bodies, geoms)
        for kind, name in named if self.motion else ():
            add_frame_sensor(spec, "framelinvel", kind, name)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bodies, geoms = object_names(model, "body"), object_names(model, "geom")
        named = bodies_or_geoms(self.feet, bodies, geoms)
        contacts, velocities = Contacts(), ()
        if self.wanted:
            contacts = bind_contacts(model, self.feet, self.wanted, self.against)
        if self.motion:
            velocities = tuple(sensor_address(model, "framelinvel", k, n) for k, n in named)
        bound, frames = super().bind(model), frames_of(model, named)
        return replace(bound, contacts=contacts, frames=frames, velocities=velocities)

    def velocity(self, view: View) -> jax.Array:
        """`[F, 3]` m/s of the feet's frames, world frame."""
        first = jnp.array(self.velocities)
        return view.sensordata[first[:, None] + jnp.arange(3)[None]]
