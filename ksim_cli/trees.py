"""Choices between pytrees: of environments, on a leading axis of N of them, and of whole trees."""

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


def breaks(before: Any, after: Any) -> jax.Array:
    """Whether a number that was finite no longer is; some begin with an infinity."""

    def broken(old: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return jnp.zeros((), bool)
        return (jnp.isfinite(old) & ~jnp.isfinite(new)).any()

    each = jax.tree.leaves(jax.tree.map(broken, before, after))
    return jnp.stack([jnp.zeros((), bool), *each]).any()


def unless(skips: jax.Array, before: Any, after: Any) -> Any:
    """The pytree `after`, where `skips` `before`."""
    return jax.tree.map(lambda old, new: jnp.where(skips, old, new), before, after)


def filled(given: Any, fresh: Any) -> Any:
    """The pytree `given` with what `fresh` has where there is None."""
    return jax.tree.map(
        lambda new, old: old if new is None else new, given, fresh, is_leaf=lambda x: x is None
    )


def _along(mask: jax.Array, leaf: jax.Array) -> jax.Array:
    return mask.reshape(-1, *[1] * (leaf.ndim - 1))
