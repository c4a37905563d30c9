"""Proximal policy optimisation (Schulman et al. 2017): one update from a rollout, top to bottom.

Arrays of a rollout are `[T, N, ...]`, of a minibatch `[B, ...]`, or `[T, B, ...]` for a recurrent
model.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ksim_cli.config.components import PPOConfig
from ksim_cli.models.normalizers import RunningStatistics, running_statistics
from ksim_cli.models.policy import (
    ActionSample,
    Observations,
    Policy,
    PPOVariables,
    Variables,
)
from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl import diagnostics, losses
from ksim_cli.rl.algorithm import Algorithm, Context, LearnerState, Learning, Metrics
from ksim_cli.rl.episodes import scaled_rewards
from ksim_cli.rl.gae import gae
from ksim_cli.rl.minibatches import Batch, Sequences, Transitions
from ksim_cli.rl.rollout import Experience, replay
from ksim_cli.types import StepResult


class PPOState(LearnerState):
    """The learner's state.

    Attributes:
        kl_coef: weight of the KL penalty.
        returns: statistics of all discounted returns seen, which rewards are scaled by.
    """

    inherited: ClassVar[tuple[str, ...]] = ("variables", "returns")

    kl_coef: jax.Array = struct.field(default_factory=lambda: jnp.zeros(()))
    returns: RunningStatistics = struct.field(default_factory=running_statistics)


class ActingRecord(struct.PyTreeNode):
    """What is kept of a step while acting.

    Attributes:
        log_prob: `[N]` log density of the action.
        value: `[N]` value of the observation.
        final_value: `[N]` value of the state before the reset, where the episode was truncated.
    """

    log_prob: jax.Array
    value: jax.Array
    final_value: jax.Array


def evaluate(policy: Policy, variables: Variables, batch: Batch) -> PPOVariables:
    """What a policy says of a minibatch `[B]`, or `[T, B]` where it is recurrent."""
    stored = (batch.obs, batch.action, batch.carry)
    if policy.recurrent:
        return replay(policy, variables, *stored, batch.done, batch.raw_action)
    return policy.ppo_variables(variables, *stored, batch.raw_action)


@ALGORITHMS.register("ppo")
@dataclass(frozen=True)
class PPO(PPOConfig, Algorithm):
    """`algo=ppo`; the fields are documented in `ksim_cli.config.components.PPOConfig`.

    Each environment has the discounted return of its episode so far as its own state.
    """

    needs_value: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("policy_loss", "value_loss", "entropy", "kl")

    def init(self, context: Context, variables: Variables, key: jax.Array) -> Learning:
        """See `Algorithm.init`."""
        del key
        learner = PPOState(
            variables=variables,
            opt_state=context.optimizer.init(variables.params),
            kl_coef=jnp.asarray(self.kl_coef, jnp.float32),
        )
        return Learning(learner, jnp.zeros(context.env.num_envs))

    def warm_up(self, context: Context, learning: Learning, experience: Experience) -> Learning:
        """The first statistics of returns."""
        return self._scaled(learning, experience)[0]

    def record(
        self,
        context: Context,
        variables: Variables,
        obs: Observations,
        carry: Any,
        sample: ActionSample,
        result: StepResult,
    ) -> ActingRecord:
        """Density and value of the action, and the value of a state that a time limit ends."""
        policy, size = context.policy, context.env.action_size
        log_prob, value = sample.log_prob, sample.value
        if log_prob is None or value is None:
            stored = (obs, sample.action, carry, sample.raw_action)
            now = policy.ppo_variables(variables, *stored)
            log_prob, value = now.log_prob, now.value
        assert value is not None  # a model without a critic was refused
        final_value = jax.lax.cond(
            result.truncated.any(),
            lambda: policy.value(variables, result.final_obs, sample.carry, size),
            lambda: jnp.zeros(context.env.num_envs),
        )
        return ActingRecord(log_prob, value, final_value)

    def update(
        self, context: Context, learning: Learning, experience: Experience, key: jax.Array
    ) -> tuple[Learning, Metrics]:
        """`num_passes` passes over the rollout in shuffled minibatches.

        They hold transitions in any order, or for a recurrent model whole environments. The
        metrics are means over all minibatches, but for those of the rollout.
        """
        learning, rewards_tn = self._scaled(learning, experience)
        advantage_tn, target_tn = self.estimate(context, learning.learner, experience, rewards_tn)
        batch = Batch(
            obs=experience.obs,
            action=experience.action,
            carry=experience.carry,
            log_prob=experience.record.log_prob,
            value=experience.record.value,
            advantage=advantage_tn,
            target=target_tn,
            valid=experience.valid,
            done=experience.was_reset,
            raw_action=experience.raw_action,
        )
        minibatches = Sequences if context.policy.recurrent else Transitions
        parts = minibatches(batch, context.batch_size)

        def one_pass(learner: PPOState, key: jax.Array) -> tuple[PPOState, Metrics]:
            shuffled = jax.vmap(parts.take)(parts.order(key))
            return jax.lax.scan(partial(self.gradient_step, context), learner, shuffled)

        keys = jax.random.split(key, self.num_passes)
        learner, metrics = jax.lax.scan(one_pass, learning.learner, keys)
        metrics = jax.tree.map(jnp.mean, metrics) | diagnostics.rollout_metrics(batch)
        return Learning(learner, learning.own), metrics

    def estimate(
        self, context: Context, learner: PPOState, experience: Experience, rewards_tn: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Advantages and value targets of a rollout, from rewards; all `[T, N]`."""
        record, results, valid_tn = experience.record, experience.results, experience.valid
        last_n = context.policy.value(
            learner.variables,
            experience.last_obs,
            experience.last_carry,
            context.env.action_size,
        )
        following_tn = jnp.concatenate([record.value[1:], last_n[None]])
        alive_tn = jnp.where(experience.was_reset, 0.0, following_tn)
        next_value_tn = jnp.where(results.truncated, record.final_value, alive_tn)
        # What was quarantined has no advantage and hands none on: its own value is its reward.
        rewards_tn = jnp.where(valid_tn, rewards_tn, record.value)
        next_value_tn = jnp.where(valid_tn, next_value_tn, 0.0)
        steps = (rewards_tn, record.value, next_value_tn, results.done, self.gamma)
        advantage_tn = gae(*steps, self.lam)
        returns_tn = gae(*steps, 1.0) if self.monte_carlo_returns else advantage_tn
        return advantage_tn, returns_tn + record.value

    def gradient_step(
        self, context: Context, learner: PPOState, batch: Batch
    ) -> tuple[PPOState, Metrics]:
        """One step of the optimizer; one that is not finite is not applied, and counted."""
        params = learner.variables.params
        gradients, metrics = jax.grad(self.loss, has_aux=True)(params, context, learner, batch)
        norms = diagnostics.gradient_norms(gradients)
        kl_coef = learner.kl_coef
        if self.adaptive_kl:
            kl_coef = losses.adapted_kl_coef(kl_coef, metrics["kl"], self.desired_kl)
        updates, opt_state = context.optimizer.update(gradients, learner.opt_state, params)
        new = learner.replace(
            variables=learner.variables.replace(params=optax.apply_updates(params, updates)),
            opt_state=opt_state,
            kl_coef=kl_coef,
        )
        sound = jnp.isfinite(norms["grad_norm"]) & jnp.isfinite(metrics["loss"])
        new = jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, learner)
        return new, metrics | {
            **norms,
            "kl_coef": new.kl_coef,
            "skipped_updates": 1.0 - sound.astype(jnp.float32),
        }

    def loss(
        self, params: Any, context: Context, learner: PPOState, batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """PPO's loss over a minibatch `[B]`, or `[T, B]` for a recurrent model, and its parts."""
        now = evaluate(context.policy, learner.variables.replace(params=params), batch)
        assert now.value is not None  # a model without a critic was refused
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
        total = surrogate + self.value_loss_coef * value - self.entropy_coef * entropy
        total += learner.kl_coef * kl
        return total, {
            "loss": total,
            "policy_loss": surrogate,
            "value_loss": value,
            "entropy": entropy,
            "kl": kl,
            "clip_fraction": losses.masked_mean(clipped, batch.valid),
            "action_std": diagnostics.mean_std(now, batch.valid),
        }

    def _scaled(self, learning: Learning, experience: Experience) -> tuple[Learning, jax.Array]:
        """The statistics of returns after a rollout, and its rewards `[T, N]` as learned from."""
        rewards_tn, learner = experience.scores.total, learning.learner
        steps = (rewards_tn, experience.results.done, experience.valid)
        returns, return_n, scaled_tn = scaled_rewards(
            learner.returns, learning.own, *steps, self.gamma
        )
        learning = Learning(learner.replace(returns=returns), return_n)
        return learning, scaled_tn if self.normalize_returns else rewards_tn
