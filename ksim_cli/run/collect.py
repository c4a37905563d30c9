"""`ksim collect`: recording experience as a dataset."""

from pathlib import Path
from typing import Any

import jax

from ksim_cli.config.schema import RunConfig
from ksim_cli.io.console import open_console
from ksim_cli.io.datasets import EpisodeWriter
from ksim_cli.rl.rollout import Rollout
from ksim_cli.rl.rollout import collect as roll_out
from ksim_cli.run.session import RUNS, LoadedPolicy, load_policy, make_task_model, rollout_steps


def collect(config: RunConfig) -> None:
    """Writes `dataset_num_batches` rollouts of all environments in Minari's layout."""
    console = open_console(None)
    task_model = make_task_model(config)
    loaded = load_policy(config, task_model, console)
    env, num_steps = task_model.make_env(config.num_envs), rollout_steps(config)

    def record(start: tuple[Any, Any], key: jax.Array) -> tuple[Any, Rollout, Any]:
        after, rollout = roll_out(
            env,
            loaded.agent,
            loaded.variables,
            start,
            key,
            num_steps,
            argmax=config.collect_dataset_argmax_action,
            keep_final_obs=True,
        )
        _, scores = env.rewards(env.init_rewards(), rollout.results)
        return after, rollout, scores.total

    key_env, key_actions = jax.random.split(jax.random.key(config.seed))
    state: tuple[Any, Any] = (
        jax.jit(env.init)(key_env, loaded.level),
        loaded.agent.initial_carry(config.num_envs),
    )
    record = jax.jit(record, donate_argnums=0)
    path = _path(config, loaded)
    total = config.dataset_num_batches * config.num_envs * num_steps
    info = {
        "task": config.task.name,
        "checkpoint": None if loaded.run is None else str(loaded.run.path),
        "iteration": loaded.step,
        "policy": config.policy,
        "argmax_action": config.collect_dataset_argmax_action,
        "seed": config.seed,
        "ctrl_dt": config.ctrl_dt,
    }
    observation_size = env.observation_sizes["actor"]
    with (
        EpisodeWriter(path, observation_size, env.action_size, info) as writer,
        console.progress(total) as progress,
    ):
        for batch in range(config.dataset_num_batches):
            key = jax.random.fold_in(key_actions, batch)
            state, rollout, rewards = jax.block_until_ready(record(state, key))
            results = jax.device_get(rollout.results)
            writer.add_rollout(
                jax.device_get(rollout.obs["actor"]),
                jax.device_get(rollout.action),
                jax.device_get(rewards),
                results.terminated | (results.quarantined > 0),
                results.truncated,
                results.final_obs["actor"],
            )
            done = (batch + 1) * config.num_envs * num_steps
            progress.update(done, {"episodes": writer.total_episodes})
    console.print(
        f"written: {path}, {writer.total_steps:,} steps in {writer.total_episodes:,} episodes"
    )


def _path(config: RunConfig, loaded: LoadedPolicy) -> Path:
    if config.dataset_save_path is not None:
        return Path(config.dataset_save_path)
    if loaded.run is None:
        return RUNS / "datasets" / f"{config.task.name}-{config.policy}"
    return loaded.run.path / "datasets" / f"{loaded.step:08d}"
