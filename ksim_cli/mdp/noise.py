"""Noise on observations."""

from dataclasses import dataclass

import jax

from ksim_cli.mdp.term import Noise
from ksim_cli.registry import NOISES


@NOISES.register("additive_gaussian")
@dataclass(frozen=True, kw_only=True)
class AdditiveGaussian(Noise):
    """value + level * std * n, n ~ N(0, 1) independently per element.

    Attributes:
        std: standard deviation at level 1, in the observation's unit.
    """

    std: float

    def __call__(self, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value + level * self.std * jax.random.normal(key, value.shape)


@NOISES.register("additive_uniform")
@dataclass(frozen=True, kw_only=True)
class AdditiveUniform(Noise):
    """value + level * u, u ~ U(-magnitude, magnitude) independently per element.

    Attributes:
        magnitude: half width at level 1, in the observation's unit.
    """

    magnitude: float

    def __call__(self, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
        """See `Noise`."""
        return value + level * self.magnitude * jax.random.uniform(key, value.shape, minval=-1.0)
