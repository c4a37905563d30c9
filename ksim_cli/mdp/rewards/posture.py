"""Rewards of how the base and other bodies are held."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.frames import BodyTerm
from ksim_cli.mdp.term import Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("stay_alive")
@dataclass(frozen=True, kw_only=True)
class StayAlive(Reward):
    """1 for a step that does not end in failure, else 0. Range {0, 1}."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.where(step.termination < 0, 0.0, 1.0), carry


@REWARDS.register("upright")
@dataclass(frozen=True, kw_only=True)
class Upright(BaseTerm, Reward):
    """(1 + cos tilt) / 2, tilt between the base's z axis and the vertical. Range [0, 1]."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        gravity = maths.projected_gravity(self.base.quaternion(step.view))
        return 0.5 * (1.0 - gravity[2]), carry


@REWARDS.register("no_roll")
@dataclass(frozen=True, kw_only=True)
class NoRoll(BaseTerm, Reward):
    """sin^2 of the angle by which the base leans to a side. Range [0, 1], a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        gravity = maths.projected_gravity(self.base.quaternion(step.view))
        return jnp.square(gravity[1]), carry


@REWARDS.register("flat_body")
@dataclass(frozen=True, kw_only=True)
class FlatBody(BodyTerm, Reward):
    """Mean of sin^2 tilt of bodies' z axes: 0 when all are level. Range [0, 1], a penalty.

    It is 0 upside down as well, which `not_upright` or `upright` tells.
    """

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        gravity = maths.projected_gravity(step.view.xquat[jnp.array(self.body_ids)])
        return jnp.square(gravity[:, :2]).sum(-1).mean(), carry


@REWARDS.register("off_axis_velocity")
@dataclass(frozen=True, kw_only=True)
class OffAxisVelocity(BaseTerm, Reward):
    """vz^2 + angular_weight (roll rate^2 + pitch rate^2) of the base. From 0 up, a penalty.

    vz in the world frame, m/s; rates in the base's own, rad/s.

    Attributes:
        angular_weight: of the rates against the speed, m^2/rad^2.
    """

    angular_weight: float = 0.05

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        vertical = jnp.square(self.base.linear_velocity(step.view)[2])
        rates = jnp.square(self.base.angular_velocity(step.view)[:2]).sum()
        return vertical + self.angular_weight * rates, carry


@REWARDS.register("base_height_range")
@dataclass(frozen=True, kw_only=True)
class BaseHeightRange(BaseTerm, Reward):
    """1 while the base is in [low, high], outside exp(-d^2 / sigma^2) at distance d. (0, 1].

    Attributes:
        low: m.
        high: m.
        sigma: m.
    """

    low: float
    high: float
    sigma: float = 0.05

    def __post_init__(self) -> None:
        """Refuses a range that is none."""
        if not self.low <= self.high or not self.sigma > 0:
            raise ValueError(f"low={self.low}, high={self.high}: must be a range, and sigma > 0")

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        height = self.base.position(step.view)[2:]
        return maths.tracking(height - jnp.clip(height, self.low, self.high), self.sigma), carry


@REWARDS.register("sparse_target_height")
@dataclass(frozen=True, kw_only=True)
class SparseTargetHeight(BaseTerm, Reward):
    """1 while the base is at least `height` high (for jumping), else 0. Range {0, 1}.

    Attributes:
        height: m.
    """

    height: float

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.where(self.base.position(step.view)[2] >= self.height, 1.0, 0.0), carry
