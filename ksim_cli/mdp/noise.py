"""Noise. The same terms are a bias where they are drawn once per episode."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from ksim_cli.mdp.level_schedules import Scale, scaled
from ksim_cli.registry import NOISES, Registry


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A random disturbance of a value.

    Attributes:
        scale: how its size depends on the curriculum level; null: in proportion.
    """

    registry: ClassVar[Registry[Any]] = NOISES
    scale: Scale | None = None

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """The value, of the same shape, disturbed by `size` times the declared noise."""
        raise NotImplementedError


Noises = Noise | tuple[Noise, ...] | None
"""No noise, one, or several in order."""


def disturbed(noises: Noises, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
    """A value after all of its noises, each with a draw of its own, at a curriculum level."""
    each = noises if isinstance(noises, tuple) else () if noises is None else (noises,)
    for i, noise in enumerate(each):
        value = noise.disturb(value, jax.random.fold_in(key, i), scaled(noise.scale, level))
    return value


@NOISES.register("additive_gaussian")
@dataclass(frozen=True, kw_only=True)
class AdditiveGaussian(Noise):
    """value + size * (mean + std * n), n ~ N(0, 1) independently per element.

    Attributes:
        std: standard deviation at level 1, in the value's unit.
        mean: at level 1, in the value's unit.
    """

    std: float
    mean: float = 0.0

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value + size * (self.mean + self.std * jax.random.normal(key, value.shape))


@NOISES.register("additive_uniform")
@dataclass(frozen=True, kw_only=True)
class AdditiveUniform(Noise):
    """value + size * (mean + u), u ~ U(-magnitude, magnitude) independently per element.

    Attributes:
        magnitude: half width at level 1, in the value's unit.
        mean: at level 1, in the value's unit.
    """

    magnitude: float
    mean: float = 0.0

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        uniform = jax.random.uniform(key, value.shape, minval=-1.0)
        return value + size * (self.mean + self.magnitude * uniform)


@NOISES.register("multiplicative_gaussian")
@dataclass(frozen=True, kw_only=True)
class MultiplicativeGaussian(Noise):
    """value * (1 + size * (mean + std * n)), n ~ N(0, 1) independently per element.

    Attributes:
        std: standard deviation of the factor at level 1.
        mean: of the factor, beyond 1, at level 1.
    """

    std: float
    mean: float = 0.0

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        normal = jax.random.normal(key, value.shape)
        return value * (1.0 + size * (self.mean + self.std * normal))


@NOISES.register("multiplicative_uniform")
@dataclass(frozen=True, kw_only=True)
class MultiplicativeUniform(Noise):
    """value * (1 + size * (mean + u)), u ~ U(-magnitude, magnitude) independently per element.

    Attributes:
        magnitude: half width of the factor at level 1.
        mean: of the factor, beyond 1, at level 1.
    """

    magnitude: float
    mean: float = 0.0

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        uniform = jax.random.uniform(key, value.shape, minval=-1.0)
        return value * (1.0 + size * (self.mean + self.magnitude * uniform))
