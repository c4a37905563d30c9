"""Adversarial motion priors (Peng et al. 2021): PPO, and a reward for moving like a motion.

A discriminator learns to tell the policy's steps from those of a reference motion; the policy earns
what it takes for the motion. Arrays of a rollout are `[T, N, ...]`, of a minibatch `[B, ...]`, of
steps of the motion `[R, ...]`; D is the size of what the discriminator sees of a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx, struct

from ksim_cli.config.components import AMPConfig, OptimizerConfig
from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.discriminator import Discriminator
from ksim_cli.models.policy import Variables
from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl.algorithm import Context, Learning, Metrics
from ksim_cli.rl.losses import discriminator_loss, style_reward
from ksim_cli.rl.minibatches import Transitions
from ksim_cli.rl.optimizers import AdamW
from ksim_cli.rl.ppo import PPO, PPOState
from ksim_cli.rl.rollout import Experience
from ksim_cli.types import MotionObservations, Preparing


class AMPState(PPOState):
    """The learner's state; the discriminator's variables are the `reward_variables`.

    Attributes:
        disc_opt_state: of the discriminator's optimizer.
    """

    disc_opt_state: Any = ()


class Moves(struct.PyTreeNode):
    """Steps as the discriminator sees them.

    Attributes:
        before: observation group -> `[..., O]` before the step.
        after: the same after it, and before any reset.
        valid: `[...]` bool; what was quarantined is not learned from.
        carry: nothing; a field of what `Transitions` shuffles.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    valid: Any
    carry: Any = ()


class Motion(struct.PyTreeNode):
    """All steps of the reference motion.

    Attributes:
        moves: they, `[M, ...]`.
        probability: `[M]` of each to be drawn; sum 1.
    """

    moves: Moves
    probability: Any


def motion_of(clips: Sequence[MotionObservations]) -> Motion:
    """The steps of all clips, each clip drawn by its weight and its steps alike."""
    groups = clips[0].obs

    def ends(part: slice) -> dict[str, np.ndarray]:
        return {
            group: np.concatenate([clip.obs[group][part] for clip in clips]) for group in groups
        }

    lengths = [len(next(iter(clip.obs.values()))) - 1 for clip in clips]
    share = np.repeat([c.weight / n for c, n in zip(clips, lengths, strict=True)], lengths)
    moves = Moves(ends(slice(None, -1)), ends(slice(1, None)), np.ones(sum(lengths), bool))
    return Motion(moves, share.astype(np.float32))


@dataclass(frozen=True)
class AMPParts:
    """What is made once.

    Attributes:
        discriminator: makes it of its variables.
        optimizer: its optimizer.
        task: gives the motion.
        groups: the observation groups that it sees.
    """

    discriminator: NNXAdapter
    optimizer: optax.GradientTransformation
    task: Preparing
    groups: tuple[str, ...]

    @cached_property
    def motion(self) -> Motion:
        """The reference motion, read when it is first learned from: who only plays needs none."""
        with jax.ensure_compile_time_eval():
            return motion_of(self.task.motion_observations(self.groups))


