"""What tells whether an update of an actor-critic goes well; nothing is learned from it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from ksim_cli.models.policy import PPOVariables
from ksim_cli.rl.losses import masked_mean
from ksim_cli.rl.minibatches import Batch

SATURATION = 0.99
"""Size from which an element of an action counts as saturated: the nominal range is [-1, 1]."""


def rollout_metrics(batch: Batch) -> dict[str, jax.Array]:
    """Of a rollout: `explained_variance` of its values, and the share of `saturated_actions`."""
    return {
        "explained_variance": explained_variance(batch.value, batch.target, batch.valid),
        "saturated_actions": saturated_share(batch.action, batch.valid),
    }


def explained_variance(value_tn: jax.Array, target_tn: jax.Array, mask_tn: jax.Array) -> jax.Array:
    """1 - Var[target - value] / Var[target]: 1 of a perfect critic, 0 of one that knows nothing.

    Args:
        value_tn: `[T, N]` values when acting.
        target_tn: `[T, N]` what they are to become.
        mask_tn: `[T, N]` bool, what counts.

    Returns:
        At most 1; NaN where the targets do not vary.
    """

    def variance(x_tn: jax.Array) -> jax.Array:
        return masked_mean(jnp.square(x_tn - masked_mean(x_tn, mask_tn)), mask_tn)

    total = variance(target_tn)
    explained = 1.0 - variance(target_tn - value_tn) / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, explained, jnp.nan)


def saturated_share(action_tna: jax.Array, mask_tn: jax.Array) -> jax.Array:
    """Share of the elements of the actions `[T, N, A]` of `SATURATION` or more in size."""
    saturated = jnp.abs(action_tna) >= SATURATION
    return masked_mean(saturated.reshape(*mask_tn.shape, -1).mean(-1), mask_tn)


def mean_std(now: PPOVariables, mask_b: jax.Array) -> jax.Array:
    """Mean standard deviation of the actions; NaN where the model does not tell it."""
    std_b = jnp.full_like(now.log_prob, jnp.nan) if now.std is None else now.std
    return masked_mean(std_b, mask_b)


def gradient_norms(gradients: Any) -> dict[str, jax.Array]:
    """`grad_norm`, the Euclidean norm of a gradient, and `grad_norm/<network>` of each network.

    The networks are what the parameters' tree branches into first.
    """
    networks: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        name = jax.tree_util.keystr(path[:1], simple=True)
        networks.setdefault(f"grad_norm/{name}" if name else "grad_norm", []).append(leaf)
    norms = {name: optax.tree.norm(leaves) for name, leaves in networks.items()}
    return {**norms, "grad_norm": optax.tree.norm(gradients)}
