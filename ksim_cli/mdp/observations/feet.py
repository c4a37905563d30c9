"""Observations of feet, and of what touches what."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.feet import FeetFrames, FeetTerm
from ksim_cli.mdp.observations.floating_base import BaseVector
from ksim_cli.mdp.sensors import FORCES, TORQUES
from ksim_cli.mdp.term import Carry, Latch, Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@OBSERVATIONS.register("feet_contact")
@dataclass(frozen=True, kw_only=True)
class FeetContact(FeetTerm, Observation):
    """1 for each foot that touches something, else 0."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.contacts.touching(step.view).astype(jnp.float32), carry


@OBSERVATIONS.register("feet_air_time")
@dataclass(frozen=True, kw_only=True)
class FeetAirTime(FeetTerm, Observation):
    """s since each foot touched anything; 0 while it does, and when an episode begins."""

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return Latch.empty(len(self.frames.ids))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        longer = carry.get(jnp.full(len(self.frames.ids), -step.ctrl_dt)) + step.ctrl_dt
        air = jnp.where(self.contacts.touching(step.view), 0.0, longer)
        return air, Latch.holding(air)


@OBSERVATIONS.register("feet_height")
@dataclass(frozen=True, kw_only=True)
class FeetHeight(FeetFrames, Observation):
    """Heights of the feet's frames above the ground, m; one per foot.

    Attributes:
        ground: height of a foot's frame that stands, m.
    """

    ground: float = 0.0

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.heights(step.view) - self.ground, carry


@OBSERVATIONS.register("contact")
@dataclass(frozen=True, kw_only=True)
class ContactObservation(FeetContact):
    """1 for each body or geom (named under `feet`) that touches something, else 0."""


@dataclass(frozen=True, kw_only=True)
class FeetVectors(FeetFrames, BaseVector):
    """Base of vectors of feet, in the base's frame or the world's; three per foot."""

    in_robot_frame: bool = False

    def in_frame(self, step: Step, world: jax.Array) -> jax.Array:
        """`[3 F]` what was sensed in the world's frame, `[F, 3]`, in the frame asked for."""
        return self.turned(world, self.base.sensed_quaternion(step.view)).reshape(-1)


@OBSERVATIONS.register("feet_position")
@dataclass(frozen=True, kw_only=True)
class FeetPosition(FeetVectors):
    """Positions of the feet's frames, m: in the world, or from the base in its own frame."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        position = self.frames.position(step.view)
        if self.in_robot_frame:
            position = position - self.base.sensed_position(step.view)[None]
        return self.in_frame(step, position), carry


@OBSERVATIONS.register("feet_force")
@dataclass(frozen=True, kw_only=True)
class FeetForce(FeetTerm, FeetVectors):
    """Net contact force on each foot, N."""

    wanted: ClassVar[tuple[str, ...]] = FORCES

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.in_frame(step, self.contacts.force(step.view)), carry


@OBSERVATIONS.register("feet_torque")
@dataclass(frozen=True, kw_only=True)
class FeetTorque(FeetTerm, FeetVectors):
    """Net torque of the contact forces on each foot about the origin of its frame, N m."""

    wanted: ClassVar[tuple[str, ...]] = TORQUES

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        torque = self.contacts.torque(step.view, self.frames.position(step.view))
        return self.in_frame(step, torque), carry


@OBSERVATIONS.register("feet_orientation")
@dataclass(frozen=True, kw_only=True)
class FeetOrientation(FeetFrames, Observation):
    """Unit quaternions of the feet's frames in the world, w >= 0; four per foot."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.frames.quaternion(step.view).reshape(-1), carry
