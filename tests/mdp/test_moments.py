import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.moments import (
    Outcomes,
    make_bins,
    no_outcomes,
    probabilities,
    with_outcomes,
)
from ksim_cli.motion.motion_set import make_motion_set
from tests.motion.motions import legged, walking


def motions(loop=True):
    """Clips of 20 and 30 frames before their last."""
    return make_motion_set(legged(), [walking(), walking(frames=31)], 0.02, loop=loop)


def test_bins_cover_every_frame_before_the_last_once():
    bins = make_bins(motions(), 0.16, 2)
    assert bins.size == 8 and bins.first.tolist() == [0, 3]
    assert bins.start.tolist() == [0, 8, 16, 0, 8, 16, 24]
    assert bins.length.tolist() == [8, 8, 4, 8, 8, 8, 6]
    clip = np.array([0, 0, 0, 0, 1, 1])
    frame = np.array([0, 7, 8, 19, 0, 29])
    assert bins.of(motions(), jnp.array(clip), jnp.array(frame)).tolist() == [0, 0, 1, 2, 3, 6]
    # Rounds of a loop, and beyond the end of what does not.
    assert int(bins.of(motions(), jnp.int32(0), jnp.int32(28))) == 1
    assert int(bins.of(motions(loop=False), jnp.int32(0), jnp.int32(28))) == 2
    np.testing.assert_allclose(bins.share[0], 21 / 52 * 8 / 20)
    assert bins.share.sum() == pytest.approx(1.0)


def test_what_follows_wraps_in_a_loop_alone_and_no_bin_counts_twice():
    assert make_bins(motions(), 0.16, 2).following[1].tolist() == [1, 2, 0, 4, 5, 6, 3]
    straight = make_bins(motions(loop=False), 0.16, 2).following[1]
    assert straight.tolist() == [1, 2, -1, 4, 5, 6, -1]
    assert make_bins(motions(), 0.2, 3).following[2].tolist() == [-1, -1, 4, 2, 3]


def test_probabilities_by_hand():
    bins = make_bins(motions(loop=False), 0.16, 2)
    np.testing.assert_allclose(probabilities(bins, no_outcomes(bins), 0.2, 0.5), bins.share)
    outcomes = no_outcomes(bins).replace(
        failures=jnp.zeros(7).at[1].set(3.0), passes=jnp.zeros(7).at[1].set(6.0)
    )
    hard = bins.share * np.array([0.25, 0.5, 0, 0, 0, 0, 0])
    wanted = 0.2 * bins.share + 0.8 * hard / hard.sum()
    np.testing.assert_allclose(probabilities(bins, outcomes, 0.2, 0.5), wanted, rtol=1e-5)
    np.testing.assert_allclose(probabilities(bins, outcomes, 1.0, 0.5), bins.share, rtol=1e-5)


def test_outcomes_are_counted_and_forgotten():
    bins = make_bins(motions(), 0.16, 1)
    before = Outcomes(jnp.full(7, 2.0), jnp.full(7, 4.0))
    where = jnp.array([[0, 2], [0, 2], [1, 3]])
    failed = jnp.array([[False, False], [False, True], [True, False]])
    after = with_outcomes(bins, before, where, failed, 0.5)
    np.testing.assert_allclose(after.failures, [1, 2, 2, 1, 1, 1, 1])
    np.testing.assert_allclose(after.passes, 2 + np.array([2 / 8, 1 / 8, 2 / 4, 1 / 8, 0, 0, 0]))


def test_moments_are_drawn_within_their_bins():
    bins = make_bins(motions(), 0.16, 1)
    chosen = jnp.zeros(7).at[2].set(0.25).at[6].set(0.75)
    draw = jax.jit(jax.vmap(lambda key: bins.draw(key, chosen)))
    clip, frame = draw(jax.random.split(jax.random.key(0), 2000))
    assert float((clip == 1).mean()) == pytest.approx(0.75, abs=0.04)
    assert set(np.asarray(frame[clip == 0]).tolist()) == set(range(16, 20))
    assert set(np.asarray(frame[clip == 1]).tolist()) == set(range(24, 30))
