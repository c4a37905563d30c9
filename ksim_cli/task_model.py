"""A task bound to its model: what every set of environments shares, and the policy."""

import math
from collections.abc import Callable, Collection
from typing import Any

import jax
from jax.sharding import Mesh

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.mdp.action_manager import Timing
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.models.policy import (
    ActionSample,
    Observations,
    Policy,
    PPOVariables,
    Variables,
)
from ksim_cli.physics.engine import EngineSpec, make_engine
from ksim_cli.physics.joints import apply_metadata
from ksim_cli.physics.model import compile_model
from ksim_cli.physics.randomized import randomized_models
from ksim_cli.task import Task


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
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        config = task.config
        spec = task.get_mujoco_model()
        metadata = task.get_mujoco_model_metadata(spec)
        apply_metadata(spec, metadata)
        terms = Mdp(
            curriculum=task.get_curriculum(),
            actuators=task.get_actuators(),
            observations=task.get_observations(),
            rewards=task.get_rewards(),
            terminations=task.get_terminations(),
            resets=task.get_resets(),
            commands=task.get_commands(),
            events=task.get_events(),
            randomization=task.get_physics_randomizers(),
        ).edit(spec, metadata)
        self.model = compile_model(spec, config)
        self.mdp = terms.bind(self.model)
        if not self.mdp.actuators:
            raise UserError("actuators: none; a task needs at least one. Try actuators=torque")
        self.layout = inspect_terms(self.model, self.mdp)
        substeps = round(config.ctrl_dt / config.dt)
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
        config = self.task.config
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
            fields=self.layout.fields.union(recorded),
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
        noisy = config.noisy_groups
        return TaskEnv(
            engine, self.mdp, self.layout, self.timing, config.engine, limits, noisy, recorded
        )

    def make_agent(self) -> TaskAgent:
        """The task's policy, acting through the task."""
        sizes, action_size = self.sizes()
        return TaskAgent(self.task, Policy(self.task.get_model(sizes, action_size)))

    def sizes(self) -> tuple[dict[str, int], int]:
        """Observation group -> size, and the size of an action."""
        return self.layout.group_sizes, sum(a.action_size for a in self.mdp.actuators.values())

    def episode_steps(self) -> int:
        """Control steps of the longest episode: the first time limit, else the config's."""
        bounds = [t.longest_episode() for t in self.mdp.terminations.values()]
        limits = [bound for bound in bounds if bound is not None]
        seconds = min(limits, default=self.task.config.eval_length_seconds)
        return math.ceil(seconds / self.task.config.ctrl_dt - 1e-6)


def make_task(config: RunConfig, load: Callable[[str], type[Task]]) -> Task:
    """The task a config names.

    Args:
        config: the run's configuration.
        load: finds a task's class by its registered name.
    """
    return load(config.task.type)(config)
