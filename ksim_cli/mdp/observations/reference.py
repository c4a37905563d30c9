"""Observations of a reference motion: what is to be done, and how far off the base is."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.motion_term import BaseReference, JointReference, ReferenceTerm
from ksim_cli.mdp.term import Carry, Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@OBSERVATIONS.register("motion_phase")
@dataclass(frozen=True, kw_only=True)
class MotionPhase(ReferenceTerm, Observation):
    """[cos a, sin a], a from 0 at a clip's first frame to 2 pi at its last; pi without a loop."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        clip, frame = self.moment(step)
        whole = 2.0 * math.pi if self.clips.loop else math.pi
        angle = whole * self.clips.within(clip, frame) / self.clips.last_frame(clip)
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)]), carry


@dataclass(frozen=True, kw_only=True)
class FramesAhead(JointReference, Observation):
    """Base of observations of the motion's joints now and a few control steps ahead.

    Attributes:
        ahead: control steps after now, each of which is seen.
    """

    ahead: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        """Refuses no frames, and frames that have passed."""
        super().__post_init__()
        if not self.ahead or min(self.ahead) < 0:
            raise ValueError(f"ahead={list(self.ahead)}: steps from 0 on are needed")


@OBSERVATIONS.register("motion_joint_position")
@dataclass(frozen=True, kw_only=True)
class MotionJointPositions(FramesAhead):
    """Joints of the motion, rad or m, for each step of `ahead` one after the other.

    Attributes:
        relative: from the home pose instead of the joint's zero.
    """

    relative: bool = True

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        home = jnp.array(self.home) if self.relative else 0.0
        frames = (self.positions(self.reference(step, ahead)) - home for ahead in self.ahead)
        return jnp.concatenate([*frames]), carry


@OBSERVATIONS.register("motion_joint_velocity")
@dataclass(frozen=True, kw_only=True)
class MotionJointVelocities(FramesAhead):
    """Velocities of the motion's joints, rad/s or m/s, for each step of `ahead`."""

    ahead: tuple[int, ...] = (0,)

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        frames = (self.velocities(self.reference(step, ahead)) for ahead in self.ahead)
        return jnp.concatenate([*frames]), carry


@OBSERVATIONS.register("motion_base_position")
@dataclass(frozen=True, kw_only=True)
class MotionBasePositionError(BaseReference, Observation):
    """[x, y, z] m from the base to where the motion has it, in the base's frame.

    Attributes:
        horizontal: x and y are seen; false: [z] alone, in the world, which a robot can know.
    """

    horizontal: bool = False

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        wanted = self.base.position(self.reference(step, 0))
        away = wanted - self.base.position(step.view)
        if not self.horizontal:
            return away[2:], carry
        return maths.unrotate(away, self.base.quaternion(step.view)), carry


@OBSERVATIONS.register("motion_base_orientation")
@dataclass(frozen=True, kw_only=True)
class MotionBaseOrientationError(BaseReference, Observation):
    """[x, y, z] rad, the turn from the base to the motion's, about axes of the base's frame."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.orientation_error(step.view, self.reference(step, 0)), carry
