"""Action filters: what an actuator's action goes through before it is sent."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.term import Carry, Latch
from ksim_cli.registry import FILTERS, Registry

Filtered = tuple[jax.Array, Carry]
"""A filtered action `[A]` and the new carry."""

Moved = tuple[jax.Array, jax.Array]
"""A target and its velocity per second, `[A]` each."""


@dataclass(frozen=True, kw_only=True)
class ActionFilter:
    """Changes an actuator's action before it is sent, once per control step."""

    registry: ClassVar[Registry[Any]] = FILTERS

    def init(self, size: int) -> Carry:
        """The carry at the start of an episode, for an action of `size` elements."""
        del size
        return ()

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """The filtered action.

        Args:
            action: `[A]` the action asked for.
            rest: `[A]` the action that would leave the joints where they are.
            dt: s between two actions.
            carry: the carry.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Bounded(ActionFilter):
    """Base of filters that keep within a range.

    Attributes:
        low: smallest action.
        high: largest action.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a range without width."""
        if not self.low < self.high:
            raise ValueError(f"low={self.low}: must be below high={self.high}")


@FILTERS.register("clip_positions")
@dataclass(frozen=True, kw_only=True)
class ClipPositions(Bounded):
    """clip(action, low, high)."""

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """See `ActionFilter`."""
        return jnp.clip(action, self.low, self.high), carry


@FILTERS.register("tanh_positions")
@dataclass(frozen=True, kw_only=True)
class TanhPositions(Bounded):
    """low + (tanh(action) + 1) / 2 * (high - low): all of the range and nothing outside it."""

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """See `ActionFilter`."""
        return self.low + 0.5 * (jnp.tanh(action) + 1.0) * (self.high - self.low), carry


@dataclass(frozen=True, kw_only=True)
class Following(ActionFilter):
    """Base of filters that move a target; it begins an episode at rest, where the joints are.

    The carry holds the last target and its velocity.
    """

    def init(self, size: int) -> Carry:
        """See `ActionFilter`."""
        return {"target": Latch.empty(size), "velocity": jnp.zeros(size)}

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """See `ActionFilter`."""
        last = carry["target"].get(rest)
        target, velocity = self.follow(action, last, carry["velocity"], dt)
        return target, {"target": Latch.holding(target), "velocity": velocity}

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """The next target."""
        raise NotImplementedError


@FILTERS.register("clip_acceleration")
@dataclass(frozen=True, kw_only=True)
class ClipAcceleration(Following):
    """The action as target, its velocity changing by at most `limit` per second.

    Attributes:
        limit: action units/s^2.
    """

    limit: float

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        change = jnp.clip((action - last) / dt - velocity, -self.limit * dt, self.limit * dt)
        velocity = velocity + change
        return last + velocity * dt, velocity


@dataclass(frozen=True, kw_only=True)
class Integrator(Following):
    """Base of filters that integrate the action, scaled, into a target within a range.

    Attributes:
        scale: of the action.
        low: smallest target.
        high: largest target.
    """

    scale: float = 1.0
    low: float = -math.inf
    high: float = math.inf


@FILTERS.register("integrate_velocity")
@dataclass(frozen=True, kw_only=True)
class IntegrateVelocity(Integrator):
    """target += clip within range (scale * action * dt): the action is a velocity."""

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        target = jnp.clip(last + self.scale * action * dt, self.low, self.high)
        return target, (target - last) / dt


@FILTERS.register("integrate_acceleration")
@dataclass(frozen=True, kw_only=True)
class IntegrateAcceleration(Integrator):
    """velocity += scale * action * dt; target += velocity * dt: the action is an acceleration.

    At an end of the range the velocity becomes zero.
    """

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        target = last + (velocity + self.scale * action * dt) * dt
        target = jnp.clip(target, self.low, self.high)
        return target, (target - last) / dt


@FILTERS.register("low_pass")
@dataclass(frozen=True, kw_only=True)
class LowPass(Following):
    """First-order low pass: target += alpha (action - target), alpha = 1 - exp(-2 pi f dt).

    Attributes:
        cutoff_frequency: f, Hz.
    """

    cutoff_frequency: float

    def __post_init__(self) -> None:
        """Refuses a frequency that lets nothing through."""
        if not self.cutoff_frequency > 0:
            raise ValueError(f"cutoff_frequency={self.cutoff_frequency}: must be positive")

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        alpha = 1.0 - math.exp(-2.0 * math.pi * self.cutoff_frequency * dt)
        target = last + alpha * (action - last)
        return target, (target - last) / dt
