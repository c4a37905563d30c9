"""Videos and plots of the evaluations of a run, drawn beside training."""

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.schema import RenderKeys, RunConfig
from ksim_cli.errors import listing, nearest
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RunFolder
from ksim_cli.run import hosts
from ksim_cli.run.film import Film
from ksim_cli.run.schedule import Timer
from ksim_cli.task_model import TaskModel
from ksim_cli.view.beside import Beside
from ksim_cli.view.drawer import arrays_as_bytes
from ksim_cli.view.plots import elements, pages
from ksim_cli.view.scene import drawable

_SECONDS = 5.0
"""Of an episode, in a video while training."""

_END_SECONDS = 30.0
"""For the last pictures, when training is over."""

Shown = Callable[[int, list[Path], list[Path]], None]
"""Told the iteration, and the files of its videos and of its plots."""


class Pictures:
    """Draws evaluations in a process of its own; training is never held up by it.

    The process begins with the first evaluation that is due while training. While it draws one,
    others are left out and counted.

    Args:
        config: the run's.
        run: its folder.
        console: says what could not be drawn.
        typed: keys that were typed.
        shown: told of what was drawn.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        console: Console,
        typed: Collection[str],
        shown: Shown = lambda *drawn: None,
    ) -> None:
        self._config, self._run, self._console = config, run, console
        self._typed, self._shown = typed, shown
        self.wanted = config.valid_pictures
        self._beside: Beside | None = None
        self._full = Timer(config.render_full_every_n_seconds, config.render_full_every_n_steps)
        self._offered = self._drawn = self._late = 0

    def offer(self, iteration: int, film: Film | None, task_model: TaskModel) -> None:
        """Let an evaluation be drawn, unless the last one is not drawn yet.

        Args:
            iteration: the evaluation's.
            film: its first episode; None: it was not filmed.
            task_model: the task.
        """
        self.collect()
        if film is None or not self.wanted or not hosts.is_leader():
            return
        if self._beside is None:
            self._begin(task_model)
            self._name_unknown(film)
        self._offered += 1
        full = self._full.due(self._offered - 1, self._offered)
        self._hand_over(iteration, film, task_model, small=not full)

    def collect(self) -> None:
        """Take what has been drawn; where nothing can be, say so once, and go on without."""
        for answer in self._beside.answers() if self._beside is not None else ():
            for text in answer.get("said", ()):
                self._console.print(text)
            if "failed" in answer:
                self._give_up(answer["failed"])
                return
            if "iteration" in answer:
                self._drawn += 1
                files = ([Path(each) for each in answer[kind]] for kind in ("videos", "plots"))
                self._shown(answer["iteration"], *files)

    def finish(self, iteration: int, film: Film | None, task_model: TaskModel) -> None:
        """Draw the last evaluation at the full size, if others were drawn; say what came of all.

        Args:
            iteration: the evaluation's.
            film: its first episode; None: it was not filmed.
            task_model: the task.
        """
        if self._beside is None:
            return
        deadline = time.monotonic() + _END_SECONDS
        with self._console.waiting("drawing the last pictures"):
            self._wait(deadline)
            if film is not None:
                self._hand_over(iteration, film, task_model, small=False)
            self._wait(deadline)
        self._late += self._busy
        self.close()
        if self._drawn:
            where = self._run.path / "videos"
            self._console.print(f"pictures of {counted(self._drawn, 'evaluation')}: {where}")
        if self._late:
            self._console.print(
                f"pictures of {counted(self._late, 'evaluation')} were left out, as drawing took"
                " too long. Smaller ones take less time: render_width_small, render_length_seconds"
            )

    def close(self) -> None:
        """End the process."""
        if self._beside is not None:
            self._beside.end()
            self._beside = None

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _begin(self, task_model: TaskModel) -> None:
        config = self._config
        drawn = drawable(task_model.spec, task_model.model)
        model = np.empty(mujoco.mj_sizeModel(drawn), np.uint8)
        mujoco.mj_saveModel(drawn, None, model)
        keys = {f.name: getattr(config, f.name) for f in dataclasses.fields(RenderKeys)}
        header = {"keys": keys, "typed": sorted(self._typed)}
        self._beside = Beside(header, model.tobytes())

    def _name_unknown(self, film: Film) -> None:
        """Say which rewards are to be left out of a plot and are none."""
        there = film.frames.rewards
        for name in self._config.exclude_combined_reward_components:
            if name not in there:
                self._console.warn(
                    f"exclude_combined_reward_components: no reward '{name}'."
                    f"{nearest(name, there)} Available: {listing(there)}"
                )

    def _hand_over(self, iteration: int, film: Film, task_model: TaskModel, small: bool) -> None:
        if self._busy:
            self._late += 1
        elif self._beside is not None:
            self._beside.offer(*self._job(iteration, film, task_model, small))

    @property
    def _busy(self) -> bool:
        return self._beside is not None and self._beside.busy

    def _wait(self, deadline: float) -> None:
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.05)
            self.collect()

    def _give_up(self, reason: str) -> None:
        self.close()
        self.wanted = False
        self._console.print(f"no pictures while training: {reason}. Training goes on without them")

    def _job(
        self, iteration: int, film: Film, task_model: TaskModel, small: bool
    ) -> tuple[dict[str, Any], bytes]:
        """Header and payload of one episode for the process."""
        config, frames = self._config, film.frames
        longest = round((config.render_length_seconds or _SECONDS) / config.ctrl_dt)
        every = 1.0 / (config.render_fps * config.render_slowdown * config.ctrl_dt)
        shown = film.shown(every, max(1, longest))
        markers = film.markers(shown)
        plots = self._plots(iteration, film, task_model)
        stem = self._run.path.absolute() / "videos" / f"valid-{iteration:08d}"
        suffixes = (".mp4", ".gif") if config.logger.tensorboard else (".mp4",)
        header = {
            "iteration": iteration,
            "small": small,
            "videos": [str(stem.with_suffix(suffix)) for suffix in suffixes],
            "fps": config.render_fps,
            "gif_width": config.render_width_small,
            "overlay": config.render_overlay,
            "markers": config.render_markers,
            "shapes": markers.shapes,
            "plots": [{k: v for k, v in plot.items() if k != "values"} for plot in plots],
        }
        arrays = {
            "qpos": frames.qpos[shown],
            "qvel": frames.qvel[shown],
            "time": frames.time[shown],
            "reward": frames.reward[shown],
            "step": shown + 1,
            "marker_rgba": markers.colours,
            "marker_position": markers.position,
            "marker_quaternion": markers.quaternion,
            "marker_size": markers.size,
            "plot_time": frames.time,
        }
        arrays |= {f"plot_{i}": plot["values"] for i, plot in enumerate(plots)}
        return header, arrays_as_bytes(arrays)

    def _plots(self, iteration: int, film: Film, task_model: TaskModel) -> list[dict[str, Any]]:
        """The plots of an episode: title, path, size, names and values `[S, T]` of each."""
        config, frames = self._config, film.frames
        excluded = config.exclude_combined_reward_components
        together = {name: x for name, x in frames.rewards.items() if name not in excluded}
        sections: dict[str, Any] = {
            "reward": frames.rewards,
            "command_error": frames.command_errors,
        }
        if config.log_all_images:
            sections |= {
                "observation": _observations(frames.obs, task_model.layout.groups),
                "command": frames.commands,
                "action": {"action": frames.action},
                "termination": frames.terminations,
            }
        folder = self._run.path.absolute() / "plots" / f"{iteration:08d}"
        size, factor = config.plot_figsize, config.all_rewards_plot_figsize_multiplier
        drawn = [("rewards", {"total": frames.reward, **together}, [factor * x for x in size])]
        for title, values in sections.items():
            each = pages(elements(values), config.max_values_per_plot)
            number = len(each) > 1
            drawn += [(f"{title}-{i}" if number else title, x, size) for i, x in enumerate(each)]
        return [
            {
                "title": title.replace("_", " "),
                "path": str(folder / f"{title}.png"),
                "size": inches,
                "names": list(series),
                "values": np.stack([np.asarray(x, np.float32) for x in series.values()]),
            }
            for title, series, inches in drawn
        ]


def counted(number: int, what: str) -> str:
    """`1 evaluation`, `2 evaluations`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _observations(
    obs: Mapping[str, np.ndarray], groups: Mapping[str, Mapping[str, int]]
) -> dict[str, np.ndarray]:
    """`group/name` -> `[T, O]` of each observation."""
    parts: dict[str, np.ndarray] = {}
    for group, sizes in groups.items():
        ends = np.cumsum(list(sizes.values()))
        split = np.split(obs[group], ends[:-1], axis=1)
        parts |= {f"{group}/{name}": x for name, x in zip(sizes, split, strict=True)}
    return parts
