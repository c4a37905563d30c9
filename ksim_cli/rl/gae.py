"""Generalised advantage estimation."""

import jax
import jax.numpy as jnp


def gae(
    rewards_tn: jax.Array,
    values_tn: jax.Array,
    next_values_tn: jax.Array,
    done_tn: jax.Array,
    gamma: float,
    lam: float,
) -> jax.Array:
    """Advantages of a rollout.

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t)
        A_t     = delta_t + gamma lam (1 - done_t) A_{t+1},   A_T = 0

    Schulman et al. 2016, eq. 16. `next_values_tn` is the value of the state that step t really led
    to: zero after a failure or success, V of the terminal state (before the reset) after a
    truncation, V of the state after the rollout at its end.

    Args:
        rewards_tn: `[T, N]`.
        values_tn: `[T, N]` V(s_t).
        next_values_tn: `[T, N]` V(s_{t+1}).
        done_tn: `[T, N]` bool, an episode ended at step t.
        gamma: discount.
        lam: 1 is low bias and high variance, 0 the reverse.

    Returns:
        `[T, N]` advantages.
    """
    deltas_tn = rewards_tn + gamma * next_values_tn - values_tn
    decay_tn = gamma * lam * (1.0 - done_tn.astype(deltas_tn.dtype))

    def backward(
        advantage_n: jax.Array, inputs: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        delta_n, decay_n = inputs
        advantage_n = delta_n + decay_n * advantage_n
        return advantage_n, advantage_n

    start_n = jnp.zeros_like(deltas_tn[0])
    _, advantages_tn = jax.lax.scan(backward, start_n, (deltas_tn, decay_tn), reverse=True)
    return advantages_tn
