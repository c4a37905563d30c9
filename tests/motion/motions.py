"""Motions of the legged robot, made from sines; and how they lie in files."""

import mujoco
import numpy as np

from ksim_cli.motion.clip import Clip
from ksim_cli.motion.interpolation import differences
from tests.legged import LEGGED

NAMES = ("root", "left_hip", "left_knee", "right_hip", "right_knee")
"""Joints of the legged robot."""


def legged():
    """Its model."""
    return mujoco.MjModel.from_xml_string(LEGGED)


def about_z(angle):
    """`[F, 4]` turns about the vertical by `[F]` rad."""
    half, zero = 0.5 * np.asarray(angle), np.zeros(np.shape(angle))
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def walking(frames=21, fps=50.0, speed=0.5, turn=0.0, model=None):
    """The robot's base moves ahead and turns steadily (m/s, rad/s), its legs swing."""
    model = model or legged()
    time = np.arange(frames) / fps
    qpos = np.zeros((frames, model.nq))
    qpos[:, 0], qpos[:, 2] = speed * time, 0.5
    qpos[:, 3:7] = about_z(turn * time)
    phase = 2.0 * np.pi * np.arange(frames) / (frames - 1)
    qpos[:, 7:] = 0.3 * np.sin(phase[:, None] + np.array([0.0, 0.5, np.pi, 2.0]))
    return Clip("walk", fps, qpos, differences(model, qpos, fps))


def arrays_of(clip, names=NAMES):
    """What a file of a clip holds, but for velocities."""
    return {"qpos": clip.qpos, "fps": clip.fps, "joint_names": np.array(names)}
