"""N environments: the physics of an engine, the order of a step, and the reset.

The managers of `ksim_cli.mdp` batch the terms, which are written for one environment and one step.
Everything here is traced by `jax.jit`; arrays have a leading axis of N, rollouts of `[T, N]`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.config.components import EngineConfig
from ksim_cli.mdp.action_manager import ActionManager, Timing
from ksim_cli.mdp.command_manager import CommandManager
from ksim_cli.mdp.curricula import next_level
from ksim_cli.mdp.event_manager import EventManager
from ksim_cli.mdp.inspect_terms import Layout
from ksim_cli.mdp.manager import blank_step
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.observation_manager import ObservationManager
from ksim_cli.mdp.reset_manager import ResetManager
from ksim_cli.mdp.reward_manager import RewardManager
from ksim_cli.mdp.termination_manager import TerminationManager
from ksim_cli.physics.engine import Engine, View
from ksim_cli.physics.free_base import base_candidates, free_joint_of
from ksim_cli.quarantine import beyond, first_at_fault, rewarded_badly
from ksim_cli.rng import named_key
from ksim_cli.trees import select_envs, zeroed
from ksim_cli.types import (
    EpisodeStatistics,
    PreparedReset,
    SharedState,
    Step,
    StepResult,
    per_env,
    shared,
)


class EnvState(struct.PyTreeNode):
    """State of N environments between two control steps.

    Attributes:
        physics: the engine's state.
        prepared: the next reset of every environment.
        obs: group -> `[N, O]` what the networks see now.
        commands: command name -> `[N, ...]` values in force.
        carries: kind of term -> carries, each leaf with a leading axis of N.
        count: `[N]` int32 control steps since the episode began.
        start: `[N, 2]` horizontal position of the base when it began, m; 0 without a free base.
        at_fault: `[N]` int32 suspect for which the environment is quarantined at its next step,
            since its episode began so, or a reward was not finite; 0: none.
        key: random key of the next step.
        shared: what all environments share.
    """

    physics: Any = per_env()
    prepared: PreparedReset = per_env()
    obs: dict[str, jax.Array] = per_env()
    commands: dict[str, jax.Array] = per_env()
    carries: dict[str, Any] = per_env()
    count: jax.Array = per_env()
    start: jax.Array = per_env()
    at_fault: jax.Array = per_env()
    key: jax.Array = shared()
    shared: SharedState = shared()

    @property
    def level(self) -> jax.Array:
        """Curriculum level in [0, 1]."""
        return self.shared.level

    @property
    def iteration(self) -> jax.Array:
        """Iterations of training that are done, int32."""
        return self.shared.iteration


EPISODE_FIELDS = ("carries", "obs", "commands", "count", "start", "at_fault")
"""Fields of `EnvState`, besides `physics`, that a reset changes."""


@dataclass(frozen=True)
class Limits:
    """Clips, and how the first episodes begin.

    Attributes:
        action_clip: clip of every action.
        reward_clip: lower and upper clip of the total reward, None where there is none.
        observation: larger observations count as not finite.
        reward: larger rewards, or parts of one, count as not finite.
        stagger_steps: environments begin their very first episode at a random time below this
            many control steps, so that they do not all reach a time limit together; 0: at 0.
    """

    action_clip: float = 1e3
    reward_clip: tuple[float | None, float | None] = (None, None)
    observation: float = 1e6
    reward: float = 1e6
    stagger_steps: int = 0


class TaskEnv:
    """The environments of a task; see `ksim_cli.types.Env`.

    `init_rewards` and `rewards` are those of its `RewardManager`.

    Args:
        engine: steps the physics; its view holds at least `layout.fields`.
        mdp: the terms, bound to the engine's model.
        layout: what they read and give.
        timing: control and physics steps.
        config: latency, loss of actions, zero offset.
        limits: clips.
        noisy_groups: groups of observations that see bias, noise and delay.
        recorded: fields of the view that results hold besides those that rewards read.
    """

    def __init__(
        self,
        engine: Engine,
        mdp: Mdp,
        layout: Layout,
        timing: Timing,
        config: EngineConfig,
        limits: Limits,
        noisy_groups: Collection[str] = (),
        recorded: Collection[str] = (),
    ) -> None:
        model, n = engine.spec.model, engine.spec.num_envs
        self.engine = engine
        self.mdp = mdp
        self.timing, self.limits = timing, limits
        self.num_envs = n
        self.action_manager = ActionManager(mdp.actuators, model, timing, config, n)
        self.command_manager = CommandManager(mdp.commands, layout.commands, n)
        self.event_manager = EventManager(mdp.events, n)
        self.observation_manager = ObservationManager(
            mdp.observations, layout, timing.ctrl_dt, n, noisy_groups
        )
        self.reset_manager = ResetManager(mdp.resets, model, n)
        self.reward_manager = RewardManager(mdp.rewards, mdp.commands, n, limits.reward_clip)
        self.termination_manager = TerminationManager(mdp.terminations, n)
        self.init_rewards, self.rewards = self.reward_manager.fresh, self.reward_manager.__call__
        self.command_error_names = tuple(self.reward_manager.measured)
        self.action_size = self.action_manager.action_size
        self.suspects, self.reward_limit = mdp.suspects, limits.reward
        self.observation_layout = layout.groups
        self.observation_sizes: Mapping[str, int] = layout.group_sizes
        self._has_stages = mdp.has_stages
        self._scored = {"qpos", "qvel", *layout.reward_fields, *recorded}
        bases = base_candidates(model)
        # Of several no term needed one: the terms that do have complained.
        joint = free_joint_of(model, bases[0]) if len(bases) == 1 else None
        self._base = None if joint is None else int(model.jnt_qposadr[joint])

    def init(
        self,
        key: jax.Array,
        level: jax.Array | None = None,
        iteration: jax.Array | None = None,
    ) -> EnvState:
        """Fresh environments, each in a pose drawn from the resets.

        Args:
            key: random key.
            level: curriculum level; None: the one training starts at.
            iteration: iterations of training that count as done; None: none.
        """
        key, key_reset, key_carry, key_step = jax.random.split(key, 4)
        n, curriculum = self.num_envs, self.mdp.curriculum
        level = jnp.float32(curriculum.initial_level()) if level is None else level
        steps = max(1, self.limits.stagger_steps)
        count = jax.random.randint(named_key(key_carry, "stagger"), (n,), 0, steps)
        moved = curriculum.init(named_key(key_carry, "curriculum"))
        done = jnp.int32(0) if iteration is None else iteration
        shared = SharedState(level, moved, done, self.command_manager.initial_shared())
        prepared = self._prepare(key_reset, shared, count)
        state = EnvState(
            physics=self.engine.reset(self.engine.init(), jnp.ones(n, bool), prepared.physics),
            prepared=prepared,
            obs={},
            commands={},
            carries={},
            count=count,
            start=jnp.zeros((n, 2)),
            at_fault=prepared.at_fault,
            shared=shared,
            key=key,
        )
        return self._begin_episodes(state, key_carry, key_step)

    def begin_rollout(self, state: EnvState) -> EnvState:
        """Prepare one reset for every environment."""
        key, key_reset = jax.random.split(state.key)
        prepared = self._prepare(key_reset, state.shared, jnp.zeros_like(state.count))
        return state.replace(prepared=prepared, key=key)

    def end_rollout(
        self, state: EnvState, results: StepResult, statistics: EpisodeStatistics
    ) -> EnvState:
        """Update the state from the outcomes of a rollout: the curriculum moves.

        Args:
            state: state after the rollout.
            results: what its steps left, `[T, N]`.
            statistics: means over the episodes that ended in it.
        """
        curriculum, carry = self.mdp.curriculum, state.shared.curriculum
        level, carry = next_level(curriculum, state.level, statistics, carry)
        by_reward = rewarded_badly(results, len(self.suspects))
        at_fault = jnp.where(state.at_fault > 0, state.at_fault, by_reward)
        commands = self.command_manager.update_shared(state.shared.commands, results)
        moved = SharedState(level, carry, state.iteration + 1, commands)
        return state.replace(shared=moved, at_fault=at_fault)

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, StepResult]:
        """One control step: the state after it, and what it left.

        Order: events, actuators and physics, terminations, commands, observations, quarantine,
        reset. An environment that ends is reset at once: the new state is that of its next
        episode, while the result describes the step that ended it.

        Args:
            state: state before the step.
            action: `[N, A]`.
        """
        key, key_step, key_reset = jax.random.split(state.key, 3)
        bad_action = ~jnp.isfinite(action).all(axis=1)
        limit = self.limits.action_clip
        action = jnp.clip(jnp.where(bad_action[:, None], 0.0, action), -limit, limit)
        state = state.replace(key=key, count=state.count + 1)
        state, bad = self._disturb(state, action, key_step)
        state, overflow, bad_torques = self._actuate(state, action, key_step)
        steps, carries = self._steps(state, action), dict(state.carries)
        ended, causes, carries["terminations"], bad_ends = self.termination_manager(
            steps, carries["terminations"]
        )
        commands, carries["commands"] = self.command_manager(steps, carries["commands"], key_step)
        obs, carries["observations"] = self.observation_manager(
            steps.replace(commands=commands), carries["observations"], key_step
        )
        bad |= {"action": bad_action, "physics": self.engine.unstable(state.physics)}
        bad |= bad_torques | bad_ends
        state = state.replace(commands=commands, carries=carries)
        state, quarantined = self._quarantine(state, obs, bad)
        state = state.replace(at_fault=jnp.zeros_like(quarantined))
        view = View({k: v for k, v in steps.view.fields().items() if k in self._scored})
        distance = jnp.linalg.norm(self._horizontal(state.physics) - state.start, axis=1)
        terminated = (ended.termination != 0) & (quarantined == 0)
        result = StepResult(
            steps=ended.replace(view=view, zero_offset=None),
            terminated=terminated,
            truncated=ended.truncated & ~terminated & (quarantined == 0),
            quarantined=quarantined,
            causes=causes,
            distance=zeroed(quarantined > 0, distance),
            final_obs=state.obs,
            overflow=overflow,
        )
        # Only what a reset changes goes through the branch: it would copy the rest.
        fields = ("physics", *EPISODE_FIELDS)
        changed = jax.lax.cond(
            result.done.any(),
            lambda: self._reset(state, result.done, key_reset),
            lambda: {name: getattr(state, name) for name in fields},
        )
        return state.replace(**changed), result

    def _prepare(self, key: jax.Array, shared: SharedState, count: jax.Array) -> PreparedReset:
        """The start of episodes whose first step is `count` `[N]` control steps old."""
        steps = self._blank_steps(count, shared)
        commands, carries = self.command_manager.before_reset(steps, shared.commands, key)
        pose, bad = self.reset_manager(key, shared.level, commands)
        variants = self.engine.spec.variants
        variant = jnp.zeros(self.num_envs, jnp.int32)
        if variants is not None:
            variant = variants.draw(named_key(key, "variants"), self.num_envs)
        physics = self.engine.prepare(pose.qpos, pose.qvel, variant)
        at_fault = first_at_fault(self.suspects, bad, jnp.zeros_like(variant))
        return PreparedReset(physics, commands, carries, at_fault)

    def _begin_episodes(
        self, state: EnvState, key_carry: jax.Array, key_step: jax.Array
    ) -> EnvState:
        """All environments at an episode's start, in the physics that `state` is in."""
        prepared = state.prepared
        carries = {
            "actuation": self.action_manager.init(key_carry),
            "events": self.event_manager.init(key_carry),
            "terminations": self.termination_manager.init(key_carry),
        }
        start = self._horizontal(state.physics)
        state = state.replace(commands=prepared.commands, carries=carries, start=start)
        steps = self._steps(state, jnp.zeros((self.num_envs, self.action_size)))
        commands, carries["commands"] = self.command_manager.after_reset(
            steps, prepared.carries, state.shared.commands, key_carry, key_step
        )
        obs, carries["observations"] = self.observation_manager(
            steps.replace(commands=commands), self.observation_manager.init(key_carry), key_step
        )
        state = state.replace(commands=commands, carries=carries, at_fault=prepared.at_fault)
        state, at_fault = self._quarantine(state, obs, {})
        return state.replace(at_fault=at_fault)

    def _reset(self, state: EnvState, mask: jax.Array, key: jax.Array) -> dict[str, Any]:
        """Fields of the state that a reset of the environments of `mask` changes."""
        physics = self.engine.reset(state.physics, mask, state.prepared.physics)
        fresh = state.replace(physics=physics, count=jnp.zeros_like(state.count))
        fresh = self._begin_episodes(fresh, key, key)
        old, new = ({n: getattr(s, n) for n in EPISODE_FIELDS} for s in (state, fresh))
        return {"physics": physics, **select_envs(mask, new, old)}

    def _horizontal(self, physics: Any) -> jax.Array:
        """`[N, 2]` where the free base is; zeros where there is none."""
        if self._base is None:
            return jnp.zeros((self.num_envs, 2))
        return self.engine.view(physics).qpos[:, self._base : self._base + 2]

    def _disturb(
        self, state: EnvState, action: jax.Array, key: jax.Array
    ) -> tuple[EnvState, dict[str, jax.Array]]:
        """The state after the events, and which of them are not finite."""
        if not self.mdp.events:
            return state, {}
        steps, carry = self._steps(state, action), state.carries["events"]
        effect, carry, bad = self.event_manager(steps, carry, key)
        physics = state.physics
        if effect.velocity is not None:
            physics = self.engine.push(physics, effect.velocity)
        if effect.force is not None:
            physics = self.engine.apply_force(physics, effect.force)
        return state.replace(physics=physics, carries={**state.carries, "events": carry}), bad

    def _actuate(
        self, state: EnvState, action: jax.Array, key: jax.Array
    ) -> tuple[EnvState, jax.Array, dict[str, jax.Array]]:
        """Physics over one control step; where contacts did not fit, and which torques fail."""
        manager, level, physics = self.action_manager, state.level, state.physics
        updates = manager.num_updates
        each = self.timing.num_substeps // updates
        qpos = self.engine.view(physics).qpos
        carry = manager.receive(state.carries["actuation"], action, qpos, level, key)

        def update(loop: tuple[Any, Any], i: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
            physics, carry = loop
            view = self.engine.view(physics)
            ctrl, carry = manager.torques(carry, i, view.qpos, view.qvel, level)
            physics = self.engine.advance(physics, ctrl, each)
            return (physics, carry), self.engine.overflows(physics)

        overflow = jnp.zeros(self.num_envs, bool)
        if updates > 1:
            (physics, carry), each_overflow = jax.lax.scan(
                update, (physics, carry), jnp.arange(updates - 1)
            )
            overflow = each_overflow.any(axis=0)
        view = self.engine.view(physics)
        ctrl, carry = manager.torques(carry, jnp.int32(updates - 1), view.qpos, view.qvel, level)
        physics = self.engine.step(physics, ctrl, each)
        carries = {**state.carries, "actuation": manager.finish(carry)}
        state = state.replace(physics=physics, carries=carries)
        overflow |= self.engine.overflows(physics)
        return state, overflow, manager.beyond(ctrl)

    def _quarantine(
        self, state: EnvState, obs: dict[str, jax.Array], bad: dict[str, jax.Array]
    ) -> tuple[EnvState, jax.Array]:
        """The state with its observations, zero where something is at fault, and `[N]` what is."""
        n, limit = self.num_envs, self.limits.observation
        bad = {**bad, "view": beyond(self.engine.view(state.physics), n)}
        bad |= {f"commands.{name}": beyond(value, n) for name, value in state.commands.items()}
        bad |= self.observation_manager.beyond(obs, limit)
        at_fault = first_at_fault(self.suspects, bad, state.at_fault)
        return state.replace(obs=zeroed(at_fault > 0, obs)), at_fault

    def _steps(self, state: EnvState, action: jax.Array) -> Step:
        """The state as terms see it, leading axis N."""
        return self._blank_steps(state.count, state.shared).replace(
            view=self.engine.view(state.physics),
            action=action,
            commands=state.commands,
            zero_offset=self.action_manager.zero_offset(state.carries["actuation"], state.level),
        )

    def _blank_steps(self, count: jax.Array, shared: SharedState) -> Step:
        """Steps without a view, before any action."""
        dt = self.timing.ctrl_dt
        steps = blank_step(self.action_size, count * jnp.float32(dt), shared.level, dt)
        if not self._has_stages:
            return steps
        return steps.replace(iteration=jnp.broadcast_to(shared.iteration, count.shape))
