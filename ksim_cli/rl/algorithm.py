"""What all learning algorithms share: an iteration, its state, and what an algorithm is asked for.

An iteration is `train_step`: play a rollout, score it, follow episodes, update, move the
curriculum. It is jitted once, as a whole. An algorithm is a class with `update` and whatever else
of `Algorithm` it needs; nothing outside its own file knows more of it than is written here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ksim_cli.models.policy import ActionSample, Observations, Policy, Variables
from ksim_cli.rl.episodes import EpisodeTracker, episode_tracker, update_episode_statistics
from ksim_cli.rl.incident import Incident, first_incident
from ksim_cli.rl.rollout import (
    Experience,
    LearnedRewards,
    Metrics,
    Player,
    Playing,
    PolicyState,
    play,
    record_nothing,
    rollout_metrics,
    zero_policy,
)
from ksim_cli.trees import breaks, filled, unless
from ksim_cli.types import Env, Preparing, StepResult, per_env, shared


class LearnerState(struct.PyTreeNode):
    """What an update changes and all environments share; an algorithm may subclass it.

    Attributes:
        variables: the policy's; all that acting needs.
        opt_state: of the optimizer, or of several.
        reward_variables: what learned rewards are computed with.
        inherited: fields that a run takes of the one it begins from (`init_from`).
    """

    inherited: ClassVar[tuple[str, ...]] = ("variables",)

    variables: Variables
    opt_state: Any
    reward_variables: Any = ()

    @classmethod
    def of(cls, learner: "LearnerState", **more: Any) -> Self:
        """This class's state with the fields of another's and more, or others, of its own."""
        given = {f.name: getattr(learner, f.name) for f in fields(learner)}
        return cls(**{**given, **more})


class Learning(NamedTuple):
    """What an update takes and gives back.

    Attributes:
        learner: what all environments share.
        own: what the algorithm keeps for each environment, any pytree, leading axis N.
    """

    learner: Any
    own: Any = ()


class TrainState(struct.PyTreeNode):
    """Everything a run needs to go on; what lives outside JAX is the engine's `host_state`.

    Attributes:
        env: state of the environments, which marks its own fields.
        learner: see `Learning`.
        own: see `Learning`.
        carry: the model's carry of the episodes under way.
        rewards: the rewards' carry.
        tracker: returns and lengths of the episodes under way.
        key: random key of the next iteration.
        learned: the learned rewards' carry.
    """

    env: Any
    learner: Any = shared()
    own: Any = per_env()
    carry: Any = per_env()
    rewards: Any = per_env()
    tracker: EpisodeTracker = per_env()
    key: jax.Array = shared()
    learned: Any = per_env(default=())

    @property
    def policy(self) -> PolicyState:
        """What acting needs of it."""
        return PolicyState(
            variables=self.learner.variables,
            reward_variables=self.learner.reward_variables,
            level=self.env.level,
            iteration=self.env.iteration,
        )

    def without_policy(self) -> "TrainState":
        """The state without the arrays that `policy` holds, but for the level."""
        return self.replace(learner=self.learner.replace(variables=(), reward_variables=()))

    def with_policy(self, policy: PolicyState) -> "TrainState":
        """The inverse of `without_policy`."""
        arrays = {"variables": policy.variables, "reward_variables": policy.reward_variables}
        return self.replace(learner=self.learner.replace(**arrays))


@dataclass(frozen=True)
class Context:
    """What is trained where; fixed for a run.

    Attributes:
        env: the environments.
        policy: what acts.
        optimizer: the configured optimizer.
        num_steps: T, control steps of a rollout.
        batch_size: environments per minibatch.
        parts: what `Algorithm.prepare` made.
        update: `(context, learning, experience, key) -> (learning, metrics)` of a task that
            overrides it; None: the algorithm's own.
        aux: shapes of one environment's auxiliary outputs.
    """

    env: Env
    policy: Policy
    optimizer: optax.GradientTransformation
    num_steps: int
    batch_size: int
    parts: Any = ()
    update: Callable[..., tuple[Learning, Metrics]] | None = None
    aux: Any = ()


class Algorithm:
    """A learning algorithm; subclass it as a frozen dataclass whose fields are its YAML.

    Only `update` has no default. All but `prepare` is traced.

    Attributes:
        needs_ppo_variables: whether it asks the policy for `ppo_variables`.
        needs_value: whether it asks the policy for values, so that there must be a critic.
        shown: its metrics that the progress display shows.
    """

    needs_ppo_variables: ClassVar[bool] = True
    needs_value: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ()

    def reward_factor(self) -> float:
        """Factor of all rewards of the task, in training and wherever they are shown."""
        return 1.0

    def extra_observations(self) -> Mapping[str, Any]:
        """Observation name -> section of configuration, added before the environments are built."""
        return {}

    def sources(self) -> Mapping[str, str]:
        """Its keys that name runs -> field of the learner that begins with that run's policy.

        Of the policy's variables those are taken that `init` asks for.
        """
        return {}

    def final_groups(self) -> tuple[str, ...]:
        """Observation groups that `experience.results.final_obs` shall hold."""
        return ()

    def refuse_unlearnable(self, task: Preparing) -> None:
        """Refuse, with a UserError and before a run begins, a task that cannot be trained on."""
        del task

    def prepare(self, task: Preparing) -> Any:
        """Optimizers, a teacher, data: whatever is made once, given back as `context.parts`."""
        del task
        return ()

    def init(self, context: Context, variables: Variables, key: jax.Array) -> Learning:
        """The state at the start of training, of fresh variables."""
        del key
        return Learning(LearnerState(variables, context.optimizer.init(variables.params)))

    def warm_up(self, context: Context, learning: Learning, experience: Experience) -> Learning:
        """Seed statistics from the burn-in, a rollout with zero actions."""
        del context, experience
        return learning

    def record(
        self,
        context: Context,
        variables: Variables,
        obs: Observations,
        carry: Any,
        sample: ActionSample,
        result: StepResult,
    ) -> Any:
        """What `experience.record` keeps of a step of N environments while it is acted.

        Args:
            context: the run.
            variables: the policy's.
            obs: what the action was chosen by.
            carry: the model's carry before the step.
            sample: the action.
            result: what the step left, `final_obs` of all groups among it.
        """
        del context, variables, obs, carry, sample, result
        return ()

    def rewards(
        self, context: Context, reward_variables: Any, experience: Experience
    ) -> Mapping[str, jax.Array]:
        """Learned rewards, name -> `[T, N]`, added to the environment's, weight included.

        Called wherever something is played: the reward viewed and recorded is the one trained on.
        """
        del context, reward_variables, experience
        return {}

    def init_rewards(self, context: Context) -> Any:
        """What `carried_rewards` carry at the start, any pytree, leading axis N."""
        del context
        return ()

    def carried_rewards(
        self, context: Context, reward_variables: Any, experience: Experience
    ) -> LearnedRewards:
        """Learned rewards that remember, in place of `rewards`.

        Returns:
            Name -> `[T, N]`, and what they carry after the last step; `experience.reward_carry` is
            what they carried before the first. Who carries something heeds `was_reset`.
        """
        return self.rewards(context, reward_variables, experience), experience.reward_carry

    def update(
        self, context: Context, learning: Learning, experience: Experience, key: jax.Array
    ) -> tuple[Learning, Metrics]:
        """One update from a rollout, and scalars that describe it.

        Running statistics of observations are updated afterwards, by what all algorithms share.
        """
        raise NotImplementedError


def make_player(algorithm: Algorithm, context: Context, **changes: Any) -> Player:
    """The player of a run; `changes` are fields of `Player`."""
    player = Player(
        env=context.env,
        policy=context.policy,
        record=partial(algorithm.record, context),
        final_groups=algorithm.final_groups(),
        learned_rewards=partial(algorithm.carried_rewards, context),
        start_learned=partial(algorithm.init_rewards, context),
    )
    return replace(player, **changes)


def init(
    algorithm: Algorithm,
    context: Context,
    key: jax.Array,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> TrainState:
    """A state after the burn-in: statistics seeded by one rollout with zero actions.

    So the first observations that the networks see are normalised, and by what the task looks
    like, not by what an untrained network does to it.

    Args:
        algorithm: the algorithm.
        context: the run.
        key: random key.
        given: field of the learner -> arrays to begin with, a tree like that field's with None in
            place of what is made anew; the burn-in does not change them.
    """
    key, key_model, key_env, key_burn_in = jax.random.split(key, 4)
    env, policy = context.env, context.policy
    variables = filled(given.get("variables"), policy.init(key_model))
    learning = algorithm.init(context, variables, jax.random.fold_in(key_model, 1))
    learning = learning._replace(learner=_begun_from(given, learning.learner))
    idle = zero_policy(env.action_size, context.aux)
    player = make_player(algorithm, context, policy=idle, record=record_nothing)
    playing = player.start(key_env)
    playing = playing.replace(env=env.begin_rollout(playing.env))
    state = TrainState(
        learner=learning.learner,
        own=learning.own,
        env=playing.env,
        carry=policy.initial_carry(env.num_envs),
        rewards=playing.rewards,
        tracker=episode_tracker(env.num_envs),
        key=key,
        learned=playing.learned,
    )
    playing, experience = play(player, state.policy, playing, key_burn_in, context.num_steps)
    learning = algorithm.warm_up(context, learning, experience)
    tracker, _ = update_episode_statistics(
        state.tracker, experience.scores.total, experience.results
    )
    return state.replace(
        learner=_begun_from(given, _seen(context, learning.learner, experience)),
        own=learning.own,
        env=playing.env,
        rewards=playing.rewards,
        tracker=tracker,
        learned=playing.learned,
    )


def _begun_from(given: Mapping[str, Any], learner: Any) -> Any:
    """The learner with what it was given in its fields."""
    fields = {name: filled(tree, getattr(learner, name)) for name, tree in given.items()}
    return learner.replace(**fields)


def train_step(
    algorithm: Algorithm, context: Context, state: TrainState
) -> tuple[TrainState, Metrics, Incident]:
    """One iteration: the state after it, its scalars, and the first environment quarantined."""
    key, key_rollout, key_update = jax.random.split(state.key, 3)
    state, experience = act(algorithm, context, state.replace(key=key), key_rollout)
    return learn(algorithm, context, state, experience, key_update)


def act(
    algorithm: Algorithm, context: Context, state: TrainState, key: jax.Array
) -> tuple[TrainState, Experience]:
    """The first half of an iteration: a rollout, and the state after it."""
    player = make_player(algorithm, context)
    env = context.env.begin_rollout(state.env)
    playing = Playing(env, state.carry, state.rewards, state.learned)
    playing, experience = play(player, state.policy, playing, key, context.num_steps)
    after = {field.name: getattr(playing, field.name) for field in fields(playing)}
    return state.replace(**after), experience


def learn(
    algorithm: Algorithm,
    context: Context,
    state: TrainState,
    experience: Experience,
    key: jax.Array,
) -> tuple[TrainState, Metrics, Incident]:
    """The second half: follows episodes and updates; see `train_step`."""
    scores, results = experience.scores, experience.results
    tracker, episodes = update_episode_statistics(state.tracker, scores.total, results)
    update = context.update or algorithm.update
    before = Learning(state.learner, state.own)
    learning, update_metrics = update(context, before, experience, key)
    learning, update_metrics = _sound_or_skipped(before, learning, experience, update_metrics)
    state = state.replace(
        # Last, so that the update saw the very statistics that the actions were taken with.
        learner=_seen(context, learning.learner, experience),
        own=learning.own,
        env=context.env.end_rollout(state.env, results, episodes),
        tracker=tracker,
    )
    metrics = rollout_metrics(experience, episodes) | update_metrics
    return state, metrics, first_incident(experience)


def _sound_or_skipped(
    before: Learning, after: Learning, experience: Experience, metrics: Metrics
) -> tuple[Learning, Metrics]:
    """An update, or none where it is not finite or there was nothing to learn from.

    So no algorithm can leave a number behind that ends learning for good.
    """
    if jax.eval_shape(lambda: before) != jax.eval_shape(lambda: after):
        return after, metrics  # a mistake that is told when the iteration is compiled
    skips = breaks(before, after) | ~experience.valid.any()
    kept = unless(skips, before, after)
    counted = metrics.get("skipped_updates", jnp.zeros(()))
    return kept, {**metrics, "skipped_updates": jnp.where(skips, 1.0, counted)}


def _seen(context: Context, learner: Any, experience: Experience) -> Any:
    """The learner whose policy's running statistics have seen what they survive."""
    before = learner.variables
    after = context.policy.update_statistics(before, experience.obs, experience.valid)
    return learner.replace(variables=unless(breaks(before, after), before, after))
