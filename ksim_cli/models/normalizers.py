"""Running mean and variance, and the normaliser of a network's observations."""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx, struct

from ksim_cli.errors import UserError, listing, nearest

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
        each = partial(jnp.broadcast_to, shape=samples.shape)
        apart = jnp.where(counted, samples - each(near), 0.0)
        offset = apart.sum(axes) / some
        variance = jnp.where(counted, jnp.square(apart - each(offset)), 0.0).sum(axes) / some
        share = new / jnp.maximum(total, 1.0)
        delta = (near - self.mean) + offset
        return RunningStatistics(
            count=total,
            mean=self.mean + delta * share,
            variance=self.variance
            + (variance - self.variance) * share
            + jnp.square(delta) * share * (1.0 - share),
        )

    @property
    def inverse_std(self) -> jax.Array:
        """1 / std, of the shape of `mean`; 1 as long as there are no two samples to differ."""
        return jnp.where(self.count > 1, jax.lax.rsqrt(self.variance + EPSILON), 1.0)


def running_statistics(*shape: int) -> RunningStatistics:
    """Statistics of nothing yet: mean 0, variance 1."""
    return RunningStatistics(count=jnp.zeros(()), mean=jnp.zeros(shape), variance=jnp.ones(shape))


class Statistic(nnx.Variable[RunningStatistics]):
    """A variable that is saved with the model and never trained."""


class Normalizer(nnx.Module):
    """The observation groups of one network as one vector, normalised by running statistics.

    Args:
        key: configuration key that names the groups, for messages.
        groups: their names, in the order of the vector.
        sizes: observation group -> size.
        clip: clip of normalised values, standard deviations; None: values are left as they are.

    Raises:
        UserError: a group that no observation is in.
    """

    def __init__(
        self, key: str, groups: Sequence[str], sizes: Mapping[str, int], clip: float | None
    ) -> None:
        for group in groups:
            if not sizes.get(group):
                raise UserError(
                    f"{key}: no observation is in the group '{group}'.{nearest(group, sizes)}"
                    f" Groups: {listing(sizes)}. Name one of them, or give observations"
                    f" `groups: [{group}]`"
                )
        self.groups = tuple(groups)
        self.clip = clip
        self.size = sum(sizes[group] for group in groups)
        self.statistics = Statistic(running_statistics(self.size))

    def __call__(self, obs: Mapping[str, jax.Array]) -> jax.Array:
        """(obs - mean) / std, clipped to [-clip, clip], `[..., size]`."""
        values = jnp.concatenate([obs[group] for group in self.groups], axis=-1)
        if self.clip is None:
            return values
        seen = self.statistics.get_value()
        each = partial(jnp.broadcast_to, shape=values.shape)
        scaled = (values - each(seen.mean)) * each(seen.inverse_std)
        return jnp.clip(scaled, -self.clip, self.clip)

    def update(self, obs: Mapping[str, jax.Array], mask: jax.Array) -> None:
        """Add the observations `[..., O]` where `mask` `[...]` to the statistics."""
        values = jnp.concatenate([obs[group] for group in self.groups], axis=-1)
        self.statistics.set_value(self.statistics.get_value().update(values, mask))
