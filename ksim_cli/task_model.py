"""A task bound to its model: what every set of environments shares, the policy, the algorithm."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.sharding import Mesh

from ksim_cli.config.schema import RunConfig
from ksim_cli.config.validate import time_steps
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.mdp.action_manager import Timing
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.motion_observations import MotionObserver
from ksim_cli.mdp.stages import staged
from ksim_cli.models.adapters import adapt
from ksim_cli.models.policy import Policy, Variables, initial_carry, ppo_variables, sample_action
from ksim_cli.motion.chosen import load_motions
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import EngineChoice, make_engine, resolve_engine
from ksim_cli.physics.model import compile_model, editable
from ksim_cli.physics.model_variants import randomized_models
from ksim_cli.physics.robot import read_robot
from ksim_cli.registry import ALGORITHMS, OBSERVATIONS
from ksim_cli.rl.algorithm import Algorithm, Context
from ksim_cli.task import GETTERS, Task, build_terms, by_name
from ksim_cli.types import MotionObservations


class TaskModel:
    """A task's terms bound to its compiled model: what every set of environments shares.

    Args:
        task: the task.
        motion_copies: read in place of `motion.files`, one for each; empty: there are none.

    Attributes:
        config: the run's, with the engine that a compiled model means where none was asked for.
        robot: what was read of the robot's file.
        model: the compiled model.
        spec: what it was compiled from.
        motions: the reference motions, fitted to it; None: there are none.
        mdp: the terms, bound to it.
        layout: what they read and give.
        observation_sizes: observation group -> size.
        action_size: elements of an action.
        algorithm: the chosen algorithm.
        policy: what acts.
        aux: shapes of one environment's auxiliary outputs.
    """

    def __init__(self, task: Task, motion_copies: Sequence[Path] = ()) -> None:
        self.task = task
        self._observed: dict[tuple[str, ...], list[MotionObservations]] = {}
        given = task.get_mujoco_model()
        spec, engine = editable(given, partial(Task.get_mujoco_model, task))
        self.config = config = _with_engine(task.config, engine)
        self.algorithm: Algorithm = ALGORITHMS.build(config.algo, "algo")
        self.robot = robot = read_robot(spec, config.task)
        metadata = robot.with_limits(task.get_mujoco_model_metadata(spec))
        terms = Mdp(curriculum=task.get_curriculum(), **self._terms())
        terms = terms.edit(spec, metadata, in_engine=config.engine.actuator_update_dt is None)
        self.spec = spec
        self.model = compile_model(spec, robot, config, metadata, terms.motors())
        self.motions = load_motions(config.motion, self.model, config.ctrl_dt, motion_copies)
        self.mdp = terms.bind(self.model, self.motions and self.motions.arrays)
        if not self.mdp.actuators:
            raise UserError("actuators: none; a task needs at least one. Try actuators=torque")
        self.layout = inspect_terms(self.model, self.mdp, self._aux)
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

    @property
    def engine(self) -> EngineChoice:
        """What steps its environments on this machine."""
        return resolve_engine(self.config.engine.type, self.config.engine.impl)

    def make_env(
        self,
        num_envs: int,
        training: bool = False,
        mesh: Mesh | None = None,
        recorded: Collection[str] = (),
        num_seeds: int = 1,
        mdp: Mdp | None = None,
    ) -> TaskEnv:
        """Environments of this task on an engine of their own.

        Args:
            num_envs: how many.
            training: on randomised models, where the task has randomizers, and at random times
                of their first episode.
            mesh: the devices they are spread over; None: one device.
            recorded: fields of the view that results hold besides those that rewards read.
            num_seeds: how many times they are there on a device, by an outer `vmap`.
            mdp: other terms that read and give the same, bound; None: the task's.
        """
        config = self.config
        limits = Limits(
            action_clip=config.action_clip_max,
            reward_clip=(config.reward_clip_min, config.reward_clip_max),
            observation=config.observation_limit,
            reward=config.reward_limit,
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
        terms = self.mdp if mdp is None else mdp
        return TaskEnv(
            engine, terms, self.layout, self.timing, config.engine, limits, noisy, recorded
        )

    @property
    def follows_motions(self) -> bool:
        """Whether a term follows the reference motions, or the algorithm has asked for them."""
        return self.mdp.follows_motions or bool(self._observed)

    def motion_observations(self, groups: Sequence[str]) -> list[MotionObservations]:
        """See `ksim_cli.types.Preparing`."""
        if self.motions is None:
            raise UserError("motion: none is given. Type motion=FILE, or a folder of ksim collect")
        if (known := self._observed.get(tuple(groups))) is not None:
            return known
        config, motion = self.config, self.motions.arrays
        observe = MotionObserver(
            self.model, self.mdp, self.layout, config.ctrl_dt, groups, config.noisy_groups
        )
        each = zip(observe(motion), np.asarray(motion.weights).tolist(), strict=True)
        self._observed[tuple(groups)] = seen = [MotionObservations(*clip) for clip in each]
        return seen

    def _terms(self) -> dict[str, dict[str, Any]]:
        """Kind -> name -> term, as the algorithm wants them.

        Raises:
            UserError: the algorithm adds an observation under a name that is taken.
        """
        terms = {kind: by_name(getattr(self.task, get)(), get) for kind, get in GETTERS.items()}
        extra = build_terms(OBSERVATIONS, self.algorithm.extra_observations(), "observations")
        for name in extra.keys() & terms["observations"].keys():
            raise UserError(
                f"observations.{name}: the algorithm adds an observation of that name itself."
                " Give one of them another"
            )
        terms["observations"] |= extra
        terms = {
            kind: {name: staged(term, f"{kind}.{name}") for name, term in each.items()}
            for kind, each in terms.items()
        }
        if (factor := self.algorithm.reward_factor()) != 1.0:
            rewards: dict[str, Any] = terms["rewards"]
            terms["rewards"] = {
                name: dataclasses.replace(term, weight=factor * term.weight)
                for name, term in rewards.items()
            }
        return terms

    def _aux(self, observation_sizes: Mapping[str, int]) -> Any:
        """Make the policy; the shapes of one environment's auxiliary outputs."""
        self.observation_sizes = observation_sizes
        self.action_size = sum(a.action_size for a in self.mdp.actuators.values())
        self.policy = self._make_policy()

        def sample(key: jax.Array) -> Any:
            obs = {group: jnp.zeros((1, size)) for group, size in observation_sizes.items()}
            variables, carry = self.policy.init(key), self.policy.initial_carry(1)
            return self.policy.sample(variables, obs, carry, key).aux

        shapes = jax.eval_shape(sample, jax.random.key(0))
        self.aux = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), shapes)
        return self.aux

    def _make_policy(self) -> Policy:
        """What acts; of the task's methods only those that it overrides are called.

        Raises:
            UserError: the model cannot act, and the task does not say how.
        """
        task, sizes, action_size = self.task, self.observation_sizes, self.action_size
        adapter = adapt(lambda key: task.get_model(sizes, action_size, key), sizes)
        model = adapter.merge(jax.eval_shape(adapter.init, jax.random.key(0)))
        acts = self._overridden("sample_action")
        if acts is None:
            self._refuse_without(model, ("action_distribution", "value"), "sample_action")
            acts = sample_action
        evaluates = self._overridden("get_ppo_variables")
        if evaluates is None and hasattr(model, "action_distribution"):
            evaluates = ppo_variables
        start = self._overridden("get_initial_model_carry") or initial_carry
        return Policy(adapter, acts, evaluates, start)

    def make_context(self, env: TaskEnv, num_steps: int) -> Context:
        """What is trained, or played, in some environments of this task."""
        return Context(
            env=env,
            policy=self.policy,
            optimizer=self.task.get_optimizer(),
            num_steps=num_steps,
            batch_size=self.task.config.batch_size,
            parts=self.algorithm.prepare(self),
            update=self._overridden("update_model", self.algorithm),
            aux=self.aux,
        )

    def refuse_unlearnable(self) -> None:
        """Refuses to train a model that lacks what the algorithm asks of it.

        Raises:
            UserError: nothing in it can be learned, or a method of the task is missing.
        """
        self.algorithm.refuse_unlearnable(self)
        policy, algorithm, name = self.policy, self.algorithm, self.task.config.algo["type"]
        variables = policy.abstract
        kind = type(policy.adapter.merge(variables)).__name__
        if not jax.tree.leaves(variables.params):
            raise UserError(
                f"get_model gives a {kind}, which holds nothing to learn. It acts in ksim view,"
                f" eval and collect: add policy=initial task={self.task.config.task.name}"
            )
        if not algorithm.needs_ppo_variables or self._overridden("update_model") is not None:
            return
        if not policy.evaluates:
            model = policy.adapter.merge(variables)
            self._refuse_without(model, ("action_distribution", "value"), "get_ppo_variables")
        if algorithm.needs_value and not self._has_value(variables):
            raise UserError(
                f"algo={name}: asks for values, and the model has no critic. Type"
                " model.critic_groups=[critic], or give `value` in get_ppo_variables"
            )

    def _has_value(self, variables: Variables) -> bool:
        def evaluate(variables: Variables) -> Any:
            obs = {group: jnp.zeros((1, size)) for group, size in self.observation_sizes.items()}
            action, carry = jnp.zeros((1, self.action_size)), self.policy.initial_carry(1)
            return self.policy.ppo_variables(variables, obs, action, carry).value

        return jax.eval_shape(evaluate, variables) is not None

    def _overridden(self, method: str, *first: Any) -> Callable[..., Any] | None:
        """A method that the task's class overrides, its first arguments filled in."""
        if getattr(type(self.task), method) is getattr(Task, method):
            return None
        own = getattr(self.task, method)
        return partial(own, *first) if first else own

    def _refuse_without(self, model: Any, wanted: tuple[str, ...], method: str) -> None:
        lacking = [name for name in wanted if not hasattr(model, name)]
        if lacking:
            parameters = ", ".join(inspect.signature(getattr(self.task, method)).parameters)
            raise UserError(
                f"get_model gives a {type(model).__name__} without {' and '.join(lacking)}."
                f" Override {method}({parameters}) in class {type(self.task).__name__}"
            )

    def episode_steps(self) -> int:
        """Control steps of the longest episode: the first time limit, else the config's."""
        bounds = [t.longest_episode() for t in self.mdp.terminations.values()]
        limits = [bound for bound in bounds if bound is not None]
        seconds = min(limits, default=self.task.config.eval_length_seconds)
        return math.ceil(seconds / self.task.config.ctrl_dt - 1e-6)


def compile_robot(task: Task) -> mujoco.MjModel:
    """The robot of a task alone, without what its terms add to the model."""
    spec, _ = editable(task.get_mujoco_model(), partial(Task.get_mujoco_model, task))
    robot = read_robot(spec, task.config.task)
    metadata = robot.with_limits(task.get_mujoco_model_metadata(spec))
    return compile_model(spec, robot, task.config, metadata, {})


def _with_engine(config: RunConfig, engine: str) -> RunConfig:
    """The config with `engine=auto` replaced by the engine that a model means; empty: none."""
    if not engine or config.engine.type != "auto" or config.engine.impl == "warp":
        return config
    return dataclasses.replace(config, engine=dataclasses.replace(config.engine, type=engine))
