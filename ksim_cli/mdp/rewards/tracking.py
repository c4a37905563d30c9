"""Rewards for doing what a command says."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.heights import HeightTerm
from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.term import Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Marker, Step

GREEN = (0.1, 0.8, 0.3, 0.7)


@dataclass(frozen=True, kw_only=True)
class Tracking(Reward):
    """Base of rewards exp(-|error|^2 / sigma^2): 1 without error, 1/e at an error of sigma.

    The kernel is that of the velocity rewards of Rudin et al. 2022, "Learning to Walk in Minutes".

    Attributes:
        sigma: error at which the reward is 1/e, in the unit of what is tracked.
        sq_scale: subtracts sq_scale |error|^2, so that there is a slope far from the command, too.
        abs_scale: subtracts abs_scale |error|, likewise.
    """

    sigma: float = 0.5
    sq_scale: float = 0.0
    abs_scale: float = 0.0

    def __post_init__(self) -> None:
        """Refuses a kernel without width, and tails that lead away."""
        if not self.sigma > 0:
            raise ValueError(f"sigma={self.sigma}: must be positive")
        for name in ("sq_scale", "abs_scale"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 0")

    def kernel(self, error: jax.Array) -> jax.Array:
        """The reward of an error `[D]`."""
        size = jnp.linalg.norm(error)
        tails = self.sq_scale * jnp.square(size) + self.abs_scale * size
        return maths.tracking(error, self.sigma) - tails


@REWARDS.register("linear_velocity")
@dataclass(frozen=True, kw_only=True)
class LinearVelocityTracking(BaseTerm, Tracking):
    """exp(-|v - command|^2 / sigma^2), v forward and left of where the base looks. Range (0, 1].

    Attributes:
        command: name of a command [vx, vy], m/s.
        component: what of the velocity: all of it (`vector`), its size (`speed`), the angle between
            it and the command (`direction`, with `sigma` in rad), or one element (`x`, `y`).
        zero_threshold: m/s; where one is slower there is no direction, and the reward is 0.
    """

    command: str = "linear_velocity"
    component: Literal["vector", "speed", "direction", "x", "y"] = "vector"
    zero_threshold: float = 0.01

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        velocity = self.base.heading_velocity(step.view)[:2]
        told = commanded(step, self.command, 2)
        if self.component == "vector":
            return self.kernel(velocity - told), carry
        if self.component in ("x", "y"):
            i = "xy".index(self.component)
            return self.kernel(velocity[i : i + 1] - told[i : i + 1]), carry
        speeds = jnp.linalg.norm(jnp.stack([velocity, told]), axis=1)
        if self.component == "speed":
            return self.kernel(speeds[:1] - speeds[1:]), carry
        along, across = velocity @ told, told[0] * velocity[1] - told[1] * velocity[0]
        value = self.kernel(jnp.arctan2(across, along)[None])
        return jnp.where((speeds < self.zero_threshold).any(), 0.0, value), carry

    def markers(self, step: Step) -> tuple[Marker, ...]:
        """An arrow along the velocity that is, one metre per m/s."""
        velocity = self.base.linear_velocity(step.view).at[2].set(0.0)
        turn = maths.about_z(jnp.arctan2(velocity[1], velocity[0]))
        size = jnp.array([jnp.linalg.norm(velocity), 0.02, 0.02])
        foot = self.base.position(step.view) + jnp.array([0.0, 0.0, 0.45])
        return (Marker("arrow", foot, turn, size, GREEN),)


@REWARDS.register("angular_velocity")
@dataclass(frozen=True, kw_only=True)
class AngularVelocityTracking(BaseTerm, Tracking):
    """exp(-(w - command)^2 / sigma^2), w the base's yaw rate in its own frame. Range (0, 1].

    Attributes:
        command: name of a command [w], rad/s.
    """

    command: str = "angular_velocity"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        rate = self.base.angular_velocity(step.view)[2:]
        return self.kernel(rate - commanded(step, self.command, 1)), carry


@REWARDS.register("base_height")
@dataclass(frozen=True, kw_only=True)
class BaseHeightTracking(HeightTerm, Tracking):
    """exp(-(h - target)^2 / sigma^2), h the base's height, m. Range (0, 1].

    Attributes:
        height: the target, m, where no command gives it.
        command: name of a command [h], m; null: none.
    """

    sigma: float = 0.1
    height: float = 0.0
    command: str | None = None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        target = self.height if self.command is None else commanded(step, self.command, 1)
        return self.kernel(self.height_now(step.view)[None] - target), carry


@REWARDS.register("roll_pitch")
@dataclass(frozen=True, kw_only=True)
class RollPitchTracking(BaseTerm, Tracking):
    """exp(-|[roll, pitch] - command|^2 / sigma^2) of the base, rad. Range (0, 1].

    Attributes:
        command: name of a command [roll, pitch], rad, as `float_vector` draws it.
    """

    sigma: float = 0.25
    command: str = "roll_pitch"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        tilt = maths.euler(self.base.quaternion(step.view))[:2]
        return self.kernel(tilt - commanded(step, self.command, 2)), carry


@REWARDS.register("joint_position")
@dataclass(frozen=True, kw_only=True)
class JointPositionTracking(JointTerm, Tracking):
    """exp(-mean (q - command)^2 / sigma^2) over joints, rad or m. Range (0, 1].

    Attributes:
        command: name of a command with one position per joint.
    """

    command: str = "joint_position"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        position = pick(step.view.qpos, self.qpos_addresses)
        error = position - commanded(step, self.command, len(self.qpos_addresses))
        return self.kernel(error / math.sqrt(len(self.qpos_addresses))), carry


@REWARDS.register("motionless_at_rest")
@dataclass(frozen=True, kw_only=True)
class MotionlessAtRest(JointTerm, Reward):
    """Mean of squared joint velocities while the commands are zero, else 0. From 0 up.

    Attributes:
        commands: names of commands.
        threshold: commands whose norms are all below it are zero.
    """

    commands: tuple[str, ...] = ("linear_velocity", "angular_velocity")
    threshold: float = 0.05

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        moving = ordered_to_move(step, self.commands, self.threshold)
        speed = jnp.square(pick(step.view.qvel, self.dof_addresses)).mean()
        return jnp.where(moving, 0.0, speed), carry


def ordered_to_move(step: Step, commands: tuple[str, ...], threshold: float = 0.05) -> jax.Array:
    """Whether any of some commands is larger than a threshold; true where there are none."""
    if not commands:
        return jnp.ones((), bool)
    sizes = jnp.stack([jnp.linalg.norm(commanded(step, name)) for name in commands])
    return (sizes >= threshold).any()
