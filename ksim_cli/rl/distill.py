"""Distillation: a student learns from a teacher that sees more, then goes on by itself.

Three stages, counted in iterations. In the first the student acts and learns what the teacher would
do in the states that it gets into (Ross, Gordon & Bagnell 2011, "DAgger"); in the second the critic
alone learns what the policy is worth that came out of it; the third is PPO. The critic learns in
all of them.

The teacher's variables are the `reward_variables`: they come from its run when training begins, and
lie in every checkpoint from then on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.config.components import DistillConfig
from ksim_cli.models.adapters import adapt
from ksim_cli.models.policy import Observations, Policy, Variables
from ksim_cli.registry import ALGORITHMS, MODELS
from ksim_cli.rl import losses
from ksim_cli.rl.algorithm import Context, Learning, Metrics, Preparing
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO, PPOState, evaluate
from ksim_cli.rl.rollout import Experience, LearnedRewards
from ksim_cli.trees import select_envs

LABEL = "teacher's action"
"""What the teacher would do travels into the minibatches as one more group of observations."""

GROUP = "teacher_{}"
"""Name of a group of the teacher's observations, and of each of them, beside the student's."""


class DistillState(PPOState):
    """The learner's state.

    Attributes:
        iteration: int32, updates so far.
    """

    iteration: jax.Array = struct.field(default_factory=lambda: jnp.int32(0))


@dataclass(frozen=True)
class Teacher:
    """Who is imitated.

    Attributes:
        policy: what acts.
        groups: observation group of its own -> that group's name in the student's environments.
    """

    policy: Policy
    groups: Mapping[str, str]

    def follow(
        self, experience: Experience, act: Callable[..., tuple[Any, Any]], *inputs: Any
    ) -> tuple[Any, Any]:
        """Lead the teacher through a rollout in which somebody else acts.

        Args:
            experience: the rollout; its `reward_carry` is what the teacher remembers before it.
            act: `(obs, carry, *inputs) -> (what is asked for, carry)` at one step.
            inputs: `[T, ...]`.

        Returns:
            What was asked for, `[T, ...]`, and what the teacher remembers after the rollout.
        """
        obs = {theirs: experience.obs[ours] for theirs, ours in self.groups.items()}
        fresh = self.policy.initial_carry(experience.was_reset.shape[1])

        def step(carry: Any, now: tuple[Any, ...]) -> tuple[Any, Any]:
            obs, was_reset, *inputs = now
            told, carry = act(obs, carry, *inputs)
            return select_envs(was_reset, fresh, carry), told

        steps = (obs, experience.was_reset, *inputs)
        carry, told = jax.lax.scan(step, experience.reward_carry, steps)
        return told, carry

    def likelihood(
        self, variables: Variables, obs: Observations, carry: Any, action: jax.Array
    ) -> tuple[jax.Array, Any]:
        """mean_j p_j(a_j) / p_j(mode_j), `[N]`, in (0, 1]: the reference's teacher reward.

        p_j is the teacher's density of the j-th element of an action; elements are independent, so
        it is told by actions that differ from the mode in that element alone.

        Args:
            variables: the teacher's.
            obs: group -> `[N, O]` what it sees.
            carry: what it remembers.
            action: `[N, A]` what the student does.
        """
        mode = self.policy.mode(variables, obs, carry)

        def log_prob(taken: jax.Array) -> jax.Array:
            mixed = jnp.where(taken[None], action, mode.action)
            return self.policy.ppo_variables(variables, obs, mixed, carry).log_prob

        size = action.shape[-1]
        each_an = jax.vmap(log_prob)(jnp.eye(size, dtype=bool))
        beside_an = each_an - log_prob(jnp.zeros(size, bool))[None]
        return jnp.exp(jnp.minimum(beside_an, 0.0)).mean(axis=0), mode.carry


@ALGORITHMS.register("distill")
@dataclass(frozen=True)
class Distill(DistillConfig, PPO):
    """`algo=distill`; the fields are documented in `ksim_cli.config.components.DistillConfig`."""

    shown = ("clone_loss", "policy_loss", "value_loss", "kl")

    def extra_observations(self) -> Mapping[str, Any]:
        """What the teacher sees, clean, in groups of its own."""
        return self.teacher_observations

    def sources(self) -> Mapping[str, str]:
        """The teacher's run."""
        return {"teacher": "reward_variables"}

    def prepare(self, task: Preparing) -> Teacher:
        """The teacher's actor; its critic stays behind."""
        section = dict(self.teacher_model)
        groups = {theirs: GROUP.format(theirs) for theirs in section.get("actor_groups", ())}
        if "critic_groups" in section:
            section["critic_groups"] = []
        sizes = {theirs: task.observation_sizes.get(ours, 0) for theirs, ours in groups.items()}
        model = MODELS.build(section, "algo.teacher_model")
        adapter = adapt(lambda key: model.build(sizes, task.action_size, key), sizes)
        return Teacher(Policy(adapter), groups)

    def init(self, context: Context, variables: Variables, key: jax.Array) -> Learning:
        """PPO's, and the room for the teacher's variables."""
        learner, own = super().init(context, variables, key)
        teacher = context.parts.policy.init(key)
        return Learning(DistillState.of(learner, reward_variables=teacher), own)

    def init_rewards(self, context: Context) -> Any:
        """What the teacher remembers at the start of an episode."""
        return context.parts.policy.initial_carry(context.env.num_envs)

    def carried_rewards(
        self, context: Context, reward_variables: Any, experience: Experience
    ) -> LearnedRewards:
        """How likely the teacher finds what the student does."""
        teacher: Teacher = context.parts
        if not self.likelihood_weight and not teacher.policy.recurrent:
            return {}, experience.reward_carry

        def act(obs: Observations, carry: Any, action: jax.Array) -> tuple[jax.Array, Any]:
            return teacher.likelihood(reward_variables, obs, carry, action)

        likelihood_tn, carry = teacher.follow(experience, act, experience.action)
        weighted = {"teacher": self.likelihood_weight * likelihood_tn}
        return weighted if self.likelihood_weight else {}, carry

    def update(
        self, context: Context, learning: Learning, experience: Experience, key: jax.Array
    ) -> tuple[Learning, Metrics]:
        """PPO's, with what the teacher would have done in each step.

        Where a stage begins the optimizer does, too: what it remembers is of another loss.
        """
        key, key_teacher = jax.random.split(key)
        label = self.labels(context.parts, learning.learner, experience, key_teacher)
        experience = experience.replace(obs={**experience.obs, LABEL: label})
        learner, own = learning
        fresh = context.optimizer.init(learner.variables.params)
        begins = (learner.iteration == self.clone_iterations) | (
            learner.iteration == self.clone_iterations + self.warm_up_iterations
        )
        opt_state = jax.tree.map(
            lambda new, old: jnp.where(begins, new, old), fresh, learner.opt_state
        )
        before = Learning(learner.replace(opt_state=opt_state), own)
        (learner, own), metrics = super().update(context, before, experience, key)
        clone, ppo = self.weights(learner.iteration)
        learner = learner.replace(iteration=learner.iteration + 1)
        return Learning(learner, own), {**metrics, "clone_weight": clone, "ppo_weight": ppo}

    def labels(
        self, teacher: Teacher, learner: DistillState, experience: Experience, key: jax.Array
    ) -> jax.Array:
        """`[T, N, A]` actions of the teacher in the student's states.

        They are samples: so the student learns how sure the teacher is, and explores no more.
        """

        def act(obs: Observations, carry: Any, key: jax.Array) -> tuple[jax.Array, Any]:
            sample = teacher.policy.sample(learner.reward_variables, obs, carry, key)
            return sample.action, sample.carry

        keys = jax.random.split(key, experience.was_reset.shape[0])
        return teacher.follow(experience, act, keys)[0]

    def weights(self, iteration: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Weights of the imitation and of PPO's policy loss in an iteration, by its stage."""
        clones = iteration < self.clone_iterations
        warms_up = ~clones & (iteration < self.clone_iterations + self.warm_up_iterations)
        later = jnp.where(warms_up, 0.0, self.clone_coef)
        return jnp.where(clones, 1.0, later), jnp.where(clones | warms_up, 0.0, 1.0)

    def gradient_step(
        self, context: Context, learner: PPOState, batch: Batch
    ) -> tuple[PPOState, Metrics]:
        """PPO's; the KL penalty adapts to PPO's own steps only."""
        new, metrics = super().gradient_step(context, learner, batch)
        assert isinstance(learner, DistillState)
        steers = self.weights(learner.iteration)[1] > 0
        kl_coef = jnp.where(steers, new.kl_coef, learner.kl_coef)
        return new.replace(kl_coef=kl_coef), {**metrics, "kl_coef": kl_coef}

    def loss(
        self, params: Any, context: Context, learner: PPOState, batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """-w_c E[log pi(a*|s)] + w_p (PPO's loss) + (1 - w_p) (the value's part of it).

        a* is what the teacher would do in the student's state s; the weights are the stage's.
        """
        total, metrics = super().loss(params, context, learner, batch)
        assert isinstance(learner, DistillState)
        clone_weight, ppo_weight = self.weights(learner.iteration)
        variables = learner.variables.replace(params=params)

        def imitation() -> jax.Array:
            taught = batch.replace(action=batch.obs[LABEL], raw_action=None)
            now = evaluate(context.policy, variables, taught)
            return -losses.masked_mean(now.log_prob, batch.valid)

        clones = clone_weight > 0
        clone = jax.lax.cond(clones, imitation, lambda: jnp.zeros(()))
        critic = self.value_loss_coef * metrics["value_loss"]
        total = jnp.where(ppo_weight > 0, total, critic) + clone_weight * clone
        clone_loss = jnp.where(clones, clone, jnp.nan)
        return total, {**metrics, "loss": total, "clone_loss": clone_loss}
