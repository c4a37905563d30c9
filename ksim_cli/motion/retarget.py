"""Motions of named points brought onto a robot by inverse kinematics, frame after frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from ksim_cli.config.components import RetargetConfig
from ksim_cli.motion.clip import Clip, with_unit_quaternions
from ksim_cli.motion.ground import lift_onto_ground
from ksim_cli.motion.interpolation import differences
from ksim_cli.motion.inverse_kinematics import Solver, limited_joints
from ksim_cli.motion.points import Frames, Pair
from ksim_cli.physics.names import object_names

_AT_LIMIT = 1e-3
"""How near, rad or m, a joint is to a limit that counts as at it."""


@dataclass(frozen=True)
class Retargeted:
    """A motion of a robot, and how well it follows.

    Attributes:
        clip: the motion.
        distances: `[F, P]` m between each point and where it should be.
        angles: `[F, P]` rad between their orientations; None: none were asked for.
        at_limit: joint -> share of frames in which it is at a limit, of those that ever are.
        lift: m by which the whole was raised so that it stands on the ground.
    """

    clip: Clip
    distances: np.ndarray
    angles: np.ndarray | None
    at_limit: Mapping[str, float]
    lift: float


def retarget(
    model: mujoco.MjModel,
    pairs: Sequence[Pair],
    aim: Frames,
    config: RetargetConfig,
    clip: tuple[str, float],
    on_frame: Callable[[], None] = lambda: None,
) -> Retargeted:
    """The motion of a robot whose points come nearest to where they should be.

    Each frame begins where the one before it ended; the first begins at home, moved and turned
    about the vertical to where the points are.

    Args:
        model: the robot.
        pairs: P of them.
        aim: `[F, P]` where they should be.
        config: weights, and whether the whole is put onto the ground.
        clip: its name, and frames per second.
        on_frame: called after each.
    """
    solver = Solver(model, pairs, config, has_turns=aim.quaternions is not None)
    poses = np.zeros((len(aim.positions), model.nq))
    distances, angles = (np.zeros(aim.positions.shape[:2]) for _ in range(2))
    pose = solver.placed(aim.positions[0])
    for i, positions in enumerate(aim.positions):
        turns = None if aim.quaternions is None else aim.quaternions[i]
        pose = solver.solve(pose, positions, turns, is_first=i == 0)
        poses[i], (distances[i], angles[i]) = pose, solver.errors(pose)
        on_frame()
    lift = lift_onto_ground(model, poses) if config.ground else 0.0
    poses = with_unit_quaternions(poses, model)
    velocities = differences(model, poses, clip[1])
    moved = Clip(clip[0], clip[1], poses, velocities)
    return Retargeted(
        moved, distances, angles if solver.has_turns else None, at_limits(model, poses), lift
    )


def at_limits(model: mujoco.MjModel, poses: np.ndarray) -> dict[str, float]:
    """Joint -> share of poses `[F, nq]` in which it is at a limit; those that ever are."""
    names, shares = object_names(model, "joint"), dict[str, float]()
    for i, at, _ in limited_joints(model, ("hinge", "slide")):
        low, high = model.jnt_range[i]
        near = (poses[:, at] < low + _AT_LIMIT) | (poses[:, at] > high - _AT_LIMIT)
        shares[names[i]] = float(near.mean())
    for i, at, _ in limited_joints(model, ("ball",)):
        angle = 2.0 * np.arccos(np.minimum(np.abs(poses[:, at]), 1.0))
        shares[names[i]] = float((angle > model.jnt_range[i, 1] - _AT_LIMIT).mean())
    return {name: share for name, share in shares.items() if share > 0.0}
