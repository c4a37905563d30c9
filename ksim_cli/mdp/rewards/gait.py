"""Rewards of steps: how feet swing and land, and how many of them stand."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.feet import FeetTerm
from ksim_cli.mdp.rewards.feet import MovingReward
from ksim_cli.mdp.rewards.tracking import ordered_to_move
from ksim_cli.mdp.sensors import FORCES
from ksim_cli.mdp.term import Carry
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class Swing(FeetTerm, MovingReward):
    """Base of what is paid at touch-down for the highest point of the swing before it.

    Attributes:
        height: wanted of the foot's frame, m above where it stands.
        ground: height of a foot's frame that stands, m.
    """

    height: float
    ground: float = 0.0

    def __post_init__(self) -> None:
        """Refuses a height that is none."""
        if not self.height > 0:
            raise ValueError(f"height={self.height}: must be positive")

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: each foot's highest point since it left the ground, and its touch."""
        count = len(self.frames.ids)
        return {"peak": jnp.zeros(count), "touched": jnp.ones(count, bool)}

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        landed = touching & ~carry["touched"]
        paid = jnp.where(landed, self.paid(carry["peak"] / self.height), 0.0)
        peak = jnp.maximum(carry["peak"], self.heights(step.view) - self.ground)
        carry = {"peak": jnp.where(touching, 0.0, peak), "touched": touching}
        return self.while_moving(step, self.total(paid)), carry

    def paid(self, share: jax.Array) -> jax.Array:
        """`[F]` for highest points as shares of the height wanted."""
        raise NotImplementedError

    def total(self, paid: jax.Array) -> jax.Array:
        """Of what is paid for each foot."""
        return paid.sum()


@REWARDS.register("feet_swing_height")
@dataclass(frozen=True, kw_only=True)
class FeetSwingHeight(Swing):
    """At each touch-down (peak / height - 1)^2, else 0. Summed over the feet; a penalty."""

    def paid(self, share: jax.Array) -> jax.Array:
        """See `Swing`."""
        return jnp.square(share - 1.0)


@REWARDS.register("feet_peak_height")
@dataclass(frozen=True, kw_only=True)
class FeetPeakHeight(Swing):
    """At each touch-down min(peak / height, 1), else 0. Mean over the feet; range [0, 1].

    The reference calls it SparseTargetHeightReward.
    """

    def paid(self, share: jax.Array) -> jax.Array:
        """See `Swing`."""
        return jnp.clip(share, 0.0, 1.0)

    def total(self, paid: jax.Array) -> jax.Array:
        """See `Swing`."""
        return paid.mean()


@REWARDS.register("soft_landing")
@dataclass(frozen=True, kw_only=True)
class SoftLanding(FeetTerm, MovingReward):
    """At each touch-down the net contact force, N, else 0. Summed over the feet; a penalty."""

    wanted: ClassVar[tuple[str, ...]] = FORCES

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: whether each foot touched."""
        return jnp.ones(len(self.frames.ids), bool)

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        force = jnp.linalg.norm(self.contacts.force(step.view), axis=1)
        return self.while_moving(step, jnp.where(touching & ~carry, force, 0.0).sum()), touching


@REWARDS.register("single_foot_contact")
@dataclass(frozen=True, kw_only=True)
class SingleFootContact(FeetTerm, MovingReward):
    """1 while one foot alone touches, or did less than `grace_period` ago, else 0. Range {0, 1}.

    Attributes:
        grace_period: s for which both may stand, or neither, between two steps.
        commands: names of commands; while all of them are zero it is 1 however the robot stands.
    """

    grace_period: float = 0.2

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: s since one foot alone touched."""
        return jnp.zeros(())

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        single = self.contacts.touching(step.view).sum() == 1
        since = jnp.where(single, 0.0, carry + step.ctrl_dt)
        # Times are sums of float32 control steps: the margin absorbs their rounding.
        value = jnp.where(single | (since < self.grace_period - 1e-4), 1.0, 0.0)
        return jnp.where(ordered_to_move(step, self.commands), value, 1.0), since


@REWARDS.register("no_contact")
@dataclass(frozen=True, kw_only=True)
class NoContact(FeetTerm, MovingReward):
    """1 while no foot touches anything, else 0. Range {0, 1}, a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touches = self.contacts.touching(step.view).any()
        return self.while_moving(step, jnp.where(touches, 0.0, 1.0)), carry
