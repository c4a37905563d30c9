"""Which moment of a motion an episode starts from: hard moments more often.

The clips are cut into bins. How often episodes fail in each is counted, and starts are drawn by
that, spread to the bins before, since what goes wrong begins earlier. After Liao et al. 2025,
"BeyondMimic", which counts failures; here it is failures per pass, so that a bin which is visited
more is not thereby harder.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ksim_cli.motion.motion_set import MotionSet


class Outcomes(struct.PyTreeNode):
    """What happened in each of B bins lately; older rollouts count ever less.

    Attributes:
        failures: `[B]` episodes that failed there.
        passes: `[B]` how often it was passed through, in bins' lengths.
    """

    failures: jax.Array
    passes: jax.Array


@dataclass(frozen=True)
class Bins:
    """B bins of the clips of a motion set.

    Attributes:
        clip: `[B]` int, the clip of each.
        start: `[B]` int, its first frame.
        length: `[B]` int, its frames.
        share: `[B]` its share of the starts where nothing is known; sum 1.
        first: `[C]` int, the first bin of each clip.
        following: `[K, B]` int, the bin itself and those after it; -1: there is none.
        size: frames of all but the last bin of a clip.
    """

    clip: np.ndarray
    start: np.ndarray
    length: np.ndarray
    share: np.ndarray
    first: np.ndarray
    following: np.ndarray
    size: int

    @property
    def count(self) -> int:
        """B."""
        return len(self.clip)

    def of(self, motions: MotionSet, clip: jax.Array, frame: jax.Array) -> jax.Array:
        """`[...]` the bin of each moment."""
        within = jnp.minimum(motions.within(clip, frame), motions.last_frame(clip) - 1)
        return jnp.asarray(self.first)[clip] + within // self.size

    def draw(self, key: jax.Array, probability: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A bin by its probability, and any frame of it: clip and frame, int32 scalars."""
        key_bin, key_frame = jax.random.split(key)
        drawn = jax.random.choice(key_bin, self.count, p=probability)
        within = jax.random.randint(key_frame, (), 0, jnp.asarray(self.length)[drawn])
        clip = jnp.asarray(self.clip)[drawn]
        frame = jnp.asarray(self.start)[drawn] + within
        return clip.astype(jnp.int32), frame.astype(jnp.int32)


def make_bins(motions: MotionSet, seconds: float, spread: int) -> Bins:
    """The bins of some motions.

    Args:
        motions: the motions.
        seconds: length of a bin.
        spread: K, bins that a failure counts for: its own and those before it.
    """
    size = max(1, round(seconds * motions.fps))
    starts = [np.arange(0, last, size) for last in (np.asarray(motions.lengths) - 1).tolist()]
    counts = np.array([len(each) for each in starts])
    clip = np.repeat(np.arange(motions.num_clips), counts)
    last = np.asarray(motions.lengths)[clip] - 1
    start = np.concatenate(starts)
    length = np.minimum(start + size, last) - start
    first = np.cumsum(counts) - counts
    place = np.arange(len(clip)) - first[clip]
    later = place[None] + np.arange(spread)[:, None]
    inside = later < counts[clip]
    wrapped = later % counts[clip] if motions.loop else np.where(inside, later, 0)
    # A round that is shorter than the spread is not counted twice.
    counts_once = np.arange(spread)[:, None] < counts[clip]
    following = np.where((inside | motions.loop) & counts_once, first[clip] + wrapped, -1)
    share = np.asarray(motions.weights, np.float64)[clip] * length / last
    return Bins(clip, start, length, share / share.sum(), first, following, size)


def no_outcomes(bins: Bins) -> Outcomes:
    """Nothing has happened yet."""
    return Outcomes(jnp.zeros(bins.count), jnp.zeros(bins.count))


def probabilities(bins: Bins, outcomes: Outcomes, uniform: float, discount: float) -> jax.Array:
    """`[B]` how likely an episode starts in each bin; sum 1.

    A share `uniform` goes by length; the rest by length times sum_k discount^k r[k bins later],
    where r are failures per pass.

    Args:
        bins: the bins.
        outcomes: what happened in them.
        uniform: in (0, 1].
        discount: in [0, 1], of a failure that comes a bin later.
    """
    rate = outcomes.failures / jnp.maximum(outcomes.passes, 1.0)
    factors = discount ** np.arange(len(bins.following))
    later = jnp.where(bins.following >= 0, rate[np.maximum(bins.following, 0)], 0.0)
    share = jnp.asarray(bins.share, jnp.float32)
    hardness = share * (factors[:, None] * later).sum(0)
    total = hardness.sum()
    hard = jnp.where(total > 0.0, hardness / jnp.where(total > 0.0, total, 1.0), share)
    return uniform * share + (1.0 - uniform) * hard


def with_outcomes(
    bins: Bins, outcomes: Outcomes, where: jax.Array, failed: jax.Array, decay: float
) -> Outcomes:
    """Outcomes after a rollout.

    Args:
        bins: the bins.
        outcomes: those before it.
        where: `[T, N]` int, the bin of each step.
        failed: `[T, N]` bool, the episode failed in it.
        decay: in [0, 1], what is left of those before.
    """
    zeros = jnp.zeros(bins.count)
    steps = zeros.at[where].add(1.0)
    failures = zeros.at[where].add(failed.astype(jnp.float32))
    return Outcomes(
        decay * outcomes.failures + failures,
        decay * outcomes.passes + steps / jnp.asarray(bins.length, jnp.float32),
    )
