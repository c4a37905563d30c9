"""Statistics of finished episodes, and the running scale of returns."""

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.models.normalizers import RunningStatistics
from ksim_cli.types import EpisodeStatistics, StepResult


class EpisodeTracker(struct.PyTreeNode):
    """Episodes under way.

    The first episode of an environment is left out of the statistics: it may have started at a
    random time of its life, and the burn-in acted in it.

    Attributes:
        episode_return: `[N]` undiscounted return so far.
        steps: `[N]` int32 control steps so far.
        first: `[N]` bool, the environment is in its first episode.
    """

    episode_return: jax.Array
    steps: jax.Array
    first: jax.Array


def episode_tracker(num_envs: int) -> EpisodeTracker:
    """All episodes at their start."""
    return EpisodeTracker(
        episode_return=jnp.zeros(num_envs),
        steps=jnp.zeros(num_envs, jnp.int32),
        first=jnp.ones(num_envs, bool),
    )


def update_episode_statistics(
    tracker: EpisodeTracker, rewards_tn: jax.Array, results: StepResult
) -> tuple[EpisodeTracker, EpisodeStatistics]:
    """Follows the episodes through a rollout.

    Args:
        tracker: episodes under way before it.
        rewards_tn: `[T, N]`, finite.
        results: what the steps left.

    Returns:
        Episodes under way after it, and means over those that ended (NaN where none did).
    """

    def step(
        tracker: EpisodeTracker, inputs: tuple[jax.Array, jax.Array]
    ) -> tuple[EpisodeTracker, EpisodeTracker]:
        reward_n, done_n = inputs
        now = tracker.replace(
            episode_return=tracker.episode_return + reward_n, steps=tracker.steps + 1
        )
        after = EpisodeTracker(
            episode_return=jnp.where(done_n, 0.0, now.episode_return),
            steps=jnp.where(done_n, 0, now.steps),
            first=now.first & ~done_n,
        )
        return after, now

    tracker, seen = jax.lax.scan(step, tracker, (rewards_tn, results.done))
    counted = results.done & ~seen.first
    episodes = counted.sum()
    mean = lambda x: jnp.where(counted, x, 0).sum() / episodes  # noqa: E731
    return tracker, EpisodeStatistics(
        episodes=episodes,
        length=mean(seen.steps),
        episode_return=mean(seen.episode_return),
        failure_rate=mean(results.steps.termination < 0),
        distance=mean(results.distance),
    )


def scaled_rewards(
    statistics: RunningStatistics,
    return_n: jax.Array,
    rewards_tn: jax.Array,
    done_tn: jax.Array,
    valid_tn: jax.Array,
    gamma: float,
) -> tuple[RunningStatistics, jax.Array, jax.Array]:
    """Divide rewards by the running standard deviation of the discounted return.

    R_t = gamma R_{t-1} + r_t, R starting at 0 in each episode.

    Args:
        statistics: of all discounted returns seen.
        return_n: `[N]` discounted return of the episodes under way.
        rewards_tn: `[T, N]`.
        done_tn: `[T, N]` bool, an episode ended at the step.
        valid_tn: `[T, N]` bool, the step counts in the statistics.
        gamma: discount.

    Returns:
        Both after the rollout, and the scaled rewards `[T, N]`.
    """

    def step(
        return_n: jax.Array, inputs: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        reward_n, done_n = inputs
        now_n = gamma * return_n + reward_n
        return jnp.where(done_n, 0.0, now_n), now_n

    return_n, returns_tn = jax.lax.scan(step, return_n, (rewards_tn, done_tn))
    statistics = statistics.update(returns_tn, valid_tn)
    return statistics, return_n, rewards_tn * statistics.inverse_std
