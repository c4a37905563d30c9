"""Reference motions as recorded episodes: `ksim view motion=FILE` plays them, and nobody acts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.config.overrides import SHOWN_FIRST
from ksim_cli.config.schema import RunConfig
from ksim_cli.io.recordings import Recording, read_recording
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.interpolation import resample
from ksim_cli.task_model import TaskModel


@dataclass(frozen=True)
class MotionRecording(Recording):
    """Clips in place of a dataset's episodes.

    Attributes:
        clips: at the control rate.
        action_size: elements of an action; here they are zeros.
    """

    clips: tuple[Clip, ...] = ()
    action_size: int = 0

    def episode(self, index: int) -> dict[str, Any]:
        """See `Recording`: the positions stand for what is observed, too."""
        clip = self.clips[index]
        frames = clip.num_frames
        return {
            "rewards": np.zeros(frames),
            "actions": np.zeros((frames, self.action_size)),
            "observations": clip.qpos,
            "infos/qpos": clip.qpos,
            "infos/qvel": clip.qvel,
        }


def plays_motion(config: RunConfig) -> bool:
    """Whether what is viewed is the motion itself: one is named, and nothing that acts."""
    shown = (getattr(config, key) for key in SHOWN_FIRST)
    return bool(config.motion.files) and all(each is None for each in shown)


def recording_of(config: RunConfig, task_model: TaskModel) -> Recording | None:
    """What `dataset=`, or `motion=` alone, shows; None: something acts.

    Raises:
        UserError: the dataset cannot be read.
    """
    if config.dataset is not None:
        return read_recording(Path(config.dataset))
    if not plays_motion(config) or task_model.motions is None:
        return None
    rate = 1.0 / config.ctrl_dt
    clips = tuple(resample(task_model.model, clip, rate) for clip in task_model.motions.clips)
    return MotionRecording(
        path=Path(config.motion.files[0]),
        task=config.task.name,
        ctrl_dt=config.ctrl_dt,
        count=len(clips),
        clips=clips,
        action_size=task_model.action_size,
    )
