"""How episodes that follow a reference motion begin and end."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.motion_term import BaseReference, BodyReference, JointReference, ReferenceTerm
from ksim_cli.mdp.term import Carry, Pose, Reset, Termination
from ksim_cli.registry import RESETS, TERMINATIONS
from ksim_cli.types import Step


@RESETS.register("motion")
@dataclass(frozen=True, kw_only=True)
class MotionReset(ReferenceTerm, Reset):
    """Positions and velocities of the motion at the command's moment, exactly.

    It gives the whole state, so it comes after all other resets, wherever it stands.
    """

    keeps_loops: ClassVar[bool] = True
    comes_last: ClassVar[bool] = True

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        qpos, qvel = self.clips.state(*self.moment(pose))
        return pose.replace(qpos=qpos, qvel=qvel)


def _failure(where: jax.Array) -> jax.Array:
    return jnp.where(where, -1, 0)


@TERMINATIONS.register("motion_base")
@dataclass(frozen=True, kw_only=True)
class FarFromMotionBase(BaseReference, Termination):
    """Fails where the base is too far from where the motion has it, or turned away from it.

    Attributes:
        max_distance: m; null: any.
        max_angle: rad; null: any.
    """

    max_distance: float | None = 0.5
    max_angle: float | None = 1.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        reference, bad = self.reference(step, 1), jnp.zeros((), bool)
        if self.max_distance is not None:
            off = self.base.position(step.view) - self.base.position(reference)
            bad |= jnp.linalg.norm(off) > self.max_distance
        if self.max_angle is not None:
            turn = self.orientation_error(step.view, reference)
            bad |= jnp.linalg.norm(turn) > self.max_angle
        return _failure(bad), carry


@TERMINATIONS.register("motion_joints")
@dataclass(frozen=True, kw_only=True)
class FarFromMotionJoints(JointReference, Termination):
    """Fails where a joint is farther from the motion than `max_error`.

    Attributes:
        max_error: rad or m.
    """

    max_error: float = 1.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        off = self.positions(step.view) - self.positions(self.reference(step, 1))
        return _failure((jnp.abs(off) > self.max_error).any()), carry


@TERMINATIONS.register("motion_bodies")
@dataclass(frozen=True, kw_only=True)
class FarFromMotionBodies(BodyReference, Termination):
    """Fails where a body is farther from where the motion has it than `max_distance`.

    It is seen from the base.

    Attributes:
        bodies: names or patterns: hands, feet, head.
        max_distance: m.
    """

    bodies: tuple[str, ...] = ("*",)
    max_distance: float = 0.5

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        return _failure((self.body_errors(step) > self.max_distance).any()), carry


@TERMINATIONS.register("motion_end")
@dataclass(frozen=True, kw_only=True)
class MotionEnd(ReferenceTerm, Termination):
    """Truncates an episode at the last frame of a clip that does not loop."""

    truncates: ClassVar[bool] = True

    def longest_episode(self) -> float | None:
        """See `Termination`."""
        if self.motions is None or self.motions.loop:
            return None
        return float(self.motions.lengths.max() - 1) / self.motions.fps

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        clip, frame = self.moment(step)
        return jnp.where(self.clips.ended(clip, frame + 1), 1, 0), carry
