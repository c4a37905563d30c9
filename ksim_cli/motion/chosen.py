"""The motions that a configuration chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco

from ksim_cli.config.components import MotionConfig
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.loading import load_clips
from ksim_cli.motion.motion_set import MotionSet, make_motion_set


@dataclass(frozen=True)
class Motions:
    """The clips of a run, file by file, and as arrays.

    Attributes:
        files: the clips of each file at their own rates, in the order of `motion.files`.
        arrays: all of them at the control rate.
        are_copies: whether they were read from a run's copies.
    """

    files: tuple[tuple[Clip, ...], ...]
    arrays: MotionSet
    are_copies: bool

    @property
    def clips(self) -> list[Clip]:
        """All of them."""
        return [clip for clips in self.files for clip in clips]

    @property
    def notes(self) -> list[str]:
        """What there is to say of them, a line each."""
        return [f"motion {clip.name}: {note}" for clip in self.clips for note in clip.notes]


def load_motions(
    config: MotionConfig, model: mujoco.MjModel, ctrl_dt: float, copies: Sequence[Path] = ()
) -> Motions | None:
    """The motions that a configuration names, for a robot; None: it names none.

    Args:
        config: the section `motion`.
        model: the robot.
        ctrl_dt: s between two frames of the arrays.
        copies: read in place of the files, one for each; empty: there are none.

    Raises:
        UserError: one cannot be read, or is of another robot.
    """
    if not config.files:
        return None
    if copies:
        read = [load_clips(path, model) for path in copies]
    else:
        read = [load_clips(path, model, config.fps, config.joints) for path in config.files]
    clips = [clip for each in read for clip in each]
    weights = _weights(config.weights, read)
    arrays = make_motion_set(model, clips, ctrl_dt, weights, config.loop)
    return Motions(tuple(map(tuple, read)), arrays, are_copies=bool(copies))


def _weights(given: Sequence[float], read: Sequence[Sequence[Clip]]) -> list[float]:
    """Weight of each clip: its file's, shared among the file's clips by their lengths."""
    weights: list[float] = []
    for weight, clips in zip(given, read, strict=False):
        total = sum(clip.seconds for clip in clips)
        weights += [weight * clip.seconds / total for clip in clips]
    return weights
