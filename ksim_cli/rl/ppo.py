"""Proximal policy optimisation (Schulman et al. 2017).

One iteration is `PPO.train_step`: collect a rollout, score it, estimate advantages, update. It is
jitted once, as a whole. Arrays of a rollout are `[T, N, ...]`, of a minibatch `[B, ...]`, or
`[T, B, ...]` for a recurrent model.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ksim_cli.config.components import PPOConfig
from ksim_cli.models.policy import Variables
from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl import losses
from ksim_cli.rl.episodes import (
    EpisodeTracker,
    ReturnScale,
    episode_tracker,
    return_scale,
    track,
)
from ksim_cli.rl.gae import gae
from ksim_cli.rl.minibatches import Batch, Sequences, Transitions
from ksim_cli.rl.rollout import Agent, Rollout, ZeroAgent, collect, replay
from ksim_cli.types import QUARANTINE_CAUSES, Env, EpisodeStatistics, Scores, StepResult

Metrics = dict[str, jax.Array]


@dataclass(frozen=True)
class Setup:
    """What is trained where; fixed for a run.

    Attributes:
        env: the environments.
        agent: the policy.
        optimizer: trains the agent's parameters.
        update_model: `(setup, learner, batch, key) -> (learner, metrics)`, PPO's own or a task's.
        num_steps: T, control steps of a rollout.
        batch_size: environments per minibatch; a minibatch holds `batch_size * T` transitions.
    """

    env: Env
    agent: Agent
    optimizer: optax.GradientTransformation
    update_model: Any
    num_steps: int
    batch_size: int


class Learner(struct.PyTreeNode):
    """What an update changes.

    Attributes:
        variables: the agent's parameters and statistics.
        opt_state: the optimizer's state, of the parameters only.
        kl_coef: weight of the KL penalty.
    """

    variables: Variables
    opt_state: Any
    kl_coef: jax.Array


class TrainState(struct.PyTreeNode):
    """Everything a run needs to go on; what lives outside JAX is the engine's `host_state`.

    Attributes:
        learner: what an update changes.
        env: state of the environments.
        carry: the model's carry of the episodes under way.
        rewards: the rewards' carry.
        tracker: returns and lengths of the episodes under way.
        scale: the scale of returns.
        key: random key of the next iteration.
    """

    learner: Learner
    env: Any
    carry: Any
    rewards: Any
    tracker: EpisodeTracker
    scale: ReturnScale
    key: jax.Array


class Incident(struct.PyTreeNode):
    """The first environment of a rollout that was quarantined.

    Attributes:
        cause: int32 bits of `QUARANTINE_CAUSES`; 0: there was none, and the rest means nothing.
        step: control step of the rollout.
        env: environment.
        obs: group -> what the networks saw before the step.
        action: the action.
        view: fields after the step.
    """

    cause: jax.Array
    step: jax.Array
    env: jax.Array
    obs: dict[str, jax.Array]
    action: jax.Array
    view: Any


@ALGORITHMS.register("ppo")
@dataclass(frozen=True)
class PPO(PPOConfig):
    """`algo=ppo`; the fields are documented in `ksim_cli.config.components.PPOConfig`."""

    def init(self, setup: Setup, key: jax.Array) -> TrainState:
        """A state after the burn-in: statistics seeded by one rollout with zero actions.

        So the first observations that the networks see are normalised, and by what the task
        looks like, not by what an untrained network does to it.
        """
        key, key_model, key_env, key_burn_in = jax.random.split(key, 4)
        env, agent = setup.env, setup.agent
        variables = agent.init(key_model)
        zero = ZeroAgent(env.action_size)
        start = (env.init(key_env), ())
        (env_state, _), rollout = collect(env, zero, variables, start, key_burn_in, setup.num_steps)
        results, scores, rewards = self._score(setup, env.init_rewards(), rollout)
        scale, _ = return_scale(env.num_envs).update(scores.total, results.done, self.gamma)
        variables = agent.update_statistics(variables, rollout.obs, results.quarantined == 0)
        tracker, _ = track(episode_tracker(env.num_envs), scores.total, results)
        learner = Learner(
            variables=variables,
            opt_state=setup.optimizer.init(variables.params),
            kl_coef=jnp.asarray(self.kl_coef, jnp.float32),
        )
        return TrainState(
            learner=learner,
            env=env_state,
            carry=agent.initial_carry(env.num_envs),
            rewards=rewards,
            tracker=tracker,
            scale=scale,
            key=key,
        )

    def train_step(self, setup: Setup, state: TrainState) -> tuple[TrainState, Metrics, Incident]:
        """One iteration.

        Returns:
            The state after it, scalars by name (NaN where there was nothing to measure), and the
            first environment that was quarantined.
        """
        key, key_rollout, key_update = jax.random.split(state.key, 3)
        state, rollout = self.act(setup, state.replace(key=key), key_rollout)
        return self.learn(setup, state, rollout, key_update)

    def act(self, setup: Setup, state: TrainState, key: jax.Array) -> tuple[TrainState, Rollout]:
        """The first half of an iteration: a rollout, and the state after it."""
        (env_state, carry), rollout = collect(
            setup.env,
            setup.agent,
            state.learner.variables,
            (state.env, state.carry),
            key,
            setup.num_steps,
        )
        return state.replace(env=env_state, carry=carry), rollout

    def learn(
        self, setup: Setup, state: TrainState, rollout: Rollout, key: jax.Array
    ) -> tuple[TrainState, Metrics, Incident]:
        """The second half: scores the rollout, estimates advantages, updates; see `train_step`."""
        results, scores, rewards = self._score(setup, state.rewards, rollout)
        tracker, episodes = track(state.tracker, scores.total, results)
        scale, scaled_tn = state.scale.update(scores.total, results.done, self.gamma)
        batch = self._batch(rollout, results, scaled_tn if self.normalize_returns else scores.total)
        learner, loss_metrics = setup.update_model(setup, state.learner, batch, key)
        # Last, so that the update saw the very statistics that the actions were taken with.
        learner = learner.replace(
            variables=setup.agent.update_statistics(learner.variables, rollout.obs, batch.valid)
        )
        state = state.replace(
            learner=learner,
            env=setup.env.end_rollout(state.env, results, episodes),
            rewards=rewards,
            tracker=tracker,
            scale=scale,
        )
        metrics = rollout_metrics(scores, results, episodes) | loss_metrics
        return state, metrics, first_incident(rollout, results)

    def update_model(
        self, setup: Setup, learner: Learner, batch: Batch, key: jax.Array
    ) -> tuple[Learner, Metrics]:
        """`num_passes` passes over a rollout in shuffled minibatches.

        They hold transitions in any order, or for a recurrent model whole environments.

        Args:
            setup: the run.
            learner: before.
            batch: `[T, N, ...]`.
            key: random key of the shuffling.

        Returns:
            The learner after, and the mean of each scalar over all minibatches.
        """
        minibatches = Sequences if setup.agent.recurrent else Transitions
        parts = minibatches(batch, setup.batch_size)

        def step(learner: Learner, order: jax.Array) -> tuple[Learner, Metrics]:
            return self._gradient_step(setup, learner, parts.take(order))

        def one_pass(learner: Learner, key: jax.Array) -> tuple[Learner, Metrics]:
            return jax.lax.scan(step, learner, parts.order(key))

        keys = jax.random.split(key, self.num_passes)
        learner, metrics = jax.lax.scan(one_pass, learner, keys)
        return learner, jax.tree.map(jnp.mean, metrics)

    def loss(
        self, setup: Setup, variables: Variables, batch: Batch, kl_coef: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """PPO's loss over a minibatch `[B]`, or `[T, B]` for a recurrent model, and its parts."""
        stored = (batch.obs, batch.action, batch.carry)
        if setup.agent.recurrent:
            now = replay(setup.agent, variables, *stored, batch.done)
        else:
            now = setup.agent.ppo_variables(variables, *stored)
        limit = self.log_clip_value
        log_ratio_b = jnp.clip(now.log_prob - batch.log_prob, -limit, limit)
        advantage_b = batch.advantage
        if self.normalize_advantages:
            advantage_b = losses.normalize(advantage_b, batch.valid)
        clip = self.clip_param if self.use_clipped_value_loss else None
        surrogate = losses.surrogate_loss(log_ratio_b, advantage_b, self.clip_param, batch.valid)
        value = losses.value_loss(now.value, batch.value, batch.target, clip, batch.valid)
        entropy = losses.masked_mean(now.entropy, batch.valid)
        if self.entropy_coef == 0:  # of a mixture its gradient is most of the work
            entropy = jax.lax.stop_gradient(entropy)
        kl = losses.kl_divergence(log_ratio_b, batch.valid)
        clipped = jnp.abs(jnp.expm1(log_ratio_b)) > self.clip_param
        total = (
            surrogate + self.value_loss_coef * value - self.entropy_coef * entropy + kl_coef * kl
        )
        return total, {
            "loss": total,
            "policy_loss": surrogate,
            "value_loss": value,
            "entropy": entropy,
            "kl": kl,
            "clip_fraction": losses.masked_mean(clipped, batch.valid),
        }

    def _gradient_step(
        self, setup: Setup, learner: Learner, batch: Batch
    ) -> tuple[Learner, Metrics]:
        variables = learner.variables

        def objective(params: Any) -> tuple[jax.Array, Metrics]:
            return self.loss(setup, variables.replace(params=params), batch, learner.kl_coef)

        gradients, metrics = jax.grad(objective, has_aux=True)(variables.params)
        norm = optax.tree.norm(gradients)
        updates, opt_state = setup.optimizer.update(gradients, learner.opt_state, variables.params)
        new = learner.replace(
            variables=variables.replace(params=optax.apply_updates(variables.params, updates)),
            opt_state=opt_state,
            kl_coef=self._adapted(learner.kl_coef, metrics["kl"]),
        )
        # An update that is not finite is not applied; it is counted.
        sound = jnp.isfinite(norm) & jnp.isfinite(metrics["loss"])
        new = jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, learner)
        return new, metrics | {
            "grad_norm": norm,
            "kl_coef": new.kl_coef,
            "skipped_updates": 1.0 - sound.astype(jnp.float32),
        }

    def _adapted(self, kl_coef: jax.Array, kl: jax.Array) -> jax.Array:
        """Schulman et al. 2017, section 4, with factor 1.5 per minibatch."""
        if not self.adaptive_kl:
            return kl_coef
        factor = jnp.where(
            kl > 1.5 * self.desired_kl, 1.5, jnp.where(kl < self.desired_kl / 1.5, 1 / 1.5, 1.0)
        )
        return jnp.clip(kl_coef * factor, 1e-8, 1e2)

    def _score(self, setup: Setup, carry: Any, rollout: Rollout) -> tuple[StepResult, Scores, Any]:
        """Rewards of a rollout; one that is not finite counts as zero and as quarantined."""
        carry, scores = setup.env.rewards(carry, rollout.results, {})
        sound = jnp.isfinite(scores.total)
        results = rollout.results
        bad = results.quarantined + jnp.where(sound, 0, QUARANTINE_CAUSES["reward"])
        counts = (results.quarantined == 0) & sound
        clean = jax.tree.map(lambda x: jnp.where(counts, x, 0.0), scores)
        return results.replace(quarantined=bad), clean, carry

    def _batch(self, rollout: Rollout, results: StepResult, rewards_tn: jax.Array) -> Batch:
        valid_tn = results.quarantined == 0
        # What was quarantined has no advantage and hands none on: its own value is its reward.
        rewards_tn = jnp.where(valid_tn, rewards_tn, rollout.value)
        next_value_tn = jnp.where(valid_tn, rollout.next_value, 0.0)
        estimate = (rewards_tn, rollout.value, next_value_tn, results.done, self.gamma)
        advantage_tn = gae(*estimate, self.lam)
        returns_tn = gae(*estimate, 1.0) if self.monte_carlo_returns else advantage_tn
        return Batch(
            obs=rollout.obs,
            action=rollout.action,
            carry=rollout.carry,
            log_prob=rollout.log_prob,
            value=rollout.value,
            advantage=advantage_tn,
            target=returns_tn + rollout.value,
            valid=valid_tn,
            # A reward that is not finite is quarantined here alone: its episode goes on.
            done=rollout.results.done,
        )


