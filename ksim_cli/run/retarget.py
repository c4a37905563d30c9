"""`ksim retarget`: keypoints, or another robot's motion, brought onto the task's robot."""

import os
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, error_context
from ksim_cli.io.console import Console, open_console
from ksim_cli.io.files import refuse_link
from ksim_cli.load_task import make_task
from ksim_cli.motion.files import read_points, write_motion
from ksim_cli.motion.loading import load_clips
from ksim_cli.motion.points import (
    Pair,
    Points,
    aimed,
    find_scale,
    match,
    points_of,
    unmatched,
)
from ksim_cli.motion.retarget import Retargeted
from ksim_cli.motion.retarget import retarget as solve
from ksim_cli.physics.model import load_spec
from ksim_cli.physics.robot import compiled
from ksim_cli.run import signals
from ksim_cli.task_model import compile_robot

SUFFIXES = (".npz", ".h5", ".hdf5")
"""Endings of files that are written."""

POINT_COLUMNS = ("point", "follows", "mean m", "largest m")
TURN_COLUMNS = ("mean rad", "largest rad")
LIMIT_COLUMNS = ("joint at its limit", "share of frames")


def retarget(config: RunConfig) -> None:
    """Writes the motion `out`, and says what of the points' way it could not follow.

    Raises:
        UserError: something typed or read cannot be; the message says what to type.
    """
    out = _out(config)
    console = open_console(None)
    motions, notes = _read(config)
    model = compile_robot(make_task(config))
    for note in notes:
        console.print(note)
    settings = config.retarget
    pairs = match(model, motions[0], settings.points, settings.weights)
    for note in unmatched(model, motions[0], pairs):
        console.print(note)
    scale = _scale(config, model, pairs, motions[0], console)
    watch, found = signals.current(), list[Retargeted]()
    frames = sum(len(each.frames.positions) for each in motions)
    with console.status(f"retargeting {frames:,} frames"), watch.deferring("leaving without it"):
        for motion in motions:
            aim = aimed(model, pairs, motion, scale, settings.offset)
            named = f"{out.stem}/{len(found)}", motion.fps
            found.append(solve(model, pairs, aim, settings, named, watch.check))
    _write(out, found, model)
    _show(console, found, pairs, motions[0])
    seconds = sum(each.clip.seconds for each in found)
    console.print(f"written: {out}, {seconds:.1f} s in {len(found)} motion(s)")
    given = [f"task.model={config.task.model}"] if config.task.model else []
    typed = [f"task={config.task.name}", *given, f"motion={out}"]
    console.print(f"to look at it: ksim view {shlex.join(typed)}")


def _out(config: RunConfig) -> Path:
    """The file to write.

    Raises:
        UserError: none is named, it is there already, or cannot be there.
    """
    if config.out is None:
        raise UserError("out=: the file to write is not given. Type out=clip.npz")
    out = Path(config.out).expanduser()
    where = f"out={config.out}"
    if out.suffix not in SUFFIXES:
        raise UserError(f"{where}: a motion is written as {', '.join(SUFFIXES)}. Name it so")
    refuse_link(out)
    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UserError(f"{where}: {what}. Name a file in a folder that is there")
    if out.exists() and not config.retarget.overwrite:
        raise UserError(
            f"{where}: is there already. Choose another name, or type retarget.overwrite=true"
        )
    return out


def _read(config: RunConfig) -> tuple[list[Points], list[str]]:
    """The motions of the points, and what there is to say of them.

    Raises:
        UserError: not one file, or one that cannot be read or is of something else.
    """
    files = config.motion.files
    if len(files) != 1:
        raise UserError(
            f"motion={files}: ksim retarget takes one file. Type motion=FILE: keypoints, or with"
            " motion_model= another robot's motion"
        )
    path = Path(files[0])
    keypoints = read_points(path, config.motion.fps)
    if config.motion_model is None:
        if keypoints is None and path.exists():
            raise UserError(
                f"motion={path}: holds no points. Type motion_model=FILE.xml, the robot that it is"
                " of; or see docs/motion.md for files of keypoints"
            )
        if keypoints is None:
            raise UserError(f"motion={path}: no such file. Name keypoints, or a robot's motion")
        return [keypoints], []
    if keypoints is not None:
        raise UserError(
            f"motion_model={config.motion_model}: {path} holds keypoints, which are of no robot."
            " Leave it out"
        )
    with error_context("motion_model"):
        other = compiled(load_spec(Path(config.motion_model), "motion_model"))
    clips = load_clips(path, other, config.motion.fps, config.motion.joints)
    notes = [f"motion {clip.name}: {note}" for clip in clips for note in clip.notes]
    return [points_of(other, clip) for clip in clips], notes


def _scale(
    config: RunConfig,
    model: mujoco.MjModel,
    pairs: Sequence[Pair],
    points: Points,
    console: Console,
) -> float:
    """What positions are scaled by: as was typed, else found."""
    if config.retarget.scale is not None:
        return config.retarget.scale
    scale = find_scale(model, pairs, points)
    if scale is None:
        console.warn(
            "scale 1: of the points no two keep their distance, so that sizes cannot be compared."
            " Type retarget.scale= if the robot is of another size"
        )
        return 1.0
    console.print(f"scale {scale:.4g}, found from the sizes (retarget.scale= for another)")
    return scale


def _write(out: Path, found: Sequence[Retargeted], model: mujoco.MjModel) -> None:
    """Write in one step: a crash leaves the old file or the new."""
    temporary = out.with_name(f".{out.stem}.{secrets.token_hex(4)}{out.suffix}")
    try:
        write_motion(temporary, [each.clip for each in found], model)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _show(
    console: Console, found: Sequence[Retargeted], pairs: Sequence[Pair], points: Points
) -> None:
    """Tables of what remains, and of joints that are at their limits."""
    distances = np.concatenate([each.distances for each in found])
    columns = [distances.mean(0), distances.max(0)]
    if found[0].angles is not None:
        angles = np.concatenate([each.angles for each in found if each.angles is not None])
        columns += [angles.mean(0), angles.max(0)]
    rows: list[list[Any]] = [
        [pair.marker.name, points.names[pair.source], *(_rounded(column[i]) for column in columns)]
        for i, pair in enumerate(pairs)
    ]
    heads = POINT_COLUMNS + (TURN_COLUMNS if len(columns) > 2 else ())
    console.table("what remains from where the points should be", heads, rows)
    frames = [each.clip.num_frames for each in found]
    names = dict.fromkeys(name for each in found for name in each.at_limit)
    shares = {
        name: np.average([each.at_limit.get(name, 0.0) for each in found], weights=frames)
        for name in names
    }
    if shares:
        limits = [[name, f"{share:.0%}"] for name, share in shares.items()]
        console.table("joints", LIMIT_COLUMNS, limits)
    if any(each.lift for each in found):
        lifts = ", ".join(f"{each.lift:+.3f}" for each in found)
        console.print(f"put onto the ground: moved up by {lifts} m (retarget.ground=false: not)")


def _rounded(error: float) -> float:
    """To a millimetre, or a thousandth of a radian."""
    return round(float(error), 3)
