"""Motions of the legged robot, made from sines; and how they lie in files."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp.motion_term import MotionTerm
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.interpolation import differences
from ksim_cli.motion.kinematics import derived_fields
from ksim_cli.motion.motion_set import make_motion_set
from ksim_cli.physics.engine import View
from ksim_cli.physics.robot import home_pose
from tests.legged import FIELDS, LEGGED, step_of

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


def swaying(model, ctrl_dt, seconds=0.4):
    """Motions of any model: it stands in its home pose, and its joints sway."""
    frames = round(seconds / ctrl_dt) + 1
    qpos = np.repeat(home_pose(model)[None], frames, axis=0)
    joints = [a for a, kind in zip(model.jnt_qposadr, model.jnt_type, strict=True) if kind > 1]
    qpos[:, joints] += 0.1 * np.sin(2.0 * np.pi * np.arange(frames) / (frames - 1))[:, None]
    clip = Clip("sway", 1.0 / ctrl_dt, qpos, differences(model, qpos, 1.0 / ctrl_dt))
    return make_motion_set(model, [clip], ctrl_dt)


def of_motions(registry):
    """Names of the terms of a kind that follow a motion: `tests/mdp/test_motion_term.py` and others
    of their own try them."""
    return {n for n in registry.names() if issubclass(registry.get(n, n), MotionTerm)}


def following(term, clips, loop=True):
    """A term bound to the legged robot that follows some clips, and the robot's model."""
    spec = mujoco.MjSpec.from_string(LEGGED)
    term.edit(spec)
    model = spec.compile()
    motions = make_motion_set(model, clips, 0.02, loop=loop)
    return dataclasses.replace(term, motions=motions).bind(model), model


def on_the_motion(term, model, frame, clip=0, off=None):
    """A step that began at a frame and led the robot exactly to the next one.

    Args:
        term: follows the motion.
        model: its model.
        frame: of the command in force.
        clip: the same.
        off: changes the positions after the step; None: they are the motion's.
    """
    qpos, qvel = term.clips.state(jnp.int32(clip), jnp.int32(frame + 1))
    qpos = np.array(qpos, np.float64)
    if off is not None:
        off(qpos)
    fields = derived_fields(model, qpos[None], np.asarray(qvel)[None], FIELDS, model.opt.timestep)
    view = View({name: jnp.asarray(values[0]) for name, values in fields.items()})
    data = mujoco.MjData(model)
    return step_of(data, {term_command(term): [clip, frame]}, view=view)


def term_command(term):
    """Name of the command that a term reads."""
    return getattr(term, "command", "motion")
