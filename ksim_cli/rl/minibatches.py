"""What an update learns from, and its division into shuffled minibatches.

The environments form as many groups as a minibatch counts environments, and every minibatch takes
the same number of transitions from each. So on several devices, where each holds some of the
groups, shuffling moves no transition from one to another, and the minibatches are the same on any
number of devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class Batch(struct.PyTreeNode):
    """Transitions an update learns from, `[T, N, ...]` or `[B, ...]`.

    Attributes:
        obs: group -> observations.
        action: actions.
        carry: the model's carry `[N, ...]` before the first step.
        log_prob: log density when acting.
        value: value when acting.
        advantage: advantages.
        target: targets of the value.
        valid: bool; what was quarantined is not learned from.
        done: bool; the environment was reset after the step, and the carry with it.
        raw_action: what densities are evaluated at, where that is not the action; else None.
    """

    obs: dict[str, jax.Array]
    action: jax.Array
    carry: Any
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    target: jax.Array
    valid: jax.Array
    done: jax.Array
    raw_action: jax.Array | None = None


class Transitions:
    """Minibatches `[G * T]` of single transitions, without carries.

    Args:
        batch: `[T, N, ...]`; a `Batch`, or another structure with its fields `valid` and `carry`.
        num_groups: G, which divides N.
    """

    def __init__(self, batch: Any, num_groups: int) -> None:
        num_steps, num_envs = batch.valid.shape
        self._shape = (num_groups, num_steps * (num_envs // num_groups))
        self._num_steps = num_steps

        def by_group(x: jax.Array) -> jax.Array:
            parts = x.reshape(num_steps, num_groups, -1, *x.shape[2:])
            return jnp.moveaxis(parts, 1, 0).reshape(*self._shape, *x.shape[2:])

        # The one copy that lays each group's transitions side by side pays for itself: every pass
        # gathers from them.
        self._groups = jax.tree.map(by_group, batch.replace(carry=()))

    def order(self, key: jax.Array) -> jax.Array:
        """`[K, G, T]` for each of K minibatches what it takes of each group."""
        order_gs = shuffled(key, *self._shape)
        return jnp.moveaxis(order_gs.reshape(self._shape[0], -1, self._num_steps), 1, 0)

    def take(self, order_gt: jax.Array) -> Any:
        """One minibatch, of the batch's structure."""

        def pick(x: jax.Array) -> jax.Array:
            return jax.vmap(lambda rows, i: rows[i])(x, order_gt).reshape(-1, *x.shape[2:])

        return jax.tree.map(pick, self._groups)


class Sequences:
    """Minibatches `[T, G]` of whole environments, one of each group, with their carries.

    Args:
        batch: `[T, N, ...]`.
        num_groups: G, which divides N.
    """

    def __init__(self, batch: Batch, num_groups: int) -> None:
        num_steps, num_envs = batch.done.shape
        self._shape = (num_groups, num_envs // num_groups)
        self._carry = jax.tree.map(lambda x: x.reshape(*self._shape, *x.shape[1:]), batch.carry)
        self._groups = jax.tree.map(
            lambda x: x.reshape(num_steps, *self._shape, *x.shape[2:]), batch.replace(carry=())
        )

    def order(self, key: jax.Array) -> jax.Array:
        """`[K, G]` for each of K minibatches the environment it takes of each group."""
        return shuffled(key, *self._shape).T

    def take(self, order_g: jax.Array) -> Batch:
        """One minibatch."""
        steps = jax.vmap(lambda x, i: x[:, i], in_axes=(1, 0), out_axes=1)
        part = jax.tree.map(lambda x: steps(x, order_g), self._groups)
        carry = jax.tree.map(lambda x: jax.vmap(lambda x, i: x[i])(x, order_g), self._carry)
        return part.replace(carry=carry)


def shuffled(key: jax.Array, num_groups: int, size: int) -> jax.Array:
    """`[G, size]` int32, in each row the numbers below `size` in random order.

    Sorts words of random bits with the number in the lowest. On a CPU that takes a tenth of the
    time of `jax.random.permutation`, which would take as long as all the rest of the update of a
    small network. Where two numbers draw the same random bits the lower comes first: for a size
    of 1000 that happens to one pair in four million.

    Args:
        key: random key.
        num_groups: G.
        size: numbers of a row, at most 2^24.
    """
    mask = jnp.uint32((1 << max(1, (size - 1).bit_length())) - 1)
    bits = jax.random.bits(key, (num_groups, size), jnp.uint32)
    words = jnp.sort((bits & ~mask) | jnp.arange(size, dtype=jnp.uint32)[None], axis=1)
    return (words & mask).astype(jnp.int32)
