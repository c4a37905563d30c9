"""Observations of feet, and of what touches what."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.feet import FeetTerm
from ksim_cli.mdp.observations.floating_base import BaseVector
from ksim_cli.mdp.sensors import FORCES, TORQUES
from ksim_cli.mdp.term import Carry, Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@OBSERVATIONS.register("feet_contact")
@dataclass(frozen=True, kw_only=True)
class FeetContact(FeetTerm, Observation):
    """1 for each foot that touches something, else 0."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.contacts.touching(step.view).astype(jnp.float32), carry


@OBSERVATIONS.register("contact")
@dataclass(frozen=True, kw_only=True)
class ContactObservation(FeetContact):
    """1 for each body or geom (named under `feet`) that touches something, else 0."""


@dataclass(frozen=True, kw_only=True)
class FeetVectors(FeetTerm, BaseVector):
    """Base of vectors of feet, in the base's frame or the world's; three per foot."""

    in_robot_frame: bool = False

    def in_frame(self, step: Step, world: jax.Array) -> jax.Array:
        """`[3 F]` what was sensed in the world's frame, `[F, 3]`, in the frame asked for."""
        return self.turned(world, self.base.sensed_quaternion(step.view)).reshape(-1)


@OBSERVATIONS.register("feet_position")
@dataclass(frozen=True, kw_only=True)
class FeetPosition(FeetVectors):
    """Positions of the feet's frames, m: in the world, or from the base in its own frame."""

    wanted: ClassVar[tuple[str, ...]] = ()

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        position = self.frames.position(step.view)
        if self.in_robot_frame:
            position = position - self.base.sensed_position(step.view)[None]
        return self.in_frame(step, position), carry


@OBSERVATIONS.register("feet_force")
@dataclass(frozen=True, kw_only=True)
class FeetForce(FeetVectors):
    """Net contact force on each foot, N."""

    wanted: ClassVar[tuple[str, ...]] = FORCES

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.in_frame(step, self.contacts.force(step.view)), carry


@OBSERVATIONS.register("feet_torque")
@dataclass(frozen=True, kw_only=True)
class FeetTorque(FeetVectors):
    """Net torque of the contact forces on each foot about the origin of its frame, N m."""

    wanted: ClassVar[tuple[str, ...]] = TORQUES

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        torque = self.contacts.torque(step.view, self.frames.position(step.view))
        return self.in_frame(step, torque), carry


@OBSERVATIONS.register("feet_orientation")
@dataclass(frozen=True, kw_only=True)
class FeetOrientation(FeetTerm, Observation):
    """Unit quaternions of the feet's frames in the world, w >= 0; four per foot."""

    wanted: ClassVar[tuple[str, ...]] = ()

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        turned = [
            maths.positive(step.view.xquat[i])
            if kind == "body"
            else maths.quaternion_from_matrix(step.view.geom_xmat[i])
            for kind, i in zip(self.frames.kinds, self.frames.ids, strict=True)
        ]
        return jnp.concatenate(turned), carry
