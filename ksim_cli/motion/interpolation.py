"""Motions between their frames: positions, orientations and velocities at other times."""

import dataclasses

import mujoco
import numpy as np

from ksim_cli.motion.clip import Clip, quaternion_addresses

_AT_KNOT = 1e-6
"""Share of a frame's time below which a time is the frame's own."""


def slerp(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`[..., 4]` unit quaternions on the shorter arc between two, at constant angular velocity.

    Source: Shoemake 1985, "Animating rotation with quaternion curves".

    Args:
        start: `[..., 4]`, of length 1.
        end: the same.
        share: `[...]` 0 at the start, 1 at the end.
    """
    dot = (start * end).sum(-1)
    end = np.where((dot < 0.0)[..., None], -end, end)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    is_short = sine < 1e-6  # there a straight line is as good, and does not divide by zero
    divisor = np.where(is_short, 1.0, sine)
    first = np.where(is_short, 1.0 - share, np.sin((1.0 - share) * angle) / divisor)
    second = np.where(is_short, share, np.sin(share * angle) / divisor)
    blended = first[..., None] * start + second[..., None] * end
    return blended / np.linalg.norm(blended, axis=-1, keepdims=True)


def differences(model: mujoco.MjModel, qpos: np.ndarray, fps: float) -> np.ndarray:
    """`[F, nv]` velocities at the frames of a motion `[F, nq]`.

    Between two frames a velocity is the one that leads from one to the other; at a frame it is the
    mean of those before and after it.
    """
    between = np.zeros((len(qpos) - 1, model.nv))
    for i, velocity in enumerate(between):
        mujoco.mj_differentiatePos(model, velocity, 1.0 / fps, qpos[i], qpos[i + 1])
    return (np.concatenate([between[:1], between]) + np.concatenate([between, between[-1:]])) / 2.0


def resample(model: mujoco.MjModel, clip: Clip, fps: float) -> Clip:
    """The clip at another rate, from its first frame on.

    Positions and velocities are blended linearly, quaternions by `slerp`; at a time that is a
    frame's it is that frame.
    """
    if fps == clip.fps:
        return clip
    count = int(np.floor(clip.seconds * fps + _AT_KNOT)) + 1
    times = np.arange(count) * (clip.fps / fps)  # in frames of the clip
    nearest = np.round(times)
    times = np.where(np.abs(times - nearest) < _AT_KNOT, nearest, times)
    first = np.minimum(times.astype(int), clip.num_frames - 1)
    second = np.minimum(first + 1, clip.num_frames - 1)
    share = (times - first)[:, None]
    qpos, qvel = ((1.0 - share) * x[first] + share * x[second] for x in (clip.qpos, clip.qvel))
    for address in quaternion_addresses(model):
        part = slice(address, address + 4)
        turned = slerp(clip.qpos[first, part], clip.qpos[second, part], share[:, 0])
        qpos[:, part] = np.where(share == 0.0, clip.qpos[first, part], turned)
    return dataclasses.replace(clip, fps=fps, qpos=qpos, qvel=qvel)
