"""From a configuration to the objects that train or act."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

import ksim_cli
from ksim_cli import registry
from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RunFolder, find_checkpoint
from ksim_cli.load_task import make_task
from ksim_cli.models.policy import Variables
from ksim_cli.physics.engine import Engine
from ksim_cli.rl.ppo import PPO, Setup
from ksim_cli.rl.rollout import Actor, RandomAgent, ZeroAgent
from ksim_cli.run.devices import choose_mesh
from ksim_cli.run.seeds import each_seed, variables_of
from ksim_cli.task_model import TaskModel

VERSIONED = ("jax", "mujoco", "mujoco-mjx", "flax", "optax", "orbax-checkpoint", "numpy")
RUNS = Path("runs")
"""Where runs are kept, relative to the current folder."""


@dataclass(frozen=True)
class Trainer:
    """What a training run is made of.

    Attributes:
        task_model: the task's terms and model.
        algorithm: the learning algorithm.
        setup: environments, agent, optimizer and sizes.
        env: the setup's environments.
        mesh: the devices they are spread over, or of several seeds the seeds; None: one device.
        num_seeds: seeds that are trained in one program.
    """

    task_model: TaskModel
    algorithm: PPO
    setup: Setup
    env: TaskEnv
    mesh: Mesh | None
    num_seeds: int = 1

    @property
    def spread(self) -> int:
        """Devices that the environments of one seed are spread over."""
        return 1 if self.mesh is None or self.num_seeds > 1 else self.mesh.size

    def task_engine(self) -> Engine:
        """The engine of the training environments."""
        return self.env.engine


def make_task_model(config: RunConfig) -> TaskModel:
    """The task a config names, with its model compiled and its terms bound."""
    return TaskModel(make_task(config))


def make_trainer(config: RunConfig, recorded: Collection[str] = ()) -> Trainer:
    """Everything training needs but its state.

    Args:
        config: the run's.
        recorded: fields of the view that results hold besides those that rewards read.
    """
    task_model = make_task_model(config)
    mesh = choose_mesh(task_model.config)
    algorithm = registry.ALGORITHMS.build(config.algo, "algo")
    task = task_model.task

    def update_model(*arguments: Any) -> Any:
        return task.update_model(algorithm, *arguments)

    env = task_model.make_env(
        config.num_envs,
        training=True,
        mesh=mesh if config.num_seeds == 1 else None,
        recorded=recorded,
        num_seeds=config.num_seeds // (1 if mesh is None or config.num_seeds == 1 else mesh.size),
    )
    setup = Setup(
        env=env,
        agent=task_model.make_agent(),
        optimizer=task.get_optimizer(),
        update_model=update_model,
        num_steps=rollout_steps(config),
        batch_size=config.batch_size,
    )
    return Trainer(
        task_model=task_model,
        algorithm=algorithm,
        setup=setup,
        env=env,
        mesh=mesh,
        num_seeds=config.num_seeds,
    )


def rollout_steps(config: RunConfig) -> int:
    """Control steps of a rollout."""
    if config.rollout_length_frames is not None:
        return config.rollout_length_frames
    assert config.rollout_length_seconds is not None  # the validation saw to it
    return max(1, round(config.rollout_length_seconds / config.ctrl_dt))


@dataclass(frozen=True)
class LoadedPolicy:
    """Something that acts, and where it comes from.

    Attributes:
        agent: what acts.
        variables: its variables.
        level: curriculum level it was trained at.
        run: the run it comes from, None for one without a checkpoint.
        step: the checkpoint's iteration, None for one without.
    """

    agent: Actor
    variables: Variables
    level: float
    run: RunFolder | None
    step: int | None


def load_policy(config: RunConfig, task_model: TaskModel, console: Console) -> LoadedPolicy:
    """The policy that `checkpoint=` or `policy=` names; without both that of the newest run.

    Raises:
        UserError: no run, no readable checkpoint, or one of another shape.
    """
    if config.policy is not None:
        size = task_model.sizes()[1]
        agents: dict[str, Any] = {"zero": ZeroAgent(size), "random": RandomAgent(size)}
        if config.policy not in agents:
            raise UserError(f"policy={config.policy}: no such policy. One of zero, random")
        nothing = Variables(params=(), statistics=())
        return LoadedPolicy(agents[config.policy], nothing, 1.0, None, None)
    run, step = find_checkpoint(config.checkpoint, RUNS)
    store = CheckpointStore(run.checkpoints)
    if step is None:
        step = store.newest(console.warn)
    elif (reason := store.verify(step)) is not None:
        raise UserError(f"checkpoint={config.checkpoint}: {reason}")
    if step is None:
        raise UserError(
            f"{run.path} holds no checkpoint that can be read. Train it further with"
            f" ksim train resume={run.path}, or name another with checkpoint="
        )
    agent = task_model.make_agent()
    policies = variables_of(store, step, agent, config.num_seeds)
    index, which = _chosen_seed(config, run, step)
    variables, level = each_seed(policies, config.num_seeds)[index]
    console.print(f"policy: {run.path}, iteration {step}{which}")
    return LoadedPolicy(agent, variables, float(level), run, step)


def _chosen_seed(config: RunConfig, run: RunFolder, step: int) -> tuple[int, str]:
    """Which of several seeds' policies acts, and how to say so."""
    asked, count = config.checkpoint_seed, config.num_seeds
    if count == 1 and asked is None:
        return 0, ""
    first = int(read_config(run.config).get("seed", 0))
    seeds = range(first, first + count)
    if asked is not None and asked not in seeds:
        trained = f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1}"
        raise UserError(f"checkpoint_seed={asked}: {run.path} trained {trained}")
    if asked is not None:
        return seeds.index(asked), "" if count == 1 else f", seed {asked}"
    summary = json.loads(run.summary.read_text()) if run.summary.exists() else {}
    returns = summary.get("eval_return_per_seed", ())
    if summary.get("iterations") != step or len(returns) != count:
        return 0, f", seed {first} (which of them is best at this iteration is not known)"
    best = returns.index(max(returns))
    return best, f", seed {seeds[best]}, which evaluated best"


def versions() -> dict[str, str]:
    """What is installed of ksim and of what it stands on."""
    versions = {"ksim": ksim_cli.__version__}
    for name in VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
