"""Terms of feet, or of whatever else touches things."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.frames import Frames, frames_of
from ksim_cli.mdp.sensors import (
    FORCES,
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
class FeetFrames(Term):
    """Mixin of terms that look at where feet are.

    Attributes:
        motion: whether it needs the feet's velocities.
        feet: names or patterns of bodies or geoms, bodies first.
    """

    motion: ClassVar[bool] = False
    feet: tuple[str, ...]
    frames: Frames = resolved(Frames())
    velocities: tuple[int, ...] = resolved()

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`."""
        super().edit(spec)
        bodies, geoms = ([x.name for x in xs if x.name] for xs in (spec.bodies, spec.geoms))
        named = bodies_or_geoms(self.feet, bodies, geoms)
        for kind, name in named if self.motion else ():
            add_frame_sensor(spec, "framelinvel", kind, name)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bodies, geoms = object_names(model, "body"), object_names(model, "geom")
        named, velocities = bodies_or_geoms(self.feet, bodies, geoms), ()
        if self.motion:
            velocities = tuple(sensor_address(model, "framelinvel", k, n) for k, n in named)
        frames = frames_of(model, named)
        return replace(super().bind(model), frames=frames, velocities=velocities)

    def heights(self, view: View) -> jax.Array:
        """`[F]` m, how high the feet's frames are in the world."""
        return self.frames.position(view)[:, 2]

    def velocity(self, view: View) -> jax.Array:
        """`[F, 3]` m/s of the feet's frames, world frame."""
        first = jnp.array(self.velocities)
        return view.sensordata[first[:, None] + jnp.arange(3)[None]]


@dataclass(frozen=True, kw_only=True)
class FeetTerm(FeetFrames):
    """Mixin of terms that look at what feet touch; a body touches with any of its geoms.

    Attributes:
        wanted: what its contact sensors tell, `FOUND`, `FORCES` or `TORQUES`.
        against: names or patterns of bodies or geoms whose touch counts; empty: anything.
    """

    wanted: ClassVar[tuple[str, ...]] = FOUND
    against: tuple[str, ...] = ()
    contacts: Contacts = resolved(Contacts())

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`."""
        add_contact_sensors(spec, self.feet, self.wanted, self.against)
        super().edit(spec)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        contacts = bind_contacts(model, self.feet, self.wanted, self.against)
        return replace(super().bind(model), contacts=contacts)


@dataclass(frozen=True, kw_only=True)
class TouchTerm(FeetTerm):
    """Mixin of terms that look at which things (named under `feet`) touch what they should not.

    Attributes:
        threshold: net force that is allowed, N; 0: none, not even a touch without force.
    """

    wanted: ClassVar[tuple[str, ...]] = FORCES
    threshold: float = 0.0

    def touching(self, view: View) -> jax.Array:
        """`[F]` bool: it touches by more than is allowed."""
        if not self.threshold:
            return self.contacts.touching(view)
        return jnp.linalg.norm(self.contacts.force(view), axis=1) > self.threshold
