"""Terminations and truncations."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp import maths
from ksim_cli.mdp.feet import TouchTerm
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.heights import HeightTerm
from ksim_cli.mdp.term import Carry, Termination
from ksim_cli.registry import TERMINATIONS
from ksim_cli.types import Step


def _failure(where: jax.Array) -> jax.Array:
    return jnp.where(where, -1, 0)


@TERMINATIONS.register("episode_length")
@dataclass(frozen=True, kw_only=True)
class EpisodeLength(Termination):
    """Truncates an episode at `max_length_seconds` (the first control step at or after it).

    Attributes:
        max_length_seconds: longest episode, s.
    """

    truncates: ClassVar[bool] = True
    max_length_seconds: float

    def __post_init__(self) -> None:
        """Refuses a length that no episode can have."""
        if not self.max_length_seconds > 0:
            raise ValueError(f"max_length_seconds={self.max_length_seconds}: must be positive")

    def longest_episode(self) -> float | None:
        """See `Termination`."""
        return self.max_length_seconds

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        # Times are float32 multiples of the control step: the margin absorbs their rounding.
        return jnp.where(step.time >= self.max_length_seconds - 1e-4, 1, 0), carry


@TERMINATIONS.register("not_upright")
@dataclass(frozen=True, kw_only=True)
class NotUpright(BaseTerm, Termination):
    """Fails where the base's z axis is more than `max_tilt` from the vertical.

    Attributes:
        max_tilt: rad.
    """

    max_tilt: float

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        gravity = maths.projected_gravity(self.base.quaternion(step.view))
        tilt = jnp.arctan2(jnp.linalg.norm(gravity[:2]), -gravity[2])
        return _failure(tilt > self.max_tilt), carry


@TERMINATIONS.register("minimum_height")
@dataclass(frozen=True, kw_only=True)
class MinimumHeight(HeightTerm, Termination):
    """Fails where the base is lower than `height`.

    Attributes:
        height: m.
    """

    height: float

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        return _failure(self.height_now(step.view) < self.height), carry


@TERMINATIONS.register("bad_z")
@dataclass(frozen=True, kw_only=True)
class BadZ(HeightTerm, Termination):
    """Fails where the base's height is outside [low, high].

    Attributes:
        low: m.
        high: m.
        low_final: m, what the curriculum's level leads `low` to, in proportion; null: it stays.
        high_final: m, the same of `high`.
    """

    low: float
    high: float
    low_final: float | None = None
    high_final: float | None = None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        height, level = self.height_now(step.view), step.level
        low_final = self.low if self.low_final is None else self.low_final
        high_final = self.high if self.high_final is None else self.high_final
        low = self.low + level * (low_final - self.low)
        high = self.high + level * (high_final - self.high)
        return _failure((height < low) | (height > high)), carry


@TERMINATIONS.register("bad_velocity")
@dataclass(frozen=True, kw_only=True)
class BadVelocity(BaseTerm, Termination):
    """Fails where the base moves or turns too fast to be true.

    Attributes:
        max_linear: speed, m/s; null: any.
        max_angular: rate of turn, rad/s; null: any.
    """

    max_linear: float | None = None
    max_angular: float | None = None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        bad = jnp.zeros((), bool)
        if self.max_linear is not None:
            bad |= jnp.linalg.norm(self.base.linear_velocity(step.view)) > self.max_linear
        if self.max_angular is not None:
            bad |= jnp.linalg.norm(self.base.angular_velocity(step.view)) > self.max_angular
        return _failure(bad), carry


@TERMINATIONS.register("far_from_origin")
@dataclass(frozen=True, kw_only=True)
class FarFromOrigin(BaseTerm, Termination):
    """Fails where the base is farther than `max_distance` from the world's origin, horizontally.

    Attributes:
        max_distance: m.
        pos_termination: whether that is a success instead.
    """

    max_distance: float
    pos_termination: bool = False

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        distance = jnp.linalg.norm(self.base.position(step.view)[:2])
        ended = 1 if self.pos_termination else -1
        return jnp.where(distance > self.max_distance, ended, 0), carry


@TERMINATIONS.register("illegal_contact")
@dataclass(frozen=True, kw_only=True)
class IllegalContact(TouchTerm, Termination):
    """Fails where a body or geom, named under `feet`, touches anything, or something `against`."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""
        return _failure(self.touching(step.view).any()), carry
