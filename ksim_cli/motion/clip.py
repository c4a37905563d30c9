"""A motion of one robot: its state at regular times, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.names import object_names

WIDTHS = {"free": (7, 6), "ball": (4, 3), "slide": (1, 1), "hinge": (1, 1)}
"""Type of a joint -> its elements of `qpos` and of `qvel`, in the order of `mjtJoint`."""

MAX_FPS = 1e4
LARGEST = 1e6
"""Frames per second, and positions and velocities, beyond which a file is taken for a mistake."""

UNIT_ERROR = 0.1
_ROUNDING = 1e-6
_TOLERANCE = 1e-3
"""By how much the length of a quaternion may differ from 1, by how much it is left as it is, and by
how much (rad or m) a joint may be beyond its range unsaid."""


@dataclass(frozen=True)
class Clip:
    """A motion of one model.

    Attributes:
        name: where it comes from, for messages.
        fps: frames per second.
        qpos: `[F, nq]` m, rad and unit quaternions w x y z, in the model's order.
        qvel: `[F, nv]` as MuJoCo has it: of a free joint m/s in the world, rad/s in its own frame.
        beyond: joint -> by how much, rad or m, it is beyond its range at most; those that are.
        notes: what was decided where the file leaves a choice, a sentence each.
    """

    name: str
    fps: float
    qpos: np.ndarray
    qvel: np.ndarray
    beyond: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.qpos)

    @property
    def seconds(self) -> float:
        """Time from the first frame to the last."""
        return (self.num_frames - 1) / self.fps


def joint_types(model: mujoco.MjModel) -> list[str]:
    """`free`, `ball`, `slide` or `hinge` of every joint."""
    return [list(WIDTHS)[kind] for kind in model.jnt_type]


def quaternion_addresses(model: mujoco.MjModel) -> list[int]:
    """Addresses in `qpos` at which a quaternion begins."""
    starts = {"free": 3, "ball": 0}
    each = zip(joint_types(model), model.jnt_qposadr.tolist(), strict=True)
    return [address + starts[kind] for kind, address in each if kind in starts]


def element_names(model: mujoco.MjModel, velocities: bool = False) -> list[str]:
    """The joint that each element of `qpos`, or of `qvel`, is of."""
    names = object_names(model, "joint")
    widths = [WIDTHS[kind][velocities] for kind in joint_types(model)]
    return [name for name, width in zip(names, widths, strict=True) for _ in range(width)]


def refuse_unsound(clip: Clip, model: mujoco.MjModel) -> None:
    """Refuses what no robot can do.

    Raises:
        UserError: a time step, a number or a quaternion that cannot be; it names the first.
    """
    where = f"motion={clip.name}"
    if not 0.0 < clip.fps <= MAX_FPS:
        raise UserError(f"{where}: fps={clip.fps:g}: must be above 0 and at most {MAX_FPS:g}")
    if clip.num_frames < 2:
        raise UserError(f"{where}: {clip.num_frames} frame(s); a motion has at least 2")
    for what, values in (("qpos", clip.qpos), ("qvel", clip.qvel)):
        bad = ~(np.abs(values) <= LARGEST)
        if bad.any():
            frame, element = np.argwhere(bad)[0]
            joint = element_names(model, what == "qvel")[element]
            raise UserError(
                f"{where}: {what} of joint '{joint}' is {values[frame, element]:g} in frame"
                f" {frame}: must be finite and at most {LARGEST:g}"
            )
    for address in quaternion_addresses(model):
        lengths = np.linalg.norm(clip.qpos[:, address : address + 4], axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1.0) > UNIT_ERROR)
        if wrong.size:
            raise UserError(
                f"{where}: the quaternion of joint '{element_names(model)[address]}' has length"
                f" {lengths[wrong[0]]:.3g} in frame {wrong[0]}: must be 1"
            )


def with_unit_quaternions(qpos: np.ndarray, model: mujoco.MjModel) -> np.ndarray:
    """`[F, nq]` positions whose quaternions have length 1, none the negative of the one before."""
    qpos = np.array(qpos, np.float64)
    for address in quaternion_addresses(model):
        part = qpos[:, address : address + 4]
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        part /= np.where(np.abs(lengths - 1.0) < _ROUNDING, 1.0, lengths)
        flips = np.cumprod(np.where((part[1:] * part[:-1]).sum(1) < 0.0, -1.0, 1.0))
        part[1:] *= flips[:, None]
    return qpos


def beyond_range(qpos: np.ndarray, model: mujoco.MjModel) -> dict[str, float]:
    """Hinge or slide joint -> by how much, rad or m, a motion is beyond its range at most."""
    found: dict[str, float] = {}
    for i, (name, kind) in enumerate(
        zip(object_names(model, "joint"), joint_types(model), strict=True)
    ):
        if WIDTHS[kind][0] == 1 and model.jnt_limited[i]:
            values, (low, high) = qpos[:, model.jnt_qposadr[i]], model.jnt_range[i]
            excess = float(np.maximum(low - values, values - high).max())
            if excess > _TOLERANCE:
                found[name] = excess
    return found
