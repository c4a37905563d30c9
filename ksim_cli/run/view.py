"""`ksim view`: showing a policy, or the steps before a quarantine, as a video."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.io.console import Console, open_console
from ksim_cli.io.dumps import read_dump
from ksim_cli.io.files import make_folder
from ksim_cli.io.recordings import Recording
from ksim_cli.io.runs import RUNS, RunFolder
from ksim_cli.rl.rollout import Playing, play
from ksim_cli.run import signals
from ksim_cli.run.build import LoadedPolicy, load_policy, make_task_model
from ksim_cli.run.film import Frame, frame_of
from ksim_cli.run.live_view import view_live
from ksim_cli.run.own_files import warn_of_changes
from ksim_cli.run.replay import Replay
from ksim_cli.run.session import Wishes
from ksim_cli.run.shown_motion import recording_of
from ksim_cli.task_model import TaskModel
from ksim_cli.view.kind import viewer_kind
from ksim_cli.view.markers import Markers
from ksim_cli.view.overlay import caption, write_overlay
from ksim_cli.view.scene import Camera, drawable
from ksim_cli.view.video import Recorder, write_frames, write_video

_ROWS = 8
"""Steps before a quarantine that are shown in the table."""


class _Picture(NamedTuple):
    """A state to be drawn, and what stands beside it."""

    qpos: np.ndarray
    qvel: np.ndarray
    markers: Markers | None = None
    text: str = ""


def view(config: RunConfig, typed: Collection[str] = ()) -> None:
    """Shows an environment live, or renders one episode, or `viewer_num_seconds`, to a file.

    Args:
        config: what to view, and how.
        typed: keys that were typed.

    Raises:
        UserError: there is no way to show it here.
    """
    console = open_console(None)
    task_model = make_task_model(config)
    for note in task_model.motions.notes if task_model.motions else ():
        console.print(note)
    if (kind := viewer_kind(config)) != "video":
        return view_live(config, kind, task_model, console, typed)
    if (recording := recording_of(config, task_model)) is not None:
        return _view_recording(config, recording, task_model, console, typed)
    if config.dump is not None:
        return _view_dump(config, Path(config.dump), task_model, console, typed)
    env = task_model.make_env(1, recorded=task_model.layout.marker_fields)
    loaded = load_policy(config, task_model, env, config.viewer_argmax_action, console)
    # Before anything is compiled: where nothing can be rendered, say so at once.
    recorder = _recorder(config, task_model, console, typed)
    num_steps = _num_steps(config, task_model)
    states = _states(config, env, loaded, num_steps, console)
    folder = RUNS if loaded.run is None else loaded.run.path / "videos"
    name = config.policy if loaded.step is None else f"{loaded.step:08d}"
    _write(config, recorder, states, folder / f"{config.task.name}-{name}", console)


def _recorder(
    config: RunConfig, task_model: TaskModel, console: Console, typed: Collection[str]
) -> Recorder:
    model = drawable(task_model.spec, task_model.model)
    return Recorder(model, config, Camera(model, config, typed, console.print))


def _write(
    config: RunConfig,
    recorder: Recorder,
    states: Iterable[_Picture],
    stem: Path,
    console: Console,
) -> None:
    """Writes a video of states, and its frames where they are asked for."""
    path = stem.with_name(f"{stem.name}.{'mp4' if config.viewer_save_video else 'gif'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    watch, kept = signals.current(), list[np.ndarray]()

    def frames() -> Iterator[np.ndarray]:
        for state in states:
            watch.check()
            frame = recorder.frame(state.qpos, state.qvel, state.markers)
            if state.text:
                frame = write_overlay(frame, state.text)
            if config.viewer_save_renders:
                kept.append(frame)
            yield frame

    with watch.deferring("leaving without the video"):
        try:
            count = write_video(path, frames(), config.render_fps)
        except UserError:
            watch.check()  # Ctrl-C reaches the encoder, too
            raise
    console.print(f"written: {path}, {count / config.render_fps:.1f} s")
    if config.viewer_save_renders:
        write_frames(path.with_suffix(""), kept)
        console.print(f"frames: {path.with_suffix('')}")


def _view_dump(
    config: RunConfig,
    path: Path,
    task_model: TaskModel,
    console: Console,
    typed: Collection[str],
) -> None:
    """Shows the steps before a quarantine: the last of them in a table, all in a video."""
    if path.absolute().parent.name == "dumps":
        run = RunFolder(path.absolute().parent.parent)
        run.check()  # the video is written beside it
        warn_of_changes(run, task_model.task, console)
    dump, model = read_dump(path), task_model.model
    sizes = [dump.arrays[name].shape[1] for name in ("view/qpos", "view/qvel")]
    if sizes != [model.nq, model.nv]:
        raise UserError(
            f"dump={path}: its model has {sizes[0]} positions and {sizes[1]} velocities, that of"
            f" task {config.task.name} {model.nq} and {model.nv}. Type checkpoint= of its run"
        )
    qpos, qvel, action = (dump.steps(name) for name in ("view/qpos", "view/qvel", "action"))
    rewards = [name for name in dump.arrays if name.startswith("reward/")]
    columns = [np.abs(x).max(axis=1, initial=0) for x in (qpos, qvel, action)]
    columns += [dump.steps(name) for name in rewards]
    table = [
        [i, *(float(column[i]) for column in columns)]
        for i in range(max(0, dump.step - _ROWS + 1), dump.step + 1)
    ]
    console.table(
        f"{dump.at_fault} was at fault at step {dump.step} of iteration"
        f" {dump.arrays['iteration']}, environment {dump.arrays['env']}",
        ["step", "largest |qpos|", "largest |qvel|", "largest |action|", *rewards],
        table,
    )
    # What cannot be drawn is left out: the step at fault may be such.
    drawn = [i for i in range(len(qpos)) if np.isfinite(qpos[i]).all()]
    states = [_Picture(qpos[i], np.nan_to_num(qvel[i])) for i in drawn]
    if states:  # and where nothing can be rendered, the table has been shown
        recorder = _recorder(config, task_model, console, typed)
        _write(config, recorder, _at_frames(config, states), path.with_suffix(""), console)


def _view_recording(
    config: RunConfig,
    recording: Recording,
    task_model: TaskModel,
    console: Console,
    typed: Collection[str],
) -> None:
    """Shows the first episode, or clip, or as many as last `viewer_num_seconds`."""
    replay = Replay(recording, task_model.model)
    recorder = _recorder(config, task_model, console, typed)
    steps = len(replay)
    if config.viewer_num_seconds is not None:
        steps = max(1, round(config.viewer_num_seconds / recording.ctrl_dt))

    def pictures() -> Iterator[_Picture]:
        for i in range(steps):
            shown = replay.step(Wishes())
            text = caption(i + 1, float(shown.time), float(shown.reward))
            yield _Picture(shown.qpos, shown.qvel, None, text if config.render_overlay else "")

    stem = RUNS / f"{config.task.name}-motion"
    if config.dataset is not None:
        stem = recording.path / "videos" / "dataset"
        make_folder(stem.parent)
    config = dataclasses.replace(config, ctrl_dt=recording.ctrl_dt)
    _write(config, recorder, _at_frames(config, pictures()), stem, console)


def _at_frames(config: RunConfig, pictures: Iterable[_Picture]) -> Iterator[_Picture]:
    """Of the pictures of control steps those that the video shows, so that it lasts as long."""
    frame_every = 1.0 / (config.render_fps * config.render_slowdown * config.ctrl_dt)
    shown = 0
    for i, picture in enumerate(pictures):
        while shown * frame_every <= i:
            yield picture
            shown += 1


def _states(
    config: RunConfig, env: TaskEnv, loaded: LoadedPolicy, num_steps: int, console: Console
) -> Iterator[_Picture]:
    """Plays one environment and gives every frame of the video."""
    player = loaded.player
    key_env, key_actions = jax.random.split(jax.random.key(config.seed))

    def step(playing: Playing, key: jax.Array, i: int) -> tuple[Playing, Frame, jax.Array]:
        playing, experience = play(player, loaded.state, playing, jax.random.fold_in(key, i), 1)
        return playing, frame_of(env.mdp, experience), experience.was_reset[0, 0]

    with console.status("compiling the viewer"):
        state = loaded.state
        playing = jax.jit(player.start)(key_env, state.level, state.iteration)
        compiled = jax.jit(step).lower(playing, key_actions, 0).compile()
        begin = jax.jit(env.begin_rollout)
    played = _played(config, compiled, begin, playing, key_actions, num_steps, console)
    return _at_frames(config, played)


def _played(
    config: RunConfig,
    step: Callable[..., tuple[Playing, Frame, jax.Array]],
    begin: Callable[[Any], Any],
    playing: Playing,
    key: jax.Array,
    num_steps: int,
    console: Console,
) -> Iterator[_Picture]:
    total = 0.0
    with console.progress(num_steps) as progress:
        for i in range(num_steps):
            playing, *given = step(playing, key, i)
            frame, was_reset = jax.device_get(given)
            yield _picture(config, frame, i + 1)
            total += float(frame.reward)
            progress.update(i + 1, {"episode_return": total})
            if was_reset:
                playing = playing.replace(env=begin(playing.env))
                total = 0.0
                if config.viewer_num_seconds is None:
                    return


def _picture(config: RunConfig, frame: Frame, number: int) -> _Picture:
    markers = Markers.of(frame.markers) if config.render_markers else None
    text = caption(number, float(frame.time), float(frame.reward))
    return _Picture(frame.qpos, frame.qvel, markers, text if config.render_overlay else "")


def _num_steps(config: RunConfig, task_model: TaskModel) -> int:
    """Control steps to show: as long as was asked for, else one episode; no longer than a video."""
    seconds = config.viewer_num_seconds
    if seconds is None:
        seconds = task_model.episode_steps() * config.ctrl_dt
    if config.render_length_seconds is not None:
        seconds = min(seconds, config.render_length_seconds)
    return max(1, round(seconds / config.ctrl_dt))
