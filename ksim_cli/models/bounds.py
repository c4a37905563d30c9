"""Bounds of trained parameters."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def at_least(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    """The larger of `x` and `bound`, with a gradient that leads back from below the bound.

    The gradient of a maximum is 0 below it, so a parameter that a step took there would stay for
    ever. This one is 1 where a step of gradient descent would raise `x`, and 0 where it would take
    `x` further away. After the `lower_bound` of TensorFlow Compression (Ballé et al. 2018,
    "Variational image compression with a scale hyperprior"), gradient "identity_if_towards".

    Args:
        x: any shape.
        bound: a constant: it has no gradient.
    """
    return jnp.maximum(x, bound)


def _forward(
    x: jax.Array, bound: jax.Array | float
) -> tuple[jax.Array, tuple[jax.Array, jax.Array | float]]:
    return jnp.maximum(x, bound), (x, bound)


def _backward(
    residuals: tuple[jax.Array, jax.Array | float], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, bound = residuals
    return jnp.where((x >= bound) | (gradient < 0), gradient, 0.0), jnp.zeros_like(bound)


at_least.defvjp(_forward, _backward)
