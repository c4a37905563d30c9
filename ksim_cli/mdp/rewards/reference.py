"""Rewards for following a reference motion: exp(-|error|^2 / sigma^2), 1 on the motion.

Kernels and quantities are those of Peng et al. 2018, "DeepMimic"; errors of several joints or
bodies are root mean squares, so that a sigma means the same on every robot.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp.motion_term import BaseReference, BodyReference, JointReference
from ksim_cli.mdp.rewards.tracking import Tracking
from ksim_cli.mdp.term import Carry
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


def _rms(errors: jax.Array) -> jax.Array:
    """`[1]` root mean square of `[D]` errors; its square has a gradient at 0 too."""
    return jnp.sqrt(jnp.square(errors).mean(keepdims=True))


@REWARDS.register("motion_joint_position")
@dataclass(frozen=True, kw_only=True)
class MotionJointPosition(JointReference, Tracking):
    """exp(-e^2 / sigma^2), e the RMS over joints of q - q of the motion. Range (0, 1].

    Attributes:
        sigma: rad or m.
    """

    sigma: float = 0.3

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        wanted = self.positions(self.reference(step, 1))
        return self.kernel(_rms(self.positions(step.view) - wanted)), carry


@REWARDS.register("motion_joint_velocity")
@dataclass(frozen=True, kw_only=True)
class MotionJointVelocity(JointReference, Tracking):
    """exp(-e^2 / sigma^2), e the RMS over joints of their velocities' errors. Range (0, 1].

    Attributes:
        sigma: rad/s or m/s.
    """

    sigma: float = 3.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        wanted = self.velocities(self.reference(step, 1))
        return self.kernel(_rms(self.velocities(step.view) - wanted)), carry


@REWARDS.register("motion_base_position")
@dataclass(frozen=True, kw_only=True)
class MotionBasePosition(BaseReference, Tracking):
    """exp(-|p - p of the motion|^2 / sigma^2), p the base's position in the world. Range (0, 1].

    Attributes:
        sigma: m.
        horizontal: x and y count; false: the height alone.
    """

    sigma: float = 0.3
    horizontal: bool = True

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        off = self.base.position(step.view) - self.base.position(self.reference(step, 1))
        return self.kernel(off if self.horizontal else off[2:]), carry


@REWARDS.register("motion_base_orientation")
@dataclass(frozen=True, kw_only=True)
class MotionBaseOrientation(BaseReference, Tracking):
    """exp(-a^2 / sigma^2), a the angle between the base and that of the motion. Range (0, 1].

    Attributes:
        sigma: rad.
    """

    sigma: float = 0.4

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return self.kernel(self.orientation_error(step.view, self.reference(step, 1))), carry


@REWARDS.register("motion_base_linear_velocity")
@dataclass(frozen=True, kw_only=True)
class MotionBaseLinearVelocity(BaseReference, Tracking):
    """exp(-|v - v of the motion|^2 / sigma^2), v the base's in the world. Range (0, 1].

    Attributes:
        sigma: m/s.
    """

    sigma: float = 1.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        wanted = self.base.linear_velocity(self.reference(step, 1))
        return self.kernel(self.base.linear_velocity(step.view) - wanted), carry


@REWARDS.register("motion_base_angular_velocity")
@dataclass(frozen=True, kw_only=True)
class MotionBaseAngularVelocity(BaseReference, Tracking):
    """exp(-|w - w of the motion|^2 / sigma^2), w in the base's own frame. Range (0, 1].

    Attributes:
        sigma: rad/s.
    """

    sigma: float = 3.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        wanted = self.base.angular_velocity(self.reference(step, 1))
        return self.kernel(self.base.angular_velocity(step.view) - wanted), carry


@REWARDS.register("motion_body_position")
@dataclass(frozen=True, kw_only=True)
class MotionBodyPosition(BodyReference, Tracking):
    """exp(-e^2 / sigma^2), e the RMS over bodies of how far each is, seen from the base. (0, 1].

    Attributes:
        bodies: names or patterns: hands, feet, head.
        sigma: m.
    """

    bodies: tuple[str, ...] = ("*",)
    sigma: float = 0.15

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return self.kernel(_rms(self.body_errors(step))), carry
