"""The reference motions of a run, kept in its folder: it goes on when the files are gone."""

import dataclasses
import shutil
from pathlib import Path

from ksim_cli.config.components import MotionConfig
from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.io.files import refuse_link
from ksim_cli.io.runs import RUNS, RunFolder, find_run
from ksim_cli.motion.files import write_motion
from ksim_cli.task_model import TaskModel

_SOURCE = ("files", "fps", "joints")
"""Fields of the section that say what is read."""


def keep_motions(run: RunFolder, task_model: TaskModel) -> None:
    """Writes the motions that a run is trained with, fitted to its robot, in place of earlier ones.

    Raises:
        OSError: they cannot be written.
    """
    refuse_link(run.motion)
    if run.motion.exists():
        shutil.rmtree(run.motion)
    if task_model.motions is None:
        return
    run.motion.mkdir(parents=True)
    for i, clips in enumerate(task_model.motions.files):
        write_motion(run.motion / f"{i}.npz", clips, task_model.model)


def kept_motions(config: RunConfig) -> list[Path]:
    """Copies of the motions of the run that is resumed or played; none if others are meant.

    Others are meant where `motion.files`, or how they are read, is not what the run has.
    """
    spec = config.resume or config.checkpoint
    if spec is None or not config.motion.files:
        return []
    run = find_run(spec, RUNS)
    saved = read_config(run.config).get("motion")
    now = dataclasses.asdict(config.motion)
    before = {**dataclasses.asdict(MotionConfig()), **(saved if isinstance(saved, dict) else {})}
    is_same = all(now[name] == before[name] for name in _SOURCE)
    return run.motion_copies(len(config.motion.files)) if is_same else []
