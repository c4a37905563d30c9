"""The terms of the losses, as functions of arrays.

Means are over the transitions of a mask: `[B]`, or `[T, B]` of a recurrent model.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def masked_mean(values_b: jax.Array, mask_b: jax.Array) -> jax.Array:
    """Mean of `values_b` `[B]` where `mask_b` `[B]`; 0 where the mask is empty."""
    return jnp.where(mask_b, values_b, 0.0).sum() / jnp.maximum(mask_b.sum(), 1)


def normalize(values_b: jax.Array, mask_b: jax.Array) -> jax.Array:
    """Zero mean and unit variance over the mask, `[B]`; a lone value stays, or it would be 0."""
    mean = masked_mean(values_b, mask_b)
    variance = masked_mean(jnp.square(values_b - mean), mask_b)
    scaled_b = (values_b - mean) * jax.lax.rsqrt(variance + 1e-8)
    return jnp.where(mask_b.sum() > 1, scaled_b, values_b)


def surrogate_loss(
    log_ratio_b: jax.Array, advantage_b: jax.Array, clip: float, mask_b: jax.Array
) -> jax.Array:
    """-E[min(r A, clip(r, 1 - c, 1 + c) A)], r = exp(log_ratio). Schulman et al. 2017, eq. 7.

    Args:
        log_ratio_b: `[B]` log of the probability ratio of new and old policy.
        advantage_b: `[B]`.
        clip: c.
        mask_b: `[B]` bool.
    """
    ratio_b = jnp.exp(log_ratio_b)
    clipped_b = jnp.clip(ratio_b, 1.0 - clip, 1.0 + clip)
    return -masked_mean(jnp.minimum(ratio_b * advantage_b, clipped_b * advantage_b), mask_b)


def value_loss(
    value_b: jax.Array,
    old_value_b: jax.Array,
    target_b: jax.Array,
    clip: float | None,
    mask_b: jax.Array,
) -> jax.Array:
    """E[(V - target)^2] / 2, or with `clip` the larger of that and of the clipped change of V.

    Args:
        value_b: `[B]` values now.
        old_value_b: `[B]` values when acting.
        target_b: `[B]`.
        clip: largest change of the value that is followed; None: any.
        mask_b: `[B]` bool.
    """
    error_b = jnp.square(value_b - target_b)
    if clip is not None:
        clipped_b = old_value_b + jnp.clip(value_b - old_value_b, -clip, clip)
        error_b = jnp.maximum(error_b, jnp.square(clipped_b - target_b))
    return 0.5 * masked_mean(error_b, mask_b)


def kl_divergence(log_ratio_b: jax.Array, mask_b: jax.Array) -> jax.Array:
    """Estimate of KL(old || new) from samples of the old policy: E[r - 1 - log r] >= 0.

    Unbiased and never negative (Schulman 2020, "Approximating KL divergence", estimator k3).
    """
    return masked_mean(jnp.expm1(log_ratio_b) - log_ratio_b, mask_b)


def style_reward(score: jax.Array) -> jax.Array:
    """max(0, 1 - (d - 1)^2 / 4) of scores d (Peng et al. 2021, equation 7), in [0, 1]."""
    return jnp.maximum(0.0, 1.0 - 0.25 * jnp.square(score - 1.0))


def discriminator_loss(
    score: Callable[[jax.Array], jax.Array],
    real_rd: jax.Array,
    fake_bd: jax.Array,
    valid_b: jax.Array,
    grad_penalty_coef: float,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Least-squares loss towards 1 and -1 with a gradient penalty, and its parts.

    E_real[(d - 1)^2] + E_fake[(d + 1)^2] + coef / 2 E_real[|grad d|^2] (Peng et al. 2021,
    equations 6 and 8); the gradient is by what the discriminator sees.

    Args:
        score: d, `[..., D]` -> `[...]`.
        real_rd: steps of the motion.
        fake_bd: steps of the policy.
        valid_b: bool, which of them count.
        grad_penalty_coef: coef.
    """
    real_r, fake_b = score(real_rd), score(fake_bd)
    gradient_rd = jax.grad(lambda x: score(x).sum())(real_rd)
    penalty = jnp.square(gradient_rd).sum(axis=-1).mean()
    least_squares = jnp.square(real_r - 1.0).mean()
    least_squares += masked_mean(jnp.square(fake_b + 1.0), valid_b)
    total = least_squares + 0.5 * grad_penalty_coef * penalty
    return total, {
        "disc_loss": total,
        "disc_grad_penalty": penalty,
        "disc_real": real_r.mean(),
        "disc_fake": masked_mean(fake_b, valid_b),
    }


def adapted_kl_coef(kl_coef: jax.Array, kl: jax.Array, desired_kl: float) -> jax.Array:
    """The weight of the KL penalty after a minibatch, in [1e-8, 1e2].

    Schulman et al. 2017, section 4, with the factor 1.5: more above 1.5 times the KL divergence
    desired, less below 1 / 1.5 of it.
    """
    lower = jnp.where(kl < desired_kl / 1.5, 1 / 1.5, 1.0)
    return jnp.clip(kl_coef * jnp.where(kl > 1.5 * desired_kl, 1.5, lower), 1e-8, 1e2)
