"""Choices among environments, for pytrees whose every leaf has a leading axis of N of them."""

from typing import Any

import jax
import jax.numpy as jnp


def select_envs(mask: jax.Array, new: Any, old: Any) -> Any:
    """A pytree whose environments of `mask` `[N]` are those of `new`, the others those of `old`."""
    return jax.tree.map(lambda a, b: jnp.where(_along(mask, a), a, b), new, old)


def zeroed(mask: jax.Array, tree: Any) -> Any:
    """The pytree with zeros in the environments of `mask` `[N]`; what holds no numbers stays."""

    def zero(leaf: jax.Array) -> jax.Array:
        is_number = jnp.issubdtype(leaf.dtype, jnp.number)
        return jnp.where(_along(mask, leaf), 0, leaf) if is_number else leaf

    return jax.tree.map(zero, tree)


def _along(mask: jax.Array, leaf: jax.Array) -> jax.Array:
    return mask.reshape(-1, *[1] * (leaf.ndim - 1))
