"""Schedules over the curriculum level: how a size (a noise, a push, a weight) depends on it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.registry import SCALES, Registry


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A factor that depends on the curriculum level."""

    registry: ClassVar[Registry[Any]] = SCALES

    def __call__(self, level: jax.Array) -> jax.Array:
        """The factor at a level in [0, 1]."""
        raise NotImplementedError


def scaled(scale: Scale | None, level: jax.Array) -> jax.Array:
    """The factor of a scale; the level itself where there is none."""
    return level if scale is None else scale(level)


@SCALES.register("constant")
@dataclass(frozen=True, kw_only=True)
class ConstantScale(Scale):
    """`value` at any level.

    Attributes:
        value: the factor.
    """

    value: float = 1.0

    def __call__(self, level: jax.Array) -> jax.Array:
        """See `Scale`."""
        return jnp.full(jnp.shape(level), self.value)


@dataclass(frozen=True, kw_only=True)
class Ramp(Scale):
    """Base of scales that go from one factor at level 0 to another at level 1.

    Attributes:
        at_zero: factor at level 0.
        at_one: factor at level 1.
    """

    at_zero: float = 0.0
    at_one: float = 1.0

    def __call__(self, level: jax.Array) -> jax.Array:
        """See `Scale`."""
        return self.at_zero + (self.at_one - self.at_zero) * self.shape(level)

    def shape(self, level: jax.Array) -> jax.Array:
        """From 0 at level 0 to 1 at level 1."""
        raise NotImplementedError


@SCALES.register("linear")
@dataclass(frozen=True, kw_only=True)
class LinearScale(Ramp):
    """at_zero + (at_one - at_zero) level."""

    def shape(self, level: jax.Array) -> jax.Array:
        """See `Ramp`."""
        return level


@SCALES.register("quadratic")
@dataclass(frozen=True, kw_only=True)
class QuadraticScale(Ramp):
    """at_zero + (at_one - at_zero) level^2: late."""

    def shape(self, level: jax.Array) -> jax.Array:
        """See `Ramp`."""
        return jnp.square(level)


@SCALES.register("square_root")
@dataclass(frozen=True, kw_only=True)
class SquareRootScale(Ramp):
    """at_zero + (at_one - at_zero) sqrt(level): early."""

    def shape(self, level: jax.Array) -> jax.Array:
        """See `Ramp`."""
        return jnp.sqrt(level)


@SCALES.register("non_zero")
@dataclass(frozen=True, kw_only=True)
class NonZeroScale(Ramp):
    """at_zero at level 0, at_one at any level above it."""

    def shape(self, level: jax.Array) -> jax.Array:
        """See `Ramp`."""
        return jnp.where(level > 0, 1.0, 0.0)
