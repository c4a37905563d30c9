"""Rewards of how smoothly actions, joints and links move: differences over control steps."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.frames import MovingBodies
from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.maths import Norm, cost, pick
from ksim_cli.mdp.term import ActionTerm, Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class Difference(Reward):
    """Base of penalties: mean of the squared n-th difference of a signal, from 0 up.

    It is 0 until an episode is old enough to have one.

    Attributes:
        order: n.
        per_second: whether differences are divided by the control step, n times.
        norm: `l2`: squares; `l1`: absolute values instead.
    """

    order: ClassVar[int] = 1
    per_second: ClassVar[bool] = True
    norm: Norm = "l2"

    @property
    def size(self) -> int:
        """Elements of the signal."""
        raise NotImplementedError

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: the last n values, newest first, and how many are known."""
        return {"past": jnp.zeros((self.order, self.size)), "known": jnp.int32(0)}

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        values = jnp.concatenate([self.signal(step)[None], carry["past"]])
        difference = values
        for _ in range(self.order):
            difference = difference[:-1] - difference[1:]
        if self.per_second:
            difference = difference / step.ctrl_dt**self.order
        value = jnp.where(carry["known"] >= self.order, cost(difference, self.norm).mean(), 0.0)
        known = jnp.minimum(carry["known"] + 1, self.order)
        return value, {"past": values[:-1], "known": known}

    def signal(self, step: Step) -> jax.Array:
        """`[size]` what is differenced."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ActionDifference(ActionTerm, Difference):
    """Base of penalties of the action, in its own units: per control step, not per second."""

    per_second: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """See `Difference`."""
        return self.action_size

    def signal(self, step: Step) -> jax.Array:
        """See `Difference`."""
        return step.action


@REWARDS.register("action_magnitude")
@dataclass(frozen=True, kw_only=True)
class ActionMagnitude(ActionTerm, Reward):
    """mean a^2, of an action in its own units. From 0 up, a penalty.

    Attributes:
        norm: `l2`: squares; `l1`: absolute values instead.
    """

    norm: Norm = "l2"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return cost(step.action, self.norm).mean(), carry


@REWARDS.register("action_velocity")
@dataclass(frozen=True, kw_only=True)
class ActionVelocity(ActionDifference):
    """mean (a_t - a_(t-1))^2. From 0 up, a penalty."""


@REWARDS.register("action_acceleration")
@dataclass(frozen=True, kw_only=True)
class ActionAcceleration(ActionDifference):
    """mean (a_t - 2 a_(t-1) + a_(t-2))^2. From 0 up, a penalty."""

    order: ClassVar[int] = 2


@REWARDS.register("action_jerk")
@dataclass(frozen=True, kw_only=True)
class ActionJerk(ActionDifference):
    """mean (a_t - 3 a_(t-1) + 3 a_(t-2) - a_(t-3))^2. From 0 up, a penalty."""

    order: ClassVar[int] = 3


@dataclass(frozen=True, kw_only=True)
class JointDifference(JointTerm, Difference):
    """Base of penalties of joint velocities, rad/s or m/s."""

    @property
    def size(self) -> int:
        """See `Difference`."""
        return len(self.dof_addresses)

    def signal(self, step: Step) -> jax.Array:
        """See `Difference`."""
        return pick(step.view.qvel, self.dof_addresses)


@REWARDS.register("joint_velocity")
@dataclass(frozen=True, kw_only=True)
class JointVelocity(JointDifference):
    """Mean of squared joint velocities, (rad/s)^2. From 0 up, a penalty."""

    order: ClassVar[int] = 0

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: nothing is remembered."""
        return ()

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return cost(self.signal(step), self.norm).mean(), carry


@REWARDS.register("joint_acceleration")
@dataclass(frozen=True, kw_only=True)
class JointAcceleration(JointDifference):
    """Mean of squared joint accelerations, (rad/s^2)^2. From 0 up, a penalty."""


@REWARDS.register("joint_jerk")
@dataclass(frozen=True, kw_only=True)
class JointJerk(JointDifference):
    """Mean of squared joint jerks, (rad/s^3)^2. From 0 up, a penalty."""

    order: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class LinkDifference(MovingBodies, Difference):
    """Base of penalties of bodies' linear velocities in the world frame, m/s."""

    @property
    def size(self) -> int:
        """See `Difference`."""
        return len(self.velocities)

    def signal(self, step: Step) -> jax.Array:
        """See `Difference`."""
        return self.velocity(step.view)


@REWARDS.register("link_acceleration")
@dataclass(frozen=True, kw_only=True)
class LinkAcceleration(LinkDifference):
    """Mean over bodies and axes of squared accelerations of origins, (m/s^2)^2. A penalty."""


@REWARDS.register("link_jerk")
@dataclass(frozen=True, kw_only=True)
class LinkJerk(LinkDifference):
    """Mean over bodies and axes of squared jerks of origins, (m/s^3)^2. A penalty."""

    order: ClassVar[int] = 2
