"""Running mean and variance."""

import jax
import jax.numpy as jnp
from flax import struct

EPSILON = 1e-8
"""Added to a variance before its root is divided by."""


class RunningStatistics(struct.PyTreeNode):
    """Mean and variance of all samples seen so far, per element.

    Batches are merged by the pairwise form of Welford's method (Chan, Golub & LeVeque 1983).

    Attributes:
        count: float32 number of samples.
        mean: `[D]`, or a scalar.
        variance: of the shape of `mean`; population variance.
    """

    count: jax.Array
    mean: jax.Array
    variance: jax.Array

    def update(self, samples: jax.Array, mask: jax.Array) -> "RunningStatistics":
        """The statistics with more samples.

        Args:
            samples: `[..., D]`, any leading axes.
            mask: `[...]` bool, which samples count; the others may be anything.
        """
        axes = tuple(range(mask.ndim))
        counted = mask.reshape(*mask.shape, *[1] * (samples.ndim - mask.ndim))
        new = mask.sum().astype(jnp.float32)
        total = self.count + new
        some = jnp.maximum(new, 1.0)
        # Sums of what is left beside a near value: rounding is then small against the spread of
        # the samples, not only against their size, and hardly depends on the order of summation.
        start = (0,) * mask.ndim
        first = jnp.where(mask[start], samples[start], 0.0)
        near = jnp.where(self.count > 0, self.mean, first)
        apart = jnp.where(counted, samples - near, 0.0)
        offset = apart.sum(axes) / some
        variance = jnp.where(counted, jnp.square(apart - offset), 0.0).sum(axes) / some
        share = new / jnp.maximum(total, 1.0)
        delta = (near - self.mean) + offset
        return RunningStatistics(
            count=total,
            mean=self.mean + delta * share,
            variance=self.variance
            + (variance - self.variance) * share
            + jnp.square(delta) * share * (1.0 - share),
        )

    def normalize(self, values: jax.Array, clip: float) -> jax.Array:
        """(values - mean) / std, clipped to [-clip, clip]."""
        scaled = (values - self.mean) * jax.lax.rsqrt(self.variance + EPSILON)
        return jnp.clip(scaled, -clip, clip)


def running_statistics(*shape: int) -> RunningStatistics:
    """Statistics of nothing yet: mean 0, variance 1."""
    return RunningStatistics(count=jnp.zeros(()), mean=jnp.zeros(shape), variance=jnp.ones(shape))
