"""`ksim collect`: recording experience as a dataset."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.errors import UserError, listing
from ksim_cli.io.console import open_console
from ksim_cli.io.datasets import EpisodeWriter, choose_id
from ksim_cli.io.runs import RUNS
from ksim_cli.motion.clip import joint_types
from ksim_cli.physics.names import object_names
from ksim_cli.rl.rollout import Experience, Playing, play
from ksim_cli.run import signals
from ksim_cli.run.build import LoadedPolicy, load_policy, make_task_model, rollout_steps


def collect(config: RunConfig) -> None:
    """Writes `dataset_num_batches` rollouts of all environments in Minari's layout."""
    console = open_console(None)
    task_model = make_task_model(config)
    env, num_steps = task_model.make_env(config.num_envs), rollout_steps(config)
    argmax = config.collect_dataset_argmax_action
    loaded = load_policy(config, task_model, env, argmax, console)
    groups = recorded_groups(config, env)
    player = dataclasses.replace(
        loaded.player, final_groups=tuple({*loaded.player.final_groups, *groups})
    )

    def record(playing: Playing, key: jax.Array) -> tuple[Playing, Experience]:
        playing = playing.replace(env=env.begin_rollout(playing.env))
        return play(player, loaded.state, playing, key, num_steps)

    key_env, key_actions = jax.random.split(jax.random.key(config.seed))
    playing = jax.jit(player.start)(key_env, loaded.state.level, loaded.state.iteration)
    step = jax.jit(record, donate_argnums=0)
    path, watch = _path(config, loaded), signals.current()
    run = (
        config.policy or "policy" if loaded.run is None else f"{loaded.run.path.name}-{loaded.step}"
    )
    dataset_id = choose_id(config.dataset_id, path, config.task.name, run)
    total = config.dataset_num_batches * config.num_envs * num_steps
    info = {
        **loaded.facts(config),
        "argmax_action": argmax,
        "ctrl_dt": config.ctrl_dt,
        "observation_groups": list(groups),
        "joint_names": object_names(task_model.model, "joint"),
        "joint_types": joint_types(task_model.model),
    }
    observation_size = sum(env.observation_sizes[group] for group in groups)
    with (
        EpisodeWriter(path, observation_size, env.action_size, dataset_id, info) as writer,
        console.progress(total) as progress,
        watch.deferring("closing the dataset, then leaving"),
    ):
        for batch in range(config.dataset_num_batches):
            key = jax.random.fold_in(key_actions, batch)
            # Given up at once; what has been written is made whole.
            with watch.leaving("closing the dataset, then leaving", writer.close):
                playing, experience = jax.block_until_ready(step(playing, key))
            experience = jax.device_get(experience)
            final_obs = _joined(experience.results.final_obs, groups)
            writer.add_rollout(_rows(experience, groups), final_obs)
            done = (batch + 1) * config.num_envs * num_steps
            progress.update(done, {"episodes": writer.total_episodes})
            watch.check()
    console.print(
        f"written: {path}, {writer.total_steps:,} steps in {writer.total_episodes:,} episodes;"
        f" to Minari it is {dataset_id}"
    )


def recorded_groups(config: RunConfig, env: TaskEnv) -> tuple[str, ...]:
    """The observation groups that a dataset holds, in the order of its vector.

    Raises:
        UserError: `dataset_groups` names one that there is not.
    """
    asked = config.dataset_groups or config.model.get("actor_groups") or list(env.observation_sizes)
    for group in asked:
        if group not in env.observation_sizes:
            raise UserError(
                f"dataset_groups={config.dataset_groups}: no observation is in the group '{group}'."
                f" Groups: {listing(env.observation_sizes)}"
            )
    return tuple(asked)


def _rows(experience: Experience, groups: tuple[str, ...]) -> dict[str, Any]:
    """What a dataset holds of each step of a rollout."""
    results, steps, scores = experience.results, experience.results.steps, experience.scores
    rows = {
        "observations": _joined(experience.obs, groups),
        "actions": experience.action,
        "rewards": scores.total,
        "terminations": results.terminated | (results.quarantined > 0),
        "truncations": results.truncated,
        "infos/qpos": steps.view.qpos,
        "infos/qvel": steps.view.qvel,
    }
    rows |= {f"infos/command/{name}": value for name, value in steps.commands.items()}
    rows |= {f"infos/reward/{name}": value for name, value in scores.components.items()}
    for path, leaf in jax.tree_util.tree_leaves_with_path(steps.aux):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rows[f"infos/aux/{name}".rstrip("/")] = leaf
    return rows


def _joined(obs: Mapping[str, Any], groups: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([obs[group] for group in groups], axis=-1)


def _path(config: RunConfig, loaded: LoadedPolicy) -> Path:
    if config.dataset_save_path is not None:
        return Path(config.dataset_save_path)
    if loaded.run is None:
        return RUNS / "datasets" / f"{config.task.name}-{config.policy}"
    return loaded.run.path / "datasets" / f"{loaded.step:08d}"
