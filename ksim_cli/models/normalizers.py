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
        mean = jnp.where(counted, samples, 0.0).sum(axes) / some
        variance = jnp.where(counted, jnp.square(samples - mean), 0.0).sum(axes) / some
        share = new / jnp.maximum(total, 1.0)
        delta = mean - self.mean
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
