"""A task bound to its model: what every set of environments shares, and the policy."""

import dataclasses
import math
from collections.abc import Collection
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from ksim_cli.config.schema import RunConfig
from ksim_cli.config.validate import time_steps
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.mdp.actuation import Timing
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.probe import fields_needed, observation_layout
from ksim_cli.models.policy import (
    ActionSample,
    Observations,
    Policy,
    PPOVariables,
    Variables,
)
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import make_engine
from ksim_cli.physics.joint_metadata import apply_metadata
from ksim_cli.physics.model import compile_model, editable
from ksim_cli.physics.model_variants import randomized_models
from ksim_cli.task import GETTERS, Task, by_name


class TaskAgent:
    """A policy that acts and is evaluated through its task, so that the task may override both.

    Args:
        task: the task.
        policy: its policy.
    """

    def __init__(self, task: Task, policy: Policy) -> None:
        self._task = task
        self.policy = policy
        self.recurrent = policy.recurrent
        self.init = policy.init
        self.value = policy.value
        self.update_statistics = policy.update_statistics

    def initial_carry(self, num_envs: int) -> Any:
        """See `Task.get_initial_model_carry`."""
        return self._task.get_initial_model_carry(self.policy, num_envs)

    def sample_action(
        self, variables: Variables, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """See `Task.sample_action`."""
        return self._task.sample_action(self.policy, variables, obs, carry, key, argmax)

    def ppo_variables(
        self, variables: Variables, obs: Observations, action: jax.Array, carry: Any
    ) -> PPOVariables:
        """See `Task.get_ppo_variables`."""
        return self._task.get_ppo_variables(self.policy, variables, obs, action, carry)


class TaskModel:
    """A task's terms bound to its compiled model: what every set of environments shares.

    Args:
        task: the task.

    Attributes:
        config: the run's, with the engine that a compiled model means where none was asked for.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        given = task.get_mujoco_model()
        spec, engine = editable(given, partial(Task.get_mujoco_model, task))
        self.config = config = _with_engine(task.config, engine)
        metadata = task.get_mujoco_model_metadata(spec)
        apply_metadata(spec, metadata)
        terms = Mdp(
            curriculum=task.get_curriculum(),
            **{kind: by_name(getattr(task, getter)(), getter) for kind, getter in GETTERS.items()},
        ).edit(spec, metadata)
        self.model = compile_model(spec, config)
        self.mdp = terms.bind(self.model)
        if not self.mdp.actuators:
            raise UserError("actuators: none; a task needs at least one. Try actuators=torque")
        dt = float(self.model.opt.timestep)
        if complaints := [*time_steps(config, dt)]:
            raise UserError("\n  ".join(complaints))
        substeps = round(config.ctrl_dt / dt)
        update_dt = config.engine.actuator_update_dt
        self.timing = Timing(
            ctrl_dt=config.ctrl_dt,
            num_substeps=substeps,
            num_updates=substeps if update_dt is None else round(config.ctrl_dt / update_dt),
        )

    def make_env(
        self,
        num_envs: int,
        training: bool = False,
        mesh: Mesh | None = None,
        recorded: Collection[str] = (),
        num_seeds: int = 1,
    ) -> TaskEnv:
        """Environments of this task on an engine of their own.

        Args:
            num_envs: how many.
            training: on randomised models, where the task has randomizers, and at random times
                of their first episode.
            mesh: the devices they are spread over; None: one device.
            recorded: fields of the view that results hold besides those that rewards read.
            num_seeds: how many times they are there on a device, by an outer `vmap`.
        """
        config = self.config
        limits = Limits(
            action_clip=config.action_clip_max,
            reward_clip=(config.reward_clip_min, config.reward_clip_max),
            stagger_steps=self.episode_steps() if training and config.stagger_episodes else 0,
        )
        variants = None
        if training and self.mdp.randomization:
            variants = randomized_models(self.model, self.mdp.randomization, num_envs, config.seed)
        spec = EngineSpec(
            model=self.model,
            num_envs=num_envs,
            fields=fields_needed(self.model, self.mdp).union(recorded),
            variants=variants,
            num_threads=config.engine.num_threads,
            mesh=mesh,
            num_seeds=num_seeds,
            impl=config.engine.impl,
            graph_mode=config.engine.graph_mode,
            naconmax=config.engine.naconmax,
            njmax=config.engine.njmax,
        )
        engine = make_engine(config.engine.type, spec)
        return TaskEnv(engine, self.mdp, self.timing, config.engine, limits, recorded)

    def make_agent(self) -> TaskAgent:
        """The task's policy, acting through the task."""
        sizes, action_size = self.sizes()
        return TaskAgent(self.task, Policy(self.task.get_model(sizes, action_size)))

    def sizes(self) -> tuple[dict[str, int], int]:
        """Observation group -> size, and the size of an action."""
        layout = observation_layout(self.model, self.mdp)
        sizes = {group: sum(parts.values()) for group, parts in layout.items()}
        return sizes, sum(a.action_size for a in self.mdp.actuators.values())

    def episode_steps(self) -> int:
        """Control steps of the longest episode: the first time limit, else the config's."""
        bounds = [t.longest_episode() for t in self.mdp.terminations.values()]
        limits = [bound for bound in bounds if bound is not None]
        seconds = min(limits, default=self.task.config.eval_length_seconds)
        return math.ceil(seconds / self.task.config.ctrl_dt - 1e-6)


def _with_engine(config: RunConfig, engine: str) -> RunConfig:
    """The config with `engine=auto` replaced by the engine that a model means; empty: none."""
    if not engine or config.engine.type != "auto" or config.engine.impl == "warp":
        return config
    return dataclasses.replace(config, engine=dataclasses.replace(config.engine, type=engine))
