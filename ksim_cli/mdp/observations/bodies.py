"""Observations of bodies and sites, and of the sensors of the MJCF."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.frames import BodyTerm, MovingBodies
from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.term import Carry, Observation, resolved
from ksim_cli.physics.names import object_ids
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@OBSERVATIONS.register("body_position")
@dataclass(frozen=True, kw_only=True)
class BodyPosition(BodyTerm, Observation):
    """Positions of bodies' origins in the world, m; three per body."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.view.xpos[jnp.array(self.body_ids)].reshape(-1), carry


@OBSERVATIONS.register("body_orientation")
@dataclass(frozen=True, kw_only=True)
class BodyOrientation(BodyTerm, Observation):
    """Unit quaternions of bodies in the world, w >= 0; four per body."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return maths.positive(step.view.xquat[jnp.array(self.body_ids)]).reshape(-1), carry


@OBSERVATIONS.register("body_velocity")
@dataclass(frozen=True, kw_only=True)
class BodyVelocity(MovingBodies, Observation):
    """Velocities of bodies' origins in the world, m/s; three per body."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.velocity(step.view), carry


@OBSERVATIONS.register("site_orientation")
@dataclass(frozen=True, kw_only=True)
class SiteOrientation(Observation):
    """Unit quaternions of sites in the world, w >= 0; four per site.

    Attributes:
        sites: names or patterns.
    """

    sites: tuple[str, ...]
    site_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(self, site_ids=object_ids(model, "site", self.sites))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        matrices = step.view.site_xmat[jnp.array(self.site_ids)]
        return maths.quaternion_from_matrix(matrices).reshape(-1), carry


@OBSERVATIONS.register("center_of_mass_inertia")
@dataclass(frozen=True, kw_only=True)
class CenterOfMassInertia(Observation):
    """MuJoCo's `cinert` of every body but the world: ten numbers each, about the tree's centre."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.view.cinert[1:].reshape(-1), carry


@OBSERVATIONS.register("center_of_mass_velocity")
@dataclass(frozen=True, kw_only=True)
class CenterOfMassVelocity(Observation):
    """MuJoCo's `cvel` of every body but the world: rotation rad/s, then translation m/s."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.view.cvel[1:].reshape(-1), carry


@OBSERVATIONS.register("sensor")
@dataclass(frozen=True, kw_only=True)
class SensorObservation(Observation):
    """The numbers of sensors of the MJCF, in their units.

    Attributes:
        sensors: names or patterns.
    """

    sensors: tuple[str, ...]
    addresses: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        ids = object_ids(model, "sensor", self.sensors)
        addresses = [int(model.sensor_adr[i]) + j for i in ids for j in range(model.sensor_dim[i])]
        return replace(self, addresses=tuple(addresses))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return pick(step.view.sensordata, self.addresses), carry
