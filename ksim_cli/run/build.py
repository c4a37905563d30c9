"""From a configuration to the objects that train or act."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.io.checkpoint_files import package_versions
from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RUNS, RunFolder, find_checkpoint
from ksim_cli.load_task import make_task
from ksim_cli.rl.algorithm import Algorithm, Context, make_player
from ksim_cli.rl.rollout import Player, PolicyState, random_policy, record_nothing, zero_policy
from ksim_cli.run.devices import choose_mesh
from ksim_cli.run.kept_motion import kept_motions
from ksim_cli.run.memory import LARGE_MODEL, check_model, release_freed
from ksim_cli.run.own_files import warn_of_changes
from ksim_cli.run.run_store import refuse_other_config
from ksim_cli.run.seeds import each_seed, read_policy_state
from ksim_cli.task_model import TaskModel


@dataclass(frozen=True)
class TrainingParts:
    """What a training run is made of.

    Attributes:
        task_model: the task's terms, model, policy and algorithm.
        context: environments, policy, optimizer and sizes.
        env: the context's environments.
        mesh: the devices they are spread over, or of several seeds the seeds; None: one device.
        num_seeds: seeds that are trained in one program.
    """

    task_model: TaskModel
    context: Context
    env: TaskEnv
    mesh: Mesh | None
    num_seeds: int = 1

    @property
    def algorithm(self) -> Algorithm:
        """The learning algorithm."""
        return self.task_model.algorithm

    @property
    def facts(self) -> dict[str, Any]:
        """Task, algorithm, engine, size and versions, as results name them."""
        config = self.task_model.config
        return {
            "task": config.task.name,
            "algo": config.algo["type"],
            "engine": str(self.task_model.engine),
            "num_envs": config.num_envs,
            "seed": config.seed,
            "versions": package_versions(),
        }

    @property
    def title(self) -> str:
        """Task, size and engine in one line."""
        facts = self.facts
        seeds = "" if self.num_seeds == 1 else f"{self.num_seeds} seeds x "
        return (
            f"{facts['task']}: {seeds}{facts['num_envs']} environments x"
            f" {self.context.num_steps} steps, engine {facts['engine']}"
        )

    @property
    def spread(self) -> int:
        """Devices that the environments of one seed are spread over."""
        return 1 if self.mesh is None or self.num_seeds > 1 else self.mesh.size


def make_task_model(config: RunConfig) -> TaskModel:
    """The task a config names, with its model compiled and its terms bound."""
    task_model = TaskModel(make_task(config), kept_motions(config))
    if task_model.model.nbuffer > LARGE_MODEL:
        release_freed()
    return task_model


def make_training_parts(
    config: RunConfig,
    recorded: Collection[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> TrainingParts:
    """Everything training needs but its state.

    Args:
        config: the run's.
        recorded: fields of the view that results hold besides those that rewards read.
        say: shows a line.
    """
    task_model = make_task_model(config)
    check_model(task_model.model, say)
    task_model.refuse_unlearnable()
    mesh = choose_mesh(task_model.config)
    env = task_model.make_env(
        config.num_envs,
        training=True,
        mesh=mesh if config.num_seeds == 1 else None,
        recorded=recorded,
        num_seeds=config.num_seeds // (1 if mesh is None or config.num_seeds == 1 else mesh.size),
    )
    return TrainingParts(
        task_model=task_model,
        context=task_model.make_context(env, rollout_steps(config)),
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
        player: it, in the environments it was loaded for.
        state: what it acts with.
        run: the run it comes from, None for one without a checkpoint.
        step: the checkpoint's iteration, None for one without.
    """

    player: Player
    state: PolicyState
    run: RunFolder | None
    step: int | None

    def facts(self, config: RunConfig) -> dict[str, Any]:
        """Task, policy and seed, as results name them."""
        return {
            "task": config.task.name,
            "checkpoint": None if self.run is None else str(self.run.path),
            "iteration": self.step,
            "policy": config.policy,
            "seed": config.seed,
        }


