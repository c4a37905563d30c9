"""What takes an environment out of a rollout: something not finite, or of an absurd size.

One environment that is not finite would make every mean, and so every parameter, not finite too;
and one huge number blinds the running statistics for the rest of a run. So such an environment
ends, is reset, and counts for nothing; which term it was is kept as a number in
`StepResult.quarantined`: 0 for none, i + 1 for the i-th of the names in `suspects`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.types import StepResult

LARGEST = float(jnp.finfo(jnp.float32).max)
"""The limit of what only has to be finite."""

ACTION_LIMIT = 1e6
"""Larger actions count as not finite: squared, as densities do, they soon would not be."""


def beyond(tree: Any, n: int, limit: float = LARGEST) -> jax.Array:
    """`[N]` bool: some number of some leaf is not finite, or larger in size than the limit.

    Args:
        tree: leaves with a leading axis of N.
        n: N.
        limit: of the size of each number.
    """
    sound = jnp.ones(n, bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.number):
            sound &= (jnp.abs(leaf) <= limit).reshape(n, -1).all(axis=1)  # of a NaN this is false
    return ~sound


def first_at_fault(
    suspects: Sequence[str], bad: Mapping[str, jax.Array], before: jax.Array
) -> jax.Array:
    """Int32, of the shape of `before`: the first of the suspects that is bad; 0: none is.

    Args:
        suspects: names in the order in which they are looked at.
        bad: some of them -> bool.
        before: where it is not 0, it stays.
    """
    cause = jnp.zeros_like(before)
    for i, name in reversed([*enumerate(suspects)]):
        if name in bad:
            cause = jnp.where(bad[name], i + 1, cause)
    return jnp.where(before > 0, before, cause)


def reward_suspects(names: Iterable[str]) -> tuple[str, ...]:
    """Suspects among the rewards of these names; the last is their sum.

    In an order that does not depend on that of a dict, which JAX sorts on its way.
    """
    return (*(f"rewards.{name}" for name in sorted(names)), "rewards")


def rewarded_badly(results: StepResult, num_suspects: int) -> jax.Array:
    """`[N]` int32 the suspect of a reward that was not finite, in an episode that still goes on.

    Rewards are known when a rollout is over, so their environments can end only then.

    Args:
        results: of a rollout, `[T, N]`.
        num_suspects: those beyond are rewards.
    """
    cause_tn = results.quarantined
    by_reward_tn = cause_tn > num_suspects
    ended_tn = results.terminated | results.truncated | ((cause_tn > 0) & ~by_reward_tn)
    goes_on_tn = jnp.cumsum(ended_tn[::-1], axis=0)[::-1] == 0
    return jnp.where(by_reward_tn & goes_on_tn, cause_tn, 0).max(axis=0)
