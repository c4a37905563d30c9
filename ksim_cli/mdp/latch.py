"""A value that a carry holds from the first step of an episode on."""

import jax
import jax.numpy as jnp
from flax import struct


class Latch(struct.PyTreeNode):
    """A value, and whether it is known yet: at the start of an episode it is not.

    Attributes:
        value: the value; zeros before it is known.
        is_set: bool.
    """

    value: jax.Array
    is_set: jax.Array

    @classmethod
    def empty(cls, *shape: int) -> "Latch":
        """A latch for a value of some shape, unknown yet."""
        return cls(jnp.zeros(shape), jnp.zeros((), bool))

    @classmethod
    def holding(cls, value: jax.Array) -> "Latch":
        """A latch that holds a value."""
        return cls(value, jnp.ones((), bool))

    def get(self, otherwise: jax.Array) -> jax.Array:
        """The value held, or `otherwise` (broadcast to its shape) before there is one."""
        otherwise = jnp.broadcast_to(otherwise, self.value.shape)
        return jnp.where(self.is_set, self.value, otherwise)