def load_policy(
    config: RunConfig,
    task_model: TaskModel,
    env: TaskEnv,
    argmax: bool,
    console: Console,
    live: bool = False,
) -> LoadedPolicy:
    """The policy that `checkpoint=` or `policy=` names; without both that of the newest run.

    Args:
        config: the run's.
        task_model: the task.
        env: environments to act in.
        argmax: the mode of the action distribution instead of a sample.
        console: says which it is.
        live: that of a run that has no checkpoint yet will do, too.

    Raises:
        UserError: no run, no readable checkpoint, or one of another shape.
    """
    if config.policy is not None:
        return without_checkpoint(config.policy, task_model, env, argmax)
    run, named = find_checkpoint(config.checkpoint, RUNS)
    reader = PolicyReader(config, task_model, env, run)
    step = sound_step(reader.store, named, f"checkpoint={config.checkpoint}", console)
    if step is None and live:
        reader = PolicyReader(config, task_model, env, run, run.live)
        step = reader.store.newest(console.warn)
    if step is None:
        raise UserError(
            f"{run.path} holds no checkpoint that can be read. Train it further with"
            f" ksim train resume={run.path}, or name another with checkpoint="
        )
    warn_of_changes(run, task_model.task, console)
    state, which = reader.read(step)
    console.print(f"policy: {run.path}, iteration {step}{which}")
    return LoadedPolicy(reader.player(argmax), state, run, step)


def sound_step(
    store: CheckpointStore, named: int | None, typed: str, console: Console
) -> int | None:
    """The checkpoint that was named, or the newest good one; None where there is none.

    Raises:
        UserError: the one that was named is damaged.
    """
    if named is None:
        return store.newest(console.warn)
    if (reason := store.verify(named)) is not None:
        raise UserError(f"{typed}: {reason}")
    return named


class PolicyReader:
    """Reads what acts from the checkpoints of a run, for some environments.

    Args:
        config: the run's.
        task_model: the task.
        env: environments to act in.
        run: the run.
        folder: of its checkpoints; None: those that it is resumed from.

    Attributes:
        store: the checkpoints.
    """

    def __init__(
        self,
        config: RunConfig,
        task_model: TaskModel,
        env: TaskEnv,
        run: RunFolder,
        folder: Path | None = None,
    ) -> None:
        self.store = CheckpointStore(run.checkpoints if folder is None else folder)
        self._config, self._run = config, run
        self._algorithm = task_model.algorithm
        self._context = task_model.make_context(env, num_steps=1)

    def player(self, argmax: bool) -> Player:
        """What acts with what is read."""
        return make_player(self._algorithm, self._context, argmax=argmax, record=record_nothing)

    def read(self, step: int) -> tuple[PolicyState, str]:
        """What acts at a step, and which of several seeds' policies it is, in words.

        Raises:
            UserError: it is damaged, of another shape, or of another config than the run's.
        """
        refuse_other_config(self._run, step, self.store.info(step))
        count = self._config.num_seeds
        states = read_policy_state(self.store, step, self._algorithm, self._context, count)
        index, which = chosen_seed(self._run, step, count, self._config.checkpoint_seed)
        return each_seed(states, count)[index], which


def without_checkpoint(
    name: str, task_model: TaskModel, env: TaskEnv, argmax: bool
) -> LoadedPolicy:
    """`policy=zero`, `random`, or `initial`: the task's own, as it is before any training."""
    untaught = {"zero": zero_policy, "random": random_policy}
    policy = task_model.policy
    if name in untaught:
        policy = untaught[name](env.action_size, task_model.aux)
    variables = policy.init(jax.random.key(task_model.task.config.seed))
    state = PolicyState(variables=variables, reward_variables=(), level=jnp.ones(()))
    player = Player(env, policy, argmax=argmax and name != "random")
    return LoadedPolicy(player, state, None, None)


def chosen_seed(run: RunFolder, step: int, count: int, asked: int | None = None) -> tuple[int, str]:
    """The index of one of several seeds' policies, and which it is, in words.

    Args:
        run: the run.
        step: the checkpoint's iteration.
        count: seeds that were trained.
        asked: the seed; None: the one that evaluated best.

    Raises:
        UserError: that seed was not trained.
    """
    if count == 1 and asked is None:
        return 0, ""
    first = int(read_config(run.config).get("seed", 0))
    seeds = range(first, first + count)
    if asked is not None and asked not in seeds:
        trained = f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1}"
        raise UserError(f"checkpoint_seed={asked}: {run.path} trained {trained}")
    if asked is not None:
        return seeds.index(asked), "" if count == 1 else f", seed {asked}"
    summary = run.read_summary()
    returns = summary.get("eval_return_per_seed", ())
    known = [each for each in returns if each is not None]  # null: it was not finite
    if summary.get("iterations") != step or len(returns) != count or not known:
        return 0, f", seed {first} (which of them is best at this iteration is not known)"
    best = returns.index(max(known))
    return best, f", seed {seeds[best]}, which evaluated best"
