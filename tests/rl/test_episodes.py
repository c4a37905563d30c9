import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.models.normalizers import running_statistics
from ksim_cli.rl.episodes import episode_tracker, scaled_rewards, update_episode_statistics
from ksim_cli.types import Step, StepResult


def results(done, failed=None):
    done = jnp.asarray(done)
    failed = jnp.zeros(done.shape, bool) if failed is None else jnp.asarray(failed)
    zeros = jnp.zeros(done.shape)
    steps = Step(
        view=zeros,
        action=zeros,
        commands={},
        time=zeros,
        termination=jnp.where(failed, -1, 0),
        truncated=done & ~failed,
        level=zeros,
    )
    return StepResult(
        steps=steps,
        terminated=failed,
        truncated=done & ~failed,
        quarantined=jnp.zeros(done.shape, jnp.int32),
        causes={},
        distance=jnp.cumsum(jnp.ones(done.shape), axis=0),
        final_obs={},
        overflow=jnp.zeros_like(done),
    )


def test_whole_episodes_are_counted_across_rollouts_and_first_ones_left_out():
    rewards = jnp.arange(1.0, 11.0)[:, None]
    done = jnp.zeros((10, 1), bool).at[2].set(True).at[6].set(True).at[8].set(True)
    failed = jnp.zeros((10, 1), bool).at[8].set(True)
    whole = update_episode_statistics(episode_tracker(1), rewards, results(done, failed))[1]
    # The first ends at step 3 and is left out; 4+5+6+7 = 22 in 4 steps, 8+9 = 17 in 2.
    assert whole.episodes == 2
    np.testing.assert_allclose(whole.episode_return, (22 + 17) / 2)
    np.testing.assert_allclose(whole.length, 3.0)
    np.testing.assert_allclose(whole.failure_rate, 0.5)
    # Where the two that count were at their ends, steps 7 and 9.
    np.testing.assert_allclose(whole.distance, (7 + 9) / 2)
    tracker, first = update_episode_statistics(
        episode_tracker(1), rewards[:5], results(done[:5], failed[:5])
    )
    assert first.episodes == 0 and np.isnan(first.episode_return)
    tracker, second = update_episode_statistics(tracker, rewards[5:], results(done[5:], failed[5:]))
    np.testing.assert_allclose(second.episode_return, (22 + 17) / 2)
    assert tracker.episode_return[0] == 10.0 and tracker.steps[0] == 1


def test_of_no_episode_there_is_no_mean_and_of_one_it_is_its_own():
    done = jnp.array([[True], [False], [True]])
    rewards = jnp.array([[1.0], [2.0], [4.0]])
    tracker, none = update_episode_statistics(episode_tracker(1), rewards[:1], results(done[:1]))
    assert none.episodes == 0, "the first one does not count"
    means = (none.length, none.episode_return, none.failure_rate, none.distance)
    assert np.isnan(means).all(), "NaN says that there was nothing to measure"
    _, one = update_episode_statistics(tracker, rewards[1:], results(done[1:]))
    assert (one.episodes, one.length, one.episode_return) == (1, 2.0, 6.0)


def test_rewards_keep_their_size_until_there_are_two_returns_to_compare():
    statistics, return_n = running_statistics(), jnp.zeros(1)
    scaled = []
    for reward in (0.5, 0.5, 2.0):
        statistics, return_n, scaled_tn = scaled_rewards(
            statistics,
            return_n,
            jnp.array([[reward]]),
            jnp.array([[False]]),
            jnp.array([[True]]),
            1.0,
        )
        scaled.append(float(scaled_tn[0, 0]))
    # Returns 0.5, 1 and 3: deviations - , 0.25 and of all three.
    np.testing.assert_allclose(scaled, [0.5, 0.5 / 0.25, 2.0 / np.std([0.5, 1.0, 3.0])], rtol=1e-5)


def test_the_scale_against_float64():
    rng = np.random.default_rng(0)
    gamma, discounted, seen = 0.97, np.zeros(8), []
    statistics, return_n = running_statistics(), jnp.zeros(8)
    update = jax.jit(lambda *arguments: scaled_rewards(*arguments, gamma))
    for _ in range(20):
        rewards = rng.normal(size=(32, 8)) * 3 + 1
        done = rng.random((32, 8)) < 0.05
        for reward, end in zip(rewards, done, strict=True):
            discounted = gamma * discounted + reward
            seen.append(discounted.copy())
            discounted = np.where(end, 0.0, discounted)
        statistics, return_n, scaled = update(
            statistics, return_n, jnp.asarray(rewards, jnp.float32), done, np.ones_like(done)
        )
    std = np.concatenate(seen).std()
    np.testing.assert_allclose(scaled, rewards / std, rtol=1e-4)
    np.testing.assert_allclose(return_n, discounted, rtol=1e-4)
    assert statistics.count == 20 * 32 * 8
