"""Rewards of how the base and other bodies are held."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.frames import BodyTerm
from ksim_cli.mdp.heights import HeightTerm
from ksim_cli.mdp.term import Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("stay_alive")
@dataclass(frozen=True, kw_only=True)
class StayAlive(Reward):
    """1 for a step that does not end in failure, else 0. Range {0, 1} without parameters.

    Attributes:
        balance: steps that a failure takes back: 1 / balance for a step and -1 for a failure; null:
            as above.
        success_reward: for a step that ends in success; null: as for any other.
    """

    balance: float | None = None
    success_reward: float | None = None

    def __post_init__(self) -> None:
        """Refuses a balance that is no number of steps."""
        if self.balance is not None and not self.balance > 0:
            raise ValueError(f"balance={self.balance}: must be positive, or null")

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        alive, failed = (1.0, 0.0) if self.balance is None else (1.0 / self.balance, -1.0)
        success = alive if self.success_reward is None else self.success_reward
        value = jnp.where(step.termination > 0, success, alive)
        return jnp.where(step.termination < 0, failed, value), carry


@REWARDS.register("is_terminated")
@dataclass(frozen=True, kw_only=True)
class IsTerminated(Reward):
    """1 for a step that ends in failure, else 0. Range {0, 1}, a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.where(step.termination < 0, 1.0, 0.0), carry


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
    """Mean of sin^2 tilt of an axis of bodies: 0 when all are level. Range [0, 1], a penalty.

    It is 0 upside down as well, which `not_upright` or `upright` tells.

    Attributes:
        plane: the axis that is to be vertical, normal to the plane that is to be level, in the
            bodies' own frames.
    """

    plane: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        """Refuses an axis without direction."""
        if not math.hypot(*self.plane) > 0:
            raise ValueError(f"plane={list(self.plane)}: must point somewhere")

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        gravity = maths.projected_gravity(step.view.xquat[jnp.array(self.body_ids)])
        axis = jnp.array(self.plane) / math.hypot(*self.plane)
        across = gravity - (gravity @ axis)[:, None] * axis[None]
        return jnp.square(across).sum(-1).mean(), carry


@REWARDS.register("off_axis_velocity")
@dataclass(frozen=True, kw_only=True)
class OffAxisVelocity(BaseTerm, Reward):
    """linear_weight vz^2 + angular_weight (roll rate^2 + pitch rate^2) of the base. A penalty.

    vz in the world frame, m/s; rates in the base's own, rad/s.

    Attributes:
        angular_weight: of the rates against the speed, m^2/rad^2.
        linear_weight: of the speed; 0: the rates alone.
    """

    angular_weight: float = 0.05
    linear_weight: float = 1.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        vertical = jnp.square(self.base.linear_velocity(step.view)[2])
        rates = jnp.square(self.base.angular_velocity(step.view)[:2]).sum()
        return self.linear_weight * vertical + self.angular_weight * rates, carry


@REWARDS.register("base_height_range")
@dataclass(frozen=True, kw_only=True)
class BaseHeightRange(HeightTerm, Reward):
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
        height = self.height_now(step.view)[None]
        return maths.tracking(height - jnp.clip(height, self.low, self.high), self.sigma), carry


@REWARDS.register("sparse_target_height")
@dataclass(frozen=True, kw_only=True)
class SparseTargetHeight(BaseTerm, Reward):
    """1 while the base is at least `height` high (for jumping), else 0. Range {0, 1}.

    What the reference calls so, the height of a swing paid at landing, is `feet_peak_height`.

    Attributes:
        height: m.
    """

    height: float

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.where(self.base.position(step.view)[2] >= self.height, 1.0, 0.0), carry
