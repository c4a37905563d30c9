"""Deterministic evaluation episodes, in environments of their own."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.io.console import open_console
from ksim_cli.io.runs import write_json
from ksim_cli.models.policy import Variables
from ksim_cli.rl.rollout import Actor
from ksim_cli.run.session import RUNS, load_policy, make_task_model
from ksim_cli.task_model import TaskModel

MAX_ENVS = 1024
"""Most evaluation environments at once; more episodes are run in turns."""


@dataclass(frozen=True)
class Evaluation:
    """Episodes of an evaluation.

    Attributes:
        returns: undiscounted return of each.
        lengths: control steps of each.
        failed: whether each ended in failure.
        command_errors: command name -> mean error over the steps of each, in the command's unit.
    """

    returns: np.ndarray
    lengths: np.ndarray
    failed: np.ndarray
    command_errors: dict[str, np.ndarray]

    def summary(self) -> dict[str, float]:
        """Means over the episodes, by the names of `eval.json`."""
        return {
            "episode_return_mean": float(self.returns.mean()),
            "episode_return_std": float(self.returns.std()),
            "episode_length_mean": float(self.lengths.mean()),
            "failure_rate": float(self.failed.mean()),
            **{
                f"command_error/{name}": float(np.average(errors, weights=self.lengths))
                for name, errors in self.command_errors.items()
            },
        }


class _Totals(struct.PyTreeNode):
    """Sums over the first episode of each environment, up to now."""

    episode_return: jax.Array
    length: jax.Array
    failed: jax.Array
    command_errors: dict[str, jax.Array]


class _Episodes(struct.PyTreeNode):
    """First episode of each environment: state of the loop that plays them."""

    step: jax.Array
    env: Any
    carry: Any
    rewards: Any
    alive: jax.Array
    totals: _Totals


class Evaluator:
    """Plays one episode in each of N environments; compiled once.

    Args:
        task_model: the task.
        agent: what acts, with the mode of its distribution.
        num_episodes: how many episodes an evaluation has.
        argmax: the mode of the action distribution instead of a sample.
    """

    def __init__(
        self, task_model: TaskModel, agent: Actor, num_episodes: int, argmax: bool = True
    ) -> None:
        self._agent = agent
        self._argmax = argmax
        self._num_episodes = num_episodes
        self._env: TaskEnv = task_model.make_env(min(num_episodes, MAX_ENVS))
        self._max_steps = task_model.episode_steps()
        self._play = jax.jit(self._episodes)

    def __call__(self, variables: Variables, level: float, seed: int) -> Evaluation:
        """Plays the episodes.

        Args:
            variables: the agent's.
            level: curriculum level.
            seed: the same seed gives the same episodes.
        """
        rounds = -(-self._num_episodes // self._env.num_envs)
        root = jax.random.key(seed)
        played = [
            self._play(variables, jnp.float32(level), jax.random.fold_in(root, i))
            for i in range(rounds)
        ]
        whole = jax.tree.map(lambda *x: np.concatenate(x)[: self._num_episodes], *played)
        errors = {name: x / whole.length for name, x in whole.command_errors.items()}
        return Evaluation(whole.episode_return, whole.length, whole.failed, errors)

    def _episodes(self, variables: Variables, level: jax.Array, key: jax.Array) -> _Totals:
        env, agent = self._env, self._agent
        n = env.num_envs
        key_env, key_actions = jax.random.split(key)

        def unfinished(now: _Episodes) -> jax.Array:
            return (now.step < self._max_steps) & now.alive.any()

        def step(now: _Episodes) -> _Episodes:
            key = jax.random.fold_in(key_actions, now.step)
            sample = agent.sample_action(variables, now.env.obs, now.carry, key, self._argmax)
            state, result = env.step(now.env, sample.action)
            rewards, scores = env.rewards(now.rewards, jax.tree.map(lambda x: x[None], result))
            reward = jnp.where(jnp.isfinite(scores.total[0]), scores.total[0], 0.0)
            ended, totals = now.alive & result.done, now.totals
            failed = ~result.truncated & (result.steps.termination <= 0)
            return _Episodes(
                step=now.step + 1,
                env=state,
                carry=sample.carry,
                rewards=rewards,
                alive=now.alive & ~result.done,
                totals=_Totals(
                    episode_return=totals.episode_return + jnp.where(now.alive, reward, 0.0),
                    length=totals.length + now.alive,
                    failed=totals.failed | (ended & failed),
                    command_errors={
                        name: totals.command_errors[name] + jnp.where(now.alive, error[0], 0.0)
                        for name, error in scores.command_errors.items()
                    },
                ),
            )

        start = _Episodes(
            step=jnp.int32(0),
            env=env.init(key_env, level),
            carry=agent.initial_carry(n),
            rewards=env.init_rewards(),
            alive=jnp.ones(n, bool),
            totals=_Totals(
                episode_return=jnp.zeros(n),
                length=jnp.zeros(n, jnp.int32),
                failed=jnp.zeros(n, bool),
                command_errors={name: jnp.zeros(n) for name in env.command_error_names},
            ),
        )
        return jax.lax.while_loop(unfinished, step, start).totals


def evaluate(config: RunConfig) -> None:
    """`ksim eval`: a table, and `eval.json` in the run folder (without one, in this folder)."""
    console = open_console(None)
    task_model = make_task_model(config)
    loaded = load_policy(config, task_model, console)
    evaluator = Evaluator(
        task_model, loaded.agent, config.num_episodes, config.viewer_argmax_action
    )
    with console.status(f"playing {config.num_episodes} episodes"):
        evaluation = evaluator(loaded.variables, loaded.level, config.seed)
    summary = evaluation.summary()
    facts = {
        "task": config.task.name,
        "checkpoint": None if loaded.run is None else str(loaded.run.path),
        "iteration": loaded.step,
        "policy": config.policy,
        "seed": config.seed,
        "num_episodes": config.num_episodes,
        **summary,
        "episode_returns": evaluation.returns.tolist(),
        "episode_lengths": evaluation.lengths.tolist(),
    }
    path = (RUNS.parent if loaded.run is None else loaded.run.path) / "eval.json"
    write_json(path, facts)
    rows = [(name.replace("_", " "), f"{value:.4g}") for name, value in summary.items()]
    console.table(f"{config.num_episodes} episodes of {config.task.name}", ["", "value"], rows)
    console.print(f"written: {path}")
