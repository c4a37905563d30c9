"""Functions that several terms are made of."""

import jax
import jax.numpy as jnp


def tolerance(
    x: jax.Array, margin: float, value_at_margin: float = 0.1, sigmoid: str = "gaussian"
) -> jax.Array:
    """How close `x` is to zero: 1 at zero, `value_at_margin` at |x| = margin.

    Gaussian: exp(-(x s)^2 / 2) with s such that the margin has its value. Quadratic:
    max(0, 1 - (x s)^2). Source: the reward functions of the DeepMind Control Suite
    (Tassa et al. 2018).

    Args:
        x: any shape.
        margin: positive distance, in the unit of `x`.
        value_at_margin: in (0, 1) for gaussian, in [0, 1) for quadratic.
        sigmoid: `gaussian` or `quadratic`.

    Returns:
        Values in [0, 1], the shape of `x`.
    """
    distance = jnp.abs(x) / margin
    if sigmoid == "gaussian":
        scale = jnp.sqrt(-2.0 * jnp.log(value_at_margin))
        return jnp.exp(-0.5 * jnp.square(distance * scale))
    if sigmoid == "quadratic":
        return jnp.maximum(0.0, 1.0 - jnp.square(distance) * (1.0 - value_at_margin))
    raise ValueError(f"sigmoid={sigmoid}: one of gaussian, quadratic")
