"""Action filters: what an actuator's action goes through before it is sent."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from ksim_cli.errors import UserError
from ksim_cli.mdp.joints import PerJoint
from ksim_cli.mdp.term import Carry, Latch
from ksim_cli.physics.names import match_names
from ksim_cli.registry import FILTERS, Registry

Filtered = tuple[jax.Array, Carry]
"""A filtered action `[A]` and the new carry."""

Moved = tuple[jax.Array, jax.Array]
"""A target and its velocity per second, `[A]` each."""


@dataclass(frozen=True, kw_only=True)
class ActionFilter:
    """Changes an actuator's action before it is sent, once per control step."""

    registry: ClassVar[Registry[Any]] = FILTERS

    def bind(self, names: tuple[str, ...]) -> Self:
        """The filter with its tables by joint written out: one number for each element.

        Args:
            names: the joint (or actuator) of each element of the action.

        Raises:
            UserError: a table names none of them, or lacks one where there is no default.
        """
        tables = {f: getattr(self, f.name) for f in fields(self)}
        bound = {
            f.name: _per_element(f.name, table, names, f.default)
            for f, table in tables.items()
            if isinstance(table, Mapping)
        }
        try:
            return replace(self, **bound)
        except ValueError as error:
            raise UserError(str(error)) from error

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


def _per_element(
    field: str, table: Mapping[str, float], names: tuple[str, ...], default: Any
) -> tuple[float, ...]:
    numbers: dict[str, float] = {}
    for pattern, number in table.items():
        found = match_names([pattern], list(dict.fromkeys(names)), "joint of this actuator")
        numbers |= dict.fromkeys(found, number)
    for name in names:
        if name not in numbers:
            if default is MISSING:
                raise UserError(f"{field}: needs a number for '{name}', too")
            numbers[name] = default
    return tuple(numbers[name] for name in names)


PerElement = PerJoint | tuple[float, ...]
"""One number for all elements of an action, joint name or pattern -> number, or each number."""


@dataclass(frozen=True, kw_only=True)
class Bounded(ActionFilter):
    """Base of filters that keep within a range.

    Attributes:
        low: smallest action; or joint name or pattern -> smallest, those not named have -1.
        high: largest action; or likewise, those not named have 1.
    """

    low: PerElement = -1.0
    high: PerElement = 1.0

    def __post_init__(self) -> None:
        """Refuses a range without width."""
        _refuse_empty(self.low, self.high)

    def range(self) -> tuple[jax.Array, jax.Array]:
        """`low` and `high`, of all elements or of each."""
        return jnp.asarray(self.low), jnp.asarray(self.high)


def _refuse_empty(low: PerElement, high: PerElement) -> None:
    if isinstance(low, Mapping) or isinstance(high, Mapping):
        return  # `bind` writes them out first
    lows, highs = (x if isinstance(x, tuple) else (x,) for x in (low, high))
    lows, highs = lows * len(highs), highs * len(lows)
    if any(not a < b for a, b in zip(lows, highs, strict=False)):
        raise ValueError(f"low={low}: must be below high={high}")


@FILTERS.register("clip_positions")
@dataclass(frozen=True, kw_only=True)
class ClipPositions(Bounded):
    """clip(action, low, high)."""

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """See `ActionFilter`."""
        return jnp.clip(action, *self.range()), carry


@FILTERS.register("tanh_positions")
@dataclass(frozen=True, kw_only=True)
class TanhPositions(Bounded):
    """low + (tanh(action) + 1) / 2 * (high - low): all of the range and nothing outside it."""

    def __call__(self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry) -> Filtered:
        """See `ActionFilter`."""
        low, high = self.range()
        return low + 0.5 * (jnp.tanh(action) + 1.0) * (high - low), carry


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
        limit: action units/s^2; or joint name or pattern -> limit.
    """

    limit: PerElement

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        most = jnp.asarray(self.limit) * dt
        change = jnp.clip((action - last) / dt - velocity, -most, most)
        velocity = velocity + change
        return last + velocity * dt, velocity


@dataclass(frozen=True, kw_only=True)
class Integrator(Following):
    """Base of filters that integrate the action, scaled, into a target within a range.

    Attributes:
        scale: of the action.
        low: smallest target; or joint name or pattern -> smallest, those not named have none.
        high: largest target; or likewise.
    """

    scale: float = 1.0
    low: PerElement = -math.inf
    high: PerElement = math.inf

    def clip(self, target: jax.Array) -> jax.Array:
        """The target within its range."""
        return jnp.clip(target, jnp.asarray(self.low), jnp.asarray(self.high))


@FILTERS.register("integrate_velocity")
@dataclass(frozen=True, kw_only=True)
class IntegrateVelocity(Integrator):
    """target += clip within range (scale * action * dt): the action is a velocity."""

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        target = self.clip(last + self.scale * action * dt)
        return target, (target - last) / dt


@FILTERS.register("integrate_acceleration")
@dataclass(frozen=True, kw_only=True)
class IntegrateAcceleration(Integrator):
    """velocity += scale * action * dt; target += velocity * dt: the action is an acceleration.

    At an end of the range the velocity becomes zero.
    """

    def follow(self, action: jax.Array, last: jax.Array, velocity: jax.Array, dt: float) -> Moved:
        """See `Following`."""
        target = self.clip(last + (velocity + self.scale * action * dt) * dt)
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
