"""Functions that several terms are made of. Quaternions are `[..., 4]` with w first."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

Norm = Literal["l1", "l2"]
"""How a deviation x is paid for: |x| or x^2."""

DOWN = (0.0, 0.0, -1.0)
"""Direction of gravity in the world frame."""


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


def cost(deviation: jax.Array, norm: Norm) -> jax.Array:
    """|x| (`l1`) or x^2 (`l2`) of every element x of a deviation."""
    return jnp.abs(deviation) if norm == "l1" else jnp.square(deviation)


def tracking(error: jax.Array, sigma: float) -> jax.Array:
    """exp(-|error|^2 / sigma^2) over the last axis: 1 without error, 1/e at |error| = sigma."""
    return jnp.exp(-jnp.square(error).sum(-1) / sigma**2)


def conjugate(quaternion: jax.Array) -> jax.Array:
    """The inverse of a unit quaternion."""
    return jnp.concatenate([quaternion[..., :1], -quaternion[..., 1:]], axis=-1)


def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
    """The rotation `b`, then `a`: the Hamilton product, `[..., 4]`."""
    aw, av = a[..., :1], a[..., 1:]
    bw, bv = b[..., :1], b[..., 1:]
    w = aw * bw - (av * bv).sum(-1, keepdims=True)
    return jnp.concatenate([w, aw * bv + bw * av + jnp.cross(av, bv)], axis=-1)


def rotate(vector: jax.Array, quaternion: jax.Array) -> jax.Array:
    """A vector `[..., 3]` turned by a unit quaternion: from the body's frame into the world's."""
    w, v = quaternion[..., :1], quaternion[..., 1:]
    twice = 2.0 * jnp.cross(v, vector)
    return vector + w * twice + jnp.cross(v, twice)


def unrotate(vector: jax.Array, quaternion: jax.Array) -> jax.Array:
    """The inverse of `rotate`: from the world's frame into the body's."""
    return rotate(vector, conjugate(quaternion))


def projected_gravity(quaternion: jax.Array) -> jax.Array:
    """`[..., 3]` unit vector of gravity in the body's frame: (0, 0, -1) when upright."""
    down = jnp.broadcast_to(jnp.array(DOWN), (*quaternion.shape[:-1], 3))
    return unrotate(down, quaternion)


def quaternion_from_axis_angle(axis: jax.Array, angle: jax.Array) -> jax.Array:
    """`[..., 4]` the turn about a unit axis, `[3]` or `[..., 3]`, by `[...]` rad."""
    half = 0.5 * jnp.asarray(angle)[..., None]
    axis = jnp.broadcast_to(axis, (*half.shape[:-1], 3))
    return jnp.concatenate([jnp.cos(half), jnp.sin(half) * axis], axis=-1)


def quaternion_from_euler(roll: jax.Array, pitch: jax.Array, yaw: jax.Array) -> jax.Array:
    """`[..., 4]` roll about x, then pitch about y, then yaw about z of the fixed frame; rad."""
    x, y, z = jnp.eye(3)
    turn = multiply(quaternion_from_axis_angle(y, pitch), quaternion_from_axis_angle(x, roll))
    return multiply(quaternion_from_axis_angle(z, yaw), turn)


def euler(quaternion: jax.Array) -> jax.Array:
    """`[..., 3]` roll, pitch and yaw, rad: the inverse of `quaternion_from_euler`."""
    w, x, y, z = jnp.moveaxis(quaternion, -1, 0)
    roll = jnp.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = jnp.arcsin(jnp.clip(2 * (w * y - z * x), -1.0, 1.0))
    yaw = jnp.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return jnp.stack([roll, pitch, yaw], axis=-1)


def heading(quaternion: jax.Array) -> jax.Array:
    """`[..., 4]` the yaw part of an orientation: where the robot looks, without its tilt."""
    return about_z(euler(quaternion)[..., 2])


def wrapped(angle: jax.Array) -> jax.Array:
    """The same angle in [-pi, pi), rad."""
    return jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi


def about_z(angle: jax.Array) -> jax.Array:
    """`[..., 4]` the turn about the vertical by `[...]` rad."""
    return quaternion_from_axis_angle(jnp.array([0.0, 0.0, 1.0]), angle)


def positive(quaternion: jax.Array) -> jax.Array:
    """The same orientation with w >= 0: a quaternion and its negative mean the same."""
    return jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_from_matrix(matrix: jax.Array) -> jax.Array:
    """`[..., 4]` of rotation matrices `[..., 9]`, row by row; w >= 0.

    The largest of the four squares is taken as the divisor, so none is ever near zero (Shepperd
    1978, "Quaternion from rotation matrix").
    """
    xx, xy, xz, yx, yy, yz, zx, zy, zz = jnp.moveaxis(matrix, -1, 0)
    squares = jnp.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz])
    rows = jnp.stack(
        [
            jnp.stack([squares[0], zy - yz, xz - zx, yx - xy]),
            jnp.stack([zy - yz, squares[1], xy + yx, xz + zx]),
            jnp.stack([xz - zx, xy + yx, squares[2], yz + zy]),
            jnp.stack([yx - xy, xz + zx, yz + zy, squares[3]]),
        ]
    )
    best = jnp.argmax(squares, axis=0)
    row = jnp.take_along_axis(rows, best[None, None], axis=0)[0]
    return positive(jnp.moveaxis(row / jnp.sqrt(jnp.square(row).sum(0, keepdims=True)), 0, -1))


def uniform_between(
    key: jax.Array, low: float | jax.Array, high: float | jax.Array, *, shape: tuple[int, ...] = ()
) -> jax.Array:
    """Numbers drawn from U(low, high), of some shape."""
    return low + (high - low) * jax.random.uniform(key, shape)


def random_axis(key: jax.Array) -> jax.Array:
    """`[3]` a unit vector, all directions alike."""
    axis = jax.random.normal(key, (3,))
    return axis / jnp.maximum(jnp.linalg.norm(axis), 1e-6)


def pick(values: jax.Array, addresses: Sequence[int]) -> jax.Array:
    """Elements `[J]` of a vector: a slice where they stand in a row, which is far cheaper."""
    if not addresses:
        return values[:0]
    first, last = addresses[0], addresses[-1]
    if tuple(addresses) == tuple(range(first, last + 1)):
        return values[first : last + 1]
    return values[np.array(addresses)]