def rollout_metrics(scores: Scores, results: StepResult, episodes: EpisodeStatistics) -> Metrics:
    """Scalars that describe a rollout, by the name they are logged under."""
    metrics = {
        "reward": scores.total.mean(),
        "episodes": episodes.episodes,
        "episode_return": episodes.episode_return,
        "episode_length": episodes.length,
        "failure_rate": episodes.failure_rate,
        "level": results.steps.level.mean(),
        "quarantined": (results.quarantined > 0).sum(),
        "overflow": results.overflow.sum(),
    }
    for name, bit in QUARANTINE_CAUSES.items():
        metrics[f"quarantined/{name}"] = ((results.quarantined & bit) > 0).sum()
    for name, values in scores.components.items():
        metrics[f"reward/{name}"] = values.mean()
    for name, values in scores.command_errors.items():
        metrics[f"command_error/{name}"] = values.mean()
    for name, fired in results.causes.items():
        metrics[f"termination/{name}"] = (fired & results.done).sum() / results.done.sum()
    return metrics


def first_incident(rollout: Rollout, results: StepResult) -> Incident:
    """What is known of the first environment that was quarantined in a rollout."""
    bad_tn = results.quarantined > 0
    step = jnp.argmax(bad_tn.any(axis=1))
    env = jnp.argmax(bad_tn[step])
    chosen_n = jnp.arange(bad_tn.shape[1]) == env

    def entry(x: jax.Array) -> jax.Array:
        # An index into environments that lie on several devices would gather all of them.
        now = x[step]
        mask = chosen_n.reshape(-1, *[1] * (now.ndim - 1))
        return jnp.where(mask, now, 0).sum(axis=0, dtype=now.dtype)

    cause, obs, action, view = jax.tree.map(
        entry, (results.quarantined, rollout.obs, rollout.action, results.steps.view)
    )
    return Incident(cause=cause, step=step, env=env, obs=obs, action=action, view=view)
