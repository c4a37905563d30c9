"""Distributions over actions."""

import math

import jax
import jax.numpy as jnp
from flax import struct


class DiagonalNormal(struct.PyTreeNode):
    """Independent normal distributions of A action elements.

    Attributes:
        mean: `[..., A]`.
        std: `[..., A]`, positive.
    """

    mean: jax.Array
    std: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """One sample, `[..., A]`."""
        return self.mean + self.std * jax.random.normal(key, self.mean.shape)

    def mode(self) -> jax.Array:
        """The most likely action, `[..., A]`."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log density summed over the elements, `[...]`."""
        z = (action - self.mean) / self.std
        return (-0.5 * jnp.square(z) - jnp.log(self.std) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> jax.Array:
        """Differential entropy, nat, `[...]`."""
        entropy = 0.5 * math.log(2 * math.pi * math.e) + jnp.log(self.std)
        return jnp.broadcast_to(entropy, self.mean.shape).sum(-1)