@ALGORITHMS.register("amp")
@dataclass(frozen=True)
class AMP(AMPConfig, PPO):
    """`algo=amp`; the fields are documented in `ksim_cli.config.components.AMPConfig`."""

    shown: ClassVar[tuple[str, ...]] = (*PPO.shown, "disc_loss")

    def reward_factor(self) -> float:
        """See `Algorithm.reward_factor`."""
        return self.task_reward_weight

    def extra_observations(self) -> Mapping[str, Any]:
        """The discriminator's own observations, in its first group where they name none."""
        groups = {"groups": self.disc_groups[:1]}
        return {name: groups | term for name, term in self.observations.items() if term is not None}

    def final_groups(self) -> tuple[str, ...]:
        """What the discriminator sees of a step that a reset follows."""
        return tuple(self.disc_groups)

    def refuse_unlearnable(self, task: Preparing) -> None:
        """Refuses a motion that does not tell what the discriminator is to see."""
        task.motion_observations(self.disc_groups)

    def prepare(self, task: Preparing) -> AMPParts:
        """The discriminator, its optimizer, and where the motion comes from."""
        sizes = task.observation_sizes
        optimizer = OptimizerConfig(
            learning_rate=self.disc_learning_rate,
            max_grad_norm=self.disc_max_grad_norm,
            weight_decay=self.disc_weight_decay,
        )
        return AMPParts(
            discriminator=NNXAdapter(lambda key: Discriminator(self, sizes, nnx.Rngs(key))),
            optimizer=AdamW(**vars(optimizer)).build(),
            task=task,
            groups=tuple(self.disc_groups),
        )

    def init(self, context: Context, variables: Variables, key: jax.Array) -> Learning:
        """See `Algorithm.init`."""
        learner, own = super().init(context, variables, key)
        fresh = context.parts.discriminator.init(key)
        opt_state = context.parts.optimizer.init(fresh.params)
        return Learning(AMPState.of(learner, reward_variables=fresh, disc_opt_state=opt_state), own)

    def warm_up(self, context: Context, learning: Learning, experience: Experience) -> Learning:
        """The first statistics: of returns, and of what the discriminator sees of the motion."""
        learner, own = super().warm_up(context, learning, experience)
        moves = context.parts.motion.moves
        seen = _seen(context, learner.reward_variables, moves.before, moves.valid)
        seen = _seen(context, seen, experience.obs, experience.valid)
        return Learning(learner.replace(reward_variables=seen), own)

    def rewards(
        self, context: Context, reward_variables: Any, experience: Experience
    ) -> Mapping[str, jax.Array]:
        """The style reward, which is added to those of the task."""
        discriminator = context.parts.discriminator.merge(reward_variables)
        moves = self.moves(experience)
        score_tn = discriminator(discriminator.features(moves.before, moves.after))
        return {"style": self.style_reward_weight * style_reward(score_tn)}

    def update(
        self, context: Context, learning: Learning, experience: Experience, key: jax.Array
    ) -> tuple[Learning, Metrics]:
        """PPO's update, then the discriminator's, which sees the same rollout."""
        key, key_disc = jax.random.split(key)
        (learner, own), metrics = super().update(context, learning, experience, key)
        learner, disc_metrics = self.update_discriminator(context, learner, experience, key_disc)
        return Learning(learner, own), metrics | disc_metrics

    def moves(self, experience: Experience) -> Moves:
        """The steps of a rollout `[T, N]` as the discriminator sees them."""
        return Moves(
            before={group: experience.obs[group] for group in self.disc_groups},
            after={group: experience.next_obs(group) for group in self.disc_groups},
            valid=experience.valid,
        )

    def update_discriminator(
        self, context: Context, learner: AMPState, experience: Experience, key: jax.Array
    ) -> tuple[AMPState, Metrics]:
        """`disc_num_passes` passes over the rollout, in minibatches of the size of PPO's.

        Beside each there are as many steps of the motion as `amp_reference_batch_size` rollouts of
        one environment have. The metrics are means over all minibatches.
        """
        parts = Transitions(self.moves(experience), context.batch_size)
        level = experience.results.steps.level.max()
        noise = self.amp_reference_noise * jnp.maximum(
            level, self.amp_reference_noise_min_multiplier
        )
        step = partial(self.discriminator_step, context, noise)

        def one_pass(learner: AMPState, key: jax.Array) -> tuple[AMPState, Metrics]:
            key_order, key_motion = jax.random.split(key)
            shuffled = jax.vmap(parts.take)(parts.order(key_order))
            keys = jax.random.split(key_motion, len(shuffled.valid))
            return jax.lax.scan(step, learner, (shuffled, keys))

        keys = jax.random.split(key, self.disc_num_passes)
        learner, metrics = jax.lax.scan(one_pass, learner, keys)
        seen = _seen(context, learner.reward_variables, experience.obs, experience.valid)
        return learner.replace(reward_variables=seen), jax.tree.map(jnp.mean, metrics)

    def discriminator_step(
        self,
        context: Context,
        noise: jax.Array,
        learner: AMPState,
        minibatch: tuple[Moves, jax.Array],
    ) -> tuple[AMPState, Metrics]:
        """One step of the discriminator's optimizer.

        Args:
            context: the run.
            noise: standard deviation of what is added to the normalised motion.
            learner: the learner's state.
            minibatch: steps of the policy `[B]`, and a random key for those of the motion.
        """
        fake, key = minibatch
        key_draw, key_noise = jax.random.split(key)
        variables, make = learner.reward_variables, context.parts.discriminator.merge
        real = self.drawn(context, key_draw)
        see = make(variables).features
        real_rd, fake_bd = see(real.before, real.after), see(fake.before, fake.after)
        real_rd += noise * jax.random.normal(key_noise, real_rd.shape)

        def loss(params: Any) -> tuple[jax.Array, Metrics]:
            score = make(variables.replace(params=params))
            coef = self.amp_grad_penalty_coef
            return discriminator_loss(score, real_rd, fake_bd, fake.valid, coef)

        gradients, metrics = jax.grad(loss, has_aux=True)(variables.params)
        updates, opt_state = context.parts.optimizer.update(
            gradients, learner.disc_opt_state, variables.params
        )
        params = optax.apply_updates(variables.params, updates)
        learner = learner.replace(
            reward_variables=variables.replace(params=params), disc_opt_state=opt_state
        )
        return learner, metrics

    def drawn(self, context: Context, key: jax.Array) -> Moves:
        """Random steps of the motion, `amp_reference_batch_size` times those of a rollout."""
        motion = context.parts.motion
        count = self.amp_reference_batch_size * context.num_steps
        chosen = jax.random.choice(
            key, len(motion.probability), (count,), p=jnp.asarray(motion.probability)
        )
        return jax.tree.map(lambda x: jnp.asarray(x)[chosen], motion.moves)


def _seen(
    context: Context, variables: Variables, obs: Mapping[str, Any], mask: jax.Array
) -> Variables:
    """The discriminator's variables whose statistics have seen some observations `[..., O]`."""
    adapter = context.parts.discriminator
    discriminator = adapter.merge(variables)
    discriminator.update_statistics(obs, mask)
    return variables.replace(statistics=adapter.split(discriminator).statistics)
