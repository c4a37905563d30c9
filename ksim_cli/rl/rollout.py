"""Playing: the one loop over `env.step`; and replaying it for a recurrent model.

Training, evaluation, viewing and collection all play through here, so the reward that is shown,
recorded and trained on is one number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.models.policy import ActionSample, Observations, Policy, PPOVariables, Variables
from ksim_cli.quarantine import ACTION_LIMIT, beyond, first_at_fault, reward_suspects
from ksim_cli.trees import select_envs, zeroed
from ksim_cli.types import Env, EpisodeStatistics, Scores, StepResult

Metrics = dict[str, jax.Array]
"""Scalars by the name they are logged under; NaN where there was nothing to measure."""


class PolicyState(struct.PyTreeNode):
    """What acting needs of a training state: the part of a checkpoint that all commands read.

    Attributes:
        variables: the policy's.
        reward_variables: what learned rewards are computed with; `()` where there are none.
        level: curriculum level it was trained at.
        iteration: int32, iterations of training behind it, by which terms have their stages.
    """

    variables: Variables
    reward_variables: Any
    level: jax.Array
    iteration: jax.Array = struct.field(default_factory=lambda: jnp.int32(0))


class Playing(struct.PyTreeNode):
    """Episodes under way.

    Attributes:
        env: state of the environments.
        carry: the model's carry.
        rewards: the rewards' carry.
        learned: the learned rewards' carry `[N, ...]`.
    """

    env: Any
    carry: Any
    rewards: Any
    learned: Any = ()


class Experience(struct.PyTreeNode):
    """T steps of N environments; `[T, N, ...]`.

    Attributes:
        obs: group -> what the networks saw before acting.
        action: the actions.
        record: what the algorithm's `record` kept of each step.
        carry: the model's carry `[N, ...]` before the first step; `replay` finds the others.
        results: what the steps left, auxiliary outputs as `steps.aux`; `final_obs` only of the
            groups asked for.
        was_reset: bool, the environment was reset after the step, and the carries with it.
        scores: rewards, zero where a step was quarantined.
        last_obs: group -> `[N, O]` observations after the last step and its resets.
        last_carry: the model's carry `[N, ...]` then.
        raw_action: what densities are evaluated at, where that is not the action; else None.
        reward_carry: the learned rewards' carry `[N, ...]` before the first step.
        suspects: what the numbers in `results.quarantined` mean: i + 1 is the i-th.
    """

    obs: dict[str, jax.Array]
    action: jax.Array
    record: Any
    carry: Any
    results: StepResult
    was_reset: jax.Array
    scores: Scores
    last_obs: dict[str, jax.Array]
    last_carry: Any
    raw_action: jax.Array | None = None
    reward_carry: Any = ()
    suspects: tuple[str, ...] = struct.field(pytree_node=False, default=())

    @property
    def valid(self) -> jax.Array:
        """`[T, N]` bool: the step was not quarantined."""
        return self.results.quarantined == 0

    def next_obs(self, group: str) -> jax.Array:
        """`[T, N, O]` observations each step led to: before a reset, where there was one.

        The group must be among the `final_groups`.
        """
        following = jnp.concatenate([self.obs[group][1:], self.last_obs[group][None]])
        return jnp.where(self.was_reset[..., None], self.results.final_obs[group], following)


def record_nothing(*_: Any) -> tuple[()]:
    """The `record` of who keeps nothing."""
    return ()


LearnedRewards = tuple[Mapping[str, jax.Array], Any]
"""Name -> `[T, N]` rewards, and what they carry `[N, ...]` after the last step."""


def _no_rewards(_: Any, experience: Experience) -> LearnedRewards:
    return {}, experience.reward_carry


@dataclass(frozen=True)
class Player:
    """Who plays where; fixed from one call of `play` to the next.

    Attributes:
        env: the environments.
        policy: what acts.
        argmax: the mode of the action distribution instead of a sample.
        record: `(variables, obs, carry, sample, result) -> pytree` kept of each step.
        final_groups: observation groups kept as they were before each reset.
        learned_rewards: `(reward_variables, experience)` -> rewards that an algorithm makes,
            beside the environment's own, and what they carry.
        start_learned: `() -> [N, ...]` what they carry at the start.
    """

    env: Env
    policy: Policy
    argmax: bool = False
    record: Callable[..., Any] = record_nothing
    final_groups: tuple[str, ...] = ()
    learned_rewards: Callable[[Any, Experience], LearnedRewards] = _no_rewards
    start_learned: Callable[[], Any] = record_nothing

    def start(
        self,
        key: jax.Array,
        level: jax.Array | float | None = None,
        iteration: jax.Array | None = None,
    ) -> Playing:
        """Fresh episodes, at a curriculum level and after iterations of training; None: the first.

        Args:
            key: random key.
            level: the level.
            iteration: number of iterations, int32.
        """
        level = None if level is None else jnp.asarray(level, jnp.float32)
        return Playing(
            env=self.env.init(key, level, iteration),
            carry=self.policy.initial_carry(self.env.num_envs),
            rewards=self.env.init_rewards(),
            learned=self.start_learned(),
        )


def play(
    player: Player, state: PolicyState, playing: Playing, key: jax.Array, num_steps: int
) -> tuple[Playing, Experience]:
    """Acts for `num_steps` in all environments and scores the steps.

    Args:
        player: who plays where.
        state: what it acts with.
        playing: the episodes under way; the caller prepares resets (`env.begin_rollout`).
        key: random key of the actions.
        num_steps: T.

    Returns:
        The episodes after the last step, and what happened.
    """
    policy, variables = player.policy, state.variables
    fresh = policy.initial_carry(player.env.num_envs)

    def step(loop: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], Any]:
        env_state, carry = loop
        obs = env_state.obs
        if player.argmax:
            sample = policy.mode(variables, obs, carry)
        else:
            sample = policy.sample(variables, obs, carry, key)
        unsound = beyond(sample, player.env.num_envs)
        unsound |= beyond(sample.action, player.env.num_envs, ACTION_LIMIT)
        # The environment takes what is not finite for what it is; no gradient shall meet it.
        told = jnp.where(unsound[:, None], jnp.nan, sample.action)
        sample = zeroed(unsound, sample)
        after, result = player.env.step(env_state, told)
        record = player.record(variables, obs, carry, sample, result)
        kept = result.replace(
            steps=result.steps.replace(aux=sample.aux),
            final_obs={group: result.final_obs[group] for group in player.final_groups},
        )
        next_carry = select_envs(result.done, fresh, sample.carry)
        return (after, next_carry), (obs, sample.action, sample.raw_action, record, kept)

    keys = jax.random.split(key, num_steps)
    (env_state, carry), steps = jax.lax.scan(step, (playing.env, playing.carry), keys)
    obs, action, raw_action, record, results = steps
    experience = Experience(
        obs=obs,
        action=action,
        record=record,
        carry=playing.carry,
        results=results,
        was_reset=results.done,
        scores=Scores(total=jnp.zeros(results.done.shape), components={}),
        last_obs=env_state.obs,
        last_carry=carry,
        raw_action=raw_action,
        reward_carry=playing.learned,
    )
    experience, rewards, learned = _scored(player, state, playing.rewards, experience)
    return Playing(env=env_state, carry=carry, rewards=rewards, learned=learned), experience


def _scored(
    player: Player, state: PolicyState, carry: Any, experience: Experience
) -> tuple[Experience, Any, Any]:
    """Score steps; one whose reward is not finite is quarantined, and what is earns nothing."""
    results, env = experience.results, player.env
    learned, reward_carry = player.learned_rewards(state.reward_variables, experience)
    carry, scores = env.rewards(carry, results, learned)
    suspects = (*env.suspects, *reward_suspects(scores.components))
    rewards = {f"rewards.{name}": values for name, values in scores.components.items()}
    rewards["rewards"] = scores.total
    # NaN compares false.
    bad = {name: ~(jnp.abs(values) <= env.reward_limit) for name, values in rewards.items()}
    at_fault = first_at_fault(suspects, bad, results.quarantined)
    clean = jax.tree.map(lambda x: jnp.where(at_fault == 0, x, 0.0), scores)
    results = results.replace(quarantined=at_fault)
    experience = experience.replace(results=results, scores=clean, suspects=suspects)
    return experience, carry, reward_carry


def replay(
    policy: Policy,
    variables: Variables,
    obs: Observations,
    action: jax.Array,
    carry: Any,
    was_reset: jax.Array,
    raw_action: jax.Array | None = None,
) -> PPOVariables:
    """`ppo_variables` of the steps of a rollout, the carry led through them as when acting.

    Args:
        policy: what acted.
        variables: its variables now.
        obs: group -> `[T, N, O]`.
        action: `[T, N, A]`.
        carry: the model's carry `[N, ...]` before the first step.
        was_reset: `[T, N]` bool, the environment was reset after the step, and the carry with it.
        raw_action: `[T, N, A]` what densities are evaluated at; None: the action.

    Returns:
        `[T, N]` arrays; no carry.

    Raises:
        TypeError: the policy's `ppo_variables` does not give back a carry.
    """
    fresh = policy.initial_carry(was_reset.shape[1])

    def step(
        carry: Any, inputs: tuple[Observations, jax.Array, jax.Array | None, jax.Array]
    ) -> tuple[Any, PPOVariables]:
        obs, action, raw_action, reset_n = inputs
        now = policy.ppo_variables(variables, obs, action, carry, raw_action)
        if jax.tree.structure(now.carry) != jax.tree.structure(carry):
            raise TypeError("ppo_variables of a recurrent model gives back no carry of its kind")
        return select_envs(reset_n, fresh, now.carry), now.replace(carry=())

    return jax.lax.scan(step, carry, (obs, action, raw_action, was_reset))[1]


def rollout_metrics(experience: Experience, episodes: EpisodeStatistics) -> Metrics:
    """Scalars that describe a rollout."""
    scores, results = experience.scores, experience.results
    metrics = {
        "reward": scores.total.mean(),
        "episodes": episodes.episodes,
        "episode_return": episodes.episode_return,
        "episode_length": episodes.length,
        "failure_rate": episodes.failure_rate,
        "level": results.steps.level.mean(),
        "quarantined": (results.quarantined > 0).sum(),
        "quarantine_rate": (results.quarantined > 0).mean(),
        "overflow": results.overflow.sum(),
    }
    for i, name in enumerate(experience.suspects):
        metrics[f"quarantined/{name}"] = (results.quarantined == i + 1).sum()
    for name, values in scores.components.items():
        metrics[f"reward/{name}"] = values.mean()
    for name, values in scores.command_errors.items():
        metrics[f"command_error/{name}"] = values.mean()
    for name, fired in results.causes.items():
        metrics[f"termination/{name}"] = (fired & results.done).sum() / results.done.sum()
    return metrics


class _NoModel:
    """The adapter of what has no variables."""

    def init(self, key: jax.Array) -> Variables:
        del key
        return Variables(params=())

    def merge(self, variables: Variables) -> None:
        del variables

    def split(self, model: Any) -> Variables:
        del model
        return Variables(params=())


def zero_policy(action_size: int, aux: Any = ()) -> Policy:
    """Zero actions: what the burn-in acts with, and `policy=zero`.

    Args:
        action_size: A.
        aux: shapes of one environment's auxiliary outputs, which are zero too.
    """
    return Policy(_NoModel(), lambda _, obs, *__, **___: _idle(obs, action_size, aux), None)


def random_policy(action_size: int, aux: Any = ()) -> Policy:
    """Actions uniform in [-1, 1], whatever is seen: `policy=random`; see `zero_policy`."""

    def act(_: Any, obs: Observations, carry: Any, key: jax.Array, argmax: bool) -> ActionSample:
        del carry, argmax
        idle = _idle(obs, action_size, aux)
        return idle.replace(action=jax.random.uniform(key, idle.action.shape, minval=-1.0))

    return Policy(_NoModel(), act, None)


def _idle(obs: Observations, action_size: int, aux: Any) -> ActionSample:
    n = next(iter(obs.values())).shape[0]
    zeros = jax.tree.map(lambda x: jnp.zeros((n, *x.shape), x.dtype), aux)
    return ActionSample(action=jnp.zeros((n, action_size)), aux=zeros)
