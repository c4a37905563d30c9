"""N environments from an engine and the terms of a task.

The one place that batches terms: they are written for one environment and one step. Everything
here is traced by `jax.jit`; arrays have a leading axis of N, rollouts of `[T, N]`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.config.components import EngineConfig
from ksim_cli.mdp.actuation import Actuation, Timing
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.probe import fields_scored, observation_layout, observation_sizes
from ksim_cli.mdp.sensing import Channel
from ksim_cli.mdp.term import Pose
from ksim_cli.physics.engine import Engine, View
from ksim_cli.physics.model import home_pose
from ksim_cli.physics.names import free_joint
from ksim_cli.rng import named_key
from ksim_cli.scoring import Scorer, where
from ksim_cli.types import (
    QUARANTINE_CAUSES,
    EpisodeStatistics,
    Scores,
    Step,
    StepResult,
    per_env,
    shared,
)


class EnvState(struct.PyTreeNode):
    """State of N environments between two control steps.

    Attributes:
        physics: the engine's state.
        prepared: the engine's next reset of every environment.
        obs: group -> `[N, O]` what the networks see now.
        commands: command name -> `[N, ...]` values in force.
        carries: kind -> term name -> carry, each leaf with a leading axis of N.
        curriculum: the curriculum's carry.
        count: `[N]` int32 control steps since the episode began.
        start: `[N, 2]` horizontal position of the base when it began, m; 0 without a free base.
        level: curriculum level in [0, 1].
        key: random key of the next step.
    """

    physics: Any = per_env()
    prepared: Any = per_env()
    obs: dict[str, jax.Array] = per_env()
    commands: dict[str, jax.Array] = per_env()
    carries: dict[str, dict[str, Any]] = per_env()
    curriculum: Any = shared()
    count: jax.Array = per_env()
    start: jax.Array = per_env()
    level: jax.Array = shared()
    key: jax.Array = shared()


RESET_FIELDS = ("physics", "carries", "obs", "commands", "count", "start")
"""Fields of `EnvState` that a reset changes."""


@dataclass(frozen=True)
class Limits:
    """Clips, and how the first episodes begin.

    Attributes:
        action_clip: clip of every action.
        reward_clip: lower and upper clip of the total reward, None where there is none.
        stagger_steps: environments begin their very first episode at a random time below this
            many control steps, so that they do not all reach a time limit together; 0: at 0.
    """

    action_clip: float = 1e3
    reward_clip: tuple[float | None, float | None] = (None, None)
    stagger_steps: int = 0


class TaskEnv:
    """The environments of a task; see `ksim_cli.types.Env`.

    Args:
        engine: steps the physics; its view holds at least `fields_needed(...)`.
        mdp: the terms, bound to the engine's model.
        timing: control and physics steps.
        config: latency, loss of actions, zero offset.
        limits: clips.
        recorded: fields of the view that results hold besides those that rewards read.
    """

    def __init__(
        self,
        engine: Engine,
        mdp: Mdp,
        timing: Timing,
        config: EngineConfig,
        limits: Limits,
        recorded: Collection[str] = (),
    ) -> None:
        self.engine = engine
        self.mdp = mdp
        self.timing = timing
        self.limits = limits
        self.model = engine.spec.model
        self.num_envs = engine.spec.num_envs
        self.actuation = Actuation(mdp.actuators, self.model, timing, config)
        self.action_size = self.actuation.action_size
        sizes = observation_sizes(self.model, mdp)
        self.channels = {
            name: Channel(term, sizes[name], timing.ctrl_dt)
            for name, term in mdp.observations.items()
        }
        self.scorer = Scorer(mdp, self.num_envs, limits.reward_clip)
        self._home = jnp.asarray(home_pose(self.model), jnp.float32)
        joint = free_joint(self.model)
        self._base = None if joint is None else int(self.model.jnt_qposadr[joint])
        self.observation_layout = observation_layout(self.model, mdp)
        self.observation_sizes: Mapping[str, int] = {
            group: sum(sizes.values()) for group, sizes in self.observation_layout.items()
        }
        self._scored = {"qpos", "qvel", *fields_scored(self.model, mdp), *recorded}

    def init(self, key: jax.Array, level: jax.Array | None = None) -> EnvState:
        """Fresh environments, each in a pose drawn from the resets.

        Args:
            key: random key.
            level: curriculum level; None: the one training starts at.
        """
        key, key_reset, key_carry, key_step = jax.random.split(key, 4)
        n = self.num_envs
        if level is None:
            level = jnp.asarray(self.mdp.curriculum.initial_level(), jnp.float32)
        physics = self.engine.init()
        prepared = self._prepare(key_reset, level)
        physics = self.engine.reset(physics, jnp.ones(n, bool), prepared)
        state = EnvState(
            physics=physics,
            prepared=prepared,
            obs={},
            commands={},
            carries=_init_carries(self, key_carry),
            curriculum=self.mdp.curriculum.init(named_key(key_carry, "curriculum")),
            count=jax.random.randint(
                named_key(key_carry, "stagger"), (n,), 0, max(1, self.limits.stagger_steps)
            ),
            start=self._horizontal(physics),
            level=level,
            key=key,
        )
        return self._observe(state, jnp.zeros((n, self.action_size)), key_step)

    def begin_rollout(self, state: EnvState) -> EnvState:
        """Prepares one reset for every environment."""
        key, key_reset = jax.random.split(state.key)
        prepared = self._prepare(key_reset, state.level)
        return state.replace(prepared=prepared, key=key)

    def end_rollout(
        self, state: EnvState, results: StepResult, statistics: EpisodeStatistics
    ) -> EnvState:
        """Moves the curriculum."""
        level, carry = self.mdp.curriculum(state.level, statistics, state.curriculum)
        return state.replace(level=level, curriculum=carry)

    def step(self, state: EnvState, action: jax.Array) -> tuple[EnvState, StepResult]:
        """One control step.

        Order: events, actuators and physics, terminations, commands, observation, quarantine,
        reset. An environment that ends is reset at once: the new state is that of its next
        episode, while the result describes the step that ended it.

        Args:
            state: state before the step.
            action: `[N, A]`.

        Returns:
            The state after the step and what the step left.
        """
        key, key_step, key_reset = jax.random.split(state.key, 3)
        bad_action = ~jnp.isfinite(action).all(axis=1)
        limit = self.limits.action_clip
        action = jnp.clip(jnp.where(bad_action[:, None], 0.0, action), -limit, limit)
        state = state.replace(key=key, count=state.count + 1)
        state, overflow = self._actuate(self._disturb(state, action, key_step), action, key_step)
        state, steps, causes = self._terminations(state, action)
        state = self._observe(state, action, key_step)
        quarantined = self._quarantine(state, bad_action)
        view = View({k: v for k, v in steps.view.fields().items() if k in self._scored})
        terminated = (steps.termination != 0) & (quarantined == 0)
        result = StepResult(
            steps=steps.replace(view=view, zero_offset=None),
            terminated=terminated,
            truncated=steps.truncated & ~terminated & (quarantined == 0),
            quarantined=quarantined,
            causes=causes,
            distance=jnp.linalg.norm(self._horizontal(state.physics) - state.start, axis=1),
            final_obs=state.obs,
            overflow=overflow,
        )
        # Only what a reset changes goes through the branch: it would copy the rest.
        changed = jax.lax.cond(
            result.done.any(),
            lambda: self._reset(state, result.done, action, key_reset),
            lambda: {name: getattr(state, name) for name in RESET_FIELDS},
        )
        return state.replace(**changed), result

    def init_rewards(self) -> dict[str, Any]:
        """The rewards' carries, each leaf with a leading axis of N."""
        return self.scorer.init()

    def rewards(
        self, carry: dict[str, Any], results: StepResult, learned: Mapping[str, Any] = {}
    ) -> tuple[dict[str, Any], Scores]:
        """Weighted rewards of `[T, N]` steps, see `ksim_cli.scoring`."""
        return self.scorer(carry, results, learned)

    @property
    def command_error_names(self):
        return tuple(self.scorer.measured)

    def _prepare(self, key: jax.Array, level: jax.Array) -> Any:
        n = self.num_envs
        pose = Pose(qpos=self._home, qvel=jnp.zeros(self.model.nv, jnp.float32))
        pose = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), pose)
        for name, term in self.mdp.resets.items():
            keys = jax.random.split(named_key(key, "resets", name), n)
            pose = jax.vmap(term, in_axes=(0, 0, None))(pose, keys, level)
        variants = self.engine.spec.variants
        variant = jnp.zeros(n, jnp.int32)
        if variants is not None:
            variant = variants.draw(named_key(key, "variants"), n)
        return self.engine.prepare(pose.qpos, pose.qvel, variant)

    def _horizontal(self, physics: Any) -> jax.Array:
        """`[N, 2]` where the free base is; zeros where there is none."""
        if self._base is None:
            return jnp.zeros((self.num_envs, 2))
        return self.engine.view(physics).qpos[:, self._base : self._base + 2]

    def _disturb(self, state: EnvState, action: jax.Array, key: jax.Array) -> EnvState:
        if not self.mdp.events:
            return state
        steps = _steps(self, state, action)
        velocity = jnp.zeros((self.num_envs, self.model.nv))
        force = jnp.zeros((self.num_envs, self.model.nbody, 6))
        carries, physics = {}, state.physics
        for name, term in self.mdp.events.items():
            keys = _keys(self.num_envs, key, "events", name)
            effect, carries[name] = jax.vmap(term)(steps, state.carries["events"][name], keys)
            velocity += effect.velocity
            force = force if effect.force is None else force + effect.force
        physics = self.engine.push(physics, velocity)
        if any(term.forces for term in self.mdp.events.values()):
            physics = self.engine.apply_force(physics, force)
        return state.replace(physics=physics, carries={**state.carries, "events": carries})

    def _actuate(
        self, state: EnvState, action: jax.Array, key: jax.Array
    ) -> tuple[EnvState, jax.Array]:
        """Physics over one control step; and `[N]` bool where contacts did not fit."""
        n, level, physics = self.num_envs, state.level, state.physics
        updates = self.timing.num_updates if self.actuation.renewed else 1
        each = self.timing.num_substeps // updates
        receive = jax.vmap(self.actuation.receive, in_axes=(0, 0, 0, None, 0))
        torques = jax.vmap(self.actuation.torques, in_axes=(0, None, 0, 0, None))
        qpos = self.engine.view(physics).qpos
        keys = _keys(n, key, "actuation")
        carry = receive(state.carries["actuation"]["all"], action, qpos, level, keys)

        def update(loop: tuple[Any, Any], i: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
            physics, carry = loop
            view = self.engine.view(physics)
            ctrl, carry = torques(carry, i, view.qpos, view.qvel, level)
            physics = self.engine.advance(physics, ctrl, each)
            return (physics, carry), self.engine.overflows(physics)

        overflow = jnp.zeros(n, bool)
        if updates > 1:
            (physics, carry), each_overflow = jax.lax.scan(
                update, (physics, carry), jnp.arange(updates - 1)
            )
            overflow = each_overflow.any(axis=0)
        view = self.engine.view(physics)
        ctrl, carry = torques(carry, jnp.int32(updates - 1), view.qpos, view.qvel, level)
        physics = self.engine.step(physics, ctrl, each)
        carries = {**state.carries, "actuation": {"all": self.actuation.finish(carry)}}
        state = state.replace(physics=physics, carries=carries)
        return state, overflow | self.engine.overflows(physics)

    def _terminations(
        self, state: EnvState, action: jax.Array
    ) -> tuple[EnvState, Step, dict[str, jax.Array]]:
        steps = _steps(self, state, action)
        code = jnp.zeros(self.num_envs, jnp.int32)
        truncated = jnp.zeros(self.num_envs, bool)
        causes, carries = {}, {}
        for name, term in self.mdp.terminations.items():
            value, carries[name] = jax.vmap(term)(steps, state.carries["terminations"][name])
            off = term.disable_at_curriculum_level
            if off is not None:
                value = jnp.where(state.level >= off, 0, value)
            causes[name] = value != 0
            if term.truncates:
                truncated |= causes[name]
            else:
                # Failure wins over success, whatever the order of the terms.
                value = value.astype(jnp.int32)
                code = jnp.where((code < 0) | (value < 0), -1, jnp.maximum(code, value))
        state = state.replace(carries={**state.carries, "terminations": carries})
        return state, steps.replace(termination=code, truncated=truncated), causes

    def _observe(self, state: EnvState, action: jax.Array, key: jax.Array) -> EnvState:
        """Renews commands and observations for the state's view."""
        steps = _steps(self, state, action)
        commands, carries = {}, dict(state.carries)
        carries["commands"], carries["observations"] = {}, {}
        for name, term in self.mdp.commands.items():
            keys = _keys(self.num_envs, key, "commands", name)
            carry = state.carries["commands"][name]
            commands[name], carries["commands"][name] = jax.vmap(term)(steps, carry, keys)
        steps = steps.replace(commands=commands)
        clean, noisy = {}, {}
        for name, channel in self.channels.items():
            carry = state.carries["observations"][name]
            keys = _keys(self.num_envs, key, "observations", name)
            clean[name], noisy[name], carry = jax.vmap(channel)(steps, carry, keys)
            carries["observations"][name] = carry
        obs = {
            group: jnp.concatenate(
                [(noisy if group == "actor" else clean)[name] for name in sizes], axis=1
            )
            for group, sizes in self.observation_layout.items()
        }
        return state.replace(obs=obs, commands=commands, carries=carries)

    def _quarantine(self, state: EnvState, bad_action: jax.Array) -> jax.Array:
        view = self.engine.view(state.physics)
        bad = {
            "physics": self.engine.unstable(state.physics),
            "view": ~_finite(view, self.num_envs),
            "action": bad_action,
            "observation": ~_finite(state.obs, self.num_envs),
        }
        bits = [jnp.where(where, QUARANTINE_CAUSES[cause], 0) for cause, where in bad.items()]
        return jnp.stack(bits).sum(axis=0, dtype=jnp.int32)

    def _reset(
        self, state: EnvState, mask: jax.Array, action: jax.Array, key: jax.Array
    ) -> dict[str, Any]:
        """`RESET_FIELDS` of the state with the environments of `mask` at an episode's start."""
        fresh = state.replace(
            physics=self.engine.reset(state.physics, mask, state.prepared),
            carries=where(mask, _init_carries(self, key), state.carries),
            count=jnp.where(mask, 0, state.count),
        )
        fresh = fresh.replace(
            start=jnp.where(mask[:, None], self._horizontal(fresh.physics), state.start)
        )
        action = jnp.where(mask[:, None], 0.0, action)
        observed = self._observe(fresh, action, key)
        fresh = fresh.replace(
            carries=where(mask, observed.carries, state.carries),
            obs=where(mask, observed.obs, state.obs),
            commands=where(mask, observed.commands, state.commands),
        )
        return {name: getattr(fresh, name) for name in RESET_FIELDS}


def _steps(env: TaskEnv, state: EnvState, action: jax.Array) -> Step:
    n = env.num_envs
    return Step(
        view=env.engine.view(state.physics),
        action=action,
        commands=state.commands,
        time=state.count * jnp.float32(env.timing.ctrl_dt),
        termination=jnp.zeros(n, jnp.int32),
        truncated=jnp.zeros(n, bool),
        level=jnp.broadcast_to(state.level, (n,)),
        ctrl_dt=env.timing.ctrl_dt,
        zero_offset=env.actuation.zero_offset(state.carries["actuation"]["all"], state.level),
    )


def _keys(n: int, key: jax.Array, *names: str) -> jax.Array:
    return jax.random.split(named_key(key, *names), n)


def _init_kind(env: TaskEnv, kind: str, key: jax.Array) -> dict[str, Any]:
    """Fresh carries of one kind of term; observations and actuation have more than their terms'."""
    own = {"observations": env.channels, "actuation": {"all": env.actuation}}
    terms = own[kind] if kind in own else getattr(env.mdp, kind)
    return {
        name: jax.vmap(term.init)(_keys(env.num_envs, key, "init", kind, name))
        for name, term in terms.items()
    }


def _init_carries(env: TaskEnv, key: jax.Array) -> dict[str, dict[str, Any]]:
    kinds = ("actuation", "observations", "terminations", "commands", "events")
    return {kind: _init_kind(env, kind, key) for kind in kinds}


def _finite(tree: Any, n: int) -> jax.Array:
    """`[N]` bool: every float of every leaf is finite."""
    sound = jnp.ones(n, bool)
    for leaf in jax.tree.leaves(tree):
        sound &= jnp.isfinite(leaf).reshape(n, -1).all(axis=1)
    return sound
