"""Noise. The same terms are a bias where they are drawn once per episode."""

from dataclasses import dataclass

import jax

from ksim_cli.mdp.term import Noise
from ksim_cli.registry import NOISES


@NOISES.register("additive_gaussian")
@dataclass(frozen=True, kw_only=True)
class AdditiveGaussian(Noise):
    """value + size * std * n, n ~ N(0, 1) independently per element.

    Attributes:
        std: standard deviation at level 1, in the value's unit.
    """

    std: float

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value + size * self.std * jax.random.normal(key, value.shape)


@NOISES.register("additive_uniform")
@dataclass(frozen=True, kw_only=True)
class AdditiveUniform(Noise):
    """value + size * u, u ~ U(-magnitude, magnitude) independently per element.

    Attributes:
        magnitude: half width at level 1, in the value's unit.
    """

    magnitude: float

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value + size * self.magnitude * jax.random.uniform(key, value.shape, minval=-1.0)


@NOISES.register("multiplicative_gaussian")
@dataclass(frozen=True, kw_only=True)
class MultiplicativeGaussian(Noise):
    """value * (1 + size * std * n), n ~ N(0, 1) independently per element.

    Attributes:
        std: standard deviation of the factor at level 1.
    """

    std: float

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value * (1.0 + size * self.std * jax.random.normal(key, value.shape))


@NOISES.register("multiplicative_uniform")
@dataclass(frozen=True, kw_only=True)
class MultiplicativeUniform(Noise):
    """value * (1 + size * u), u ~ U(-magnitude, magnitude) independently per element.

    Attributes:
        magnitude: half width of the factor at level 1.
    """

    magnitude: float

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """See `Noise`."""
        factor = self.magnitude * jax.random.uniform(key, value.shape, minval=-1.0)
        return value * (1.0 + size * factor)
