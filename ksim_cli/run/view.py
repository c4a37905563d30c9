"""`ksim view`: showing a policy, as a video."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import EnvState, TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.io.console import Console, open_console
from ksim_cli.io.video import Recorder, write_frames, write_video
from ksim_cli.rl.rollout import Actor
from ksim_cli.run.session import RUNS, LoadedPolicy, load_policy, make_task_model
from ksim_cli.task_model import TaskModel


def view(config: RunConfig) -> None:
    """Renders one episode, or `viewer_num_seconds`, of one environment to a file.

    Raises:
        UserError: another viewer than `video`, or no way to render here.
    """
    if config.viewer != "video":
        raise UserError(f"viewer={config.viewer}: no such viewer. One of video")
    console = open_console(None)
    task_model = make_task_model(config)
    loaded = load_policy(config, task_model, console)
    # Before anything is compiled: where nothing can be rendered, say so at once.
    recorder = Recorder(task_model.model, config)
    frames = list(_frames(config, task_model, loaded, recorder, console))
    folder = RUNS if loaded.run is None else loaded.run.path / "videos"
    name = config.policy if loaded.step is None else f"{loaded.step:08d}"
    path = folder / f"{config.task.name}-{name}.{'mp4' if config.viewer_save_video else 'gif'}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, config.render_fps)
    console.print(f"written: {path}, {len(frames) / config.render_fps:.1f} s")
    if config.viewer_save_renders:
        write_frames(path.with_suffix(""), frames)
        console.print(f"frames: {path.with_suffix('')}")


def _frames(
    config: RunConfig,
    task_model: TaskModel,
    loaded: LoadedPolicy,
    recorder: Recorder,
    console: Console,
) -> Iterator[np.ndarray]:
    """Plays one environment and yields a picture for every frame of the video."""
    env, agent = task_model.make_env(1), loaded.agent
    key_env, key_actions = jax.random.split(jax.random.key(config.seed))
    step = jax.jit(_step(env, agent, loaded, config.viewer_argmax_action))
    begin = jax.jit(env.begin_rollout)
    state = jax.jit(env.init)(key_env, loaded.level)
    carry, total = agent.initial_carry(1), 0.0
    num_steps = _num_steps(config, task_model)
    frame_every = 1.0 / (config.render_fps * config.render_slowdown * config.ctrl_dt)
    shown = 0
    with console.progress(num_steps) as progress:
        for i in range(num_steps):
            while shown * frame_every <= i:
                yield recorder.frame(
                    np.asarray(env.engine.view(state.physics).qpos[0]),
                    np.asarray(env.engine.view(state.physics).qvel[0]),
                )
                shown += 1
            state, carry, reward, done = step(state, carry, jax.random.fold_in(key_actions, i))
            total += float(reward)
            progress.update(i + 1, {"episode_return": total})
            if bool(done):
                state = begin(state)
                total = 0.0
                if config.viewer_num_seconds is None:
                    return


def _step(
    env: TaskEnv, agent: Actor, loaded: LoadedPolicy, argmax: bool
) -> Callable[..., tuple[EnvState, Any, jax.Array, jax.Array]]:
    """One control step of the single environment: state, carry, reward, whether it ended."""

    def step(
        state: EnvState, carry: Any, key: jax.Array
    ) -> tuple[EnvState, Any, jax.Array, jax.Array]:
        sample = agent.sample_action(loaded.variables, state.obs, carry, key, argmax)
        state, result = env.step(state, sample.action)
        single = jax.tree.map(lambda x: x[None], result)
        _, scores = env.rewards(env.init_rewards(), single)
        fresh = agent.initial_carry(1)
        carry = jax.tree.map(lambda a, b: jnp.where(result.done[0], a, b), fresh, sample.carry)
        return state, carry, scores.total[0, 0], result.done[0]

    return step


def _num_steps(config: RunConfig, task_model: TaskModel) -> int:
    """Control steps to show: as long as was asked for, else one episode; no longer than a video."""
    seconds = config.viewer_num_seconds
    if seconds is None:
        seconds = task_model.episode_steps() * config.ctrl_dt
    if config.render_length_seconds is not None:
        seconds = min(seconds, config.render_length_seconds)
    return max(1, round(seconds / config.ctrl_dt))
