"""From the files of motions to clips of a model."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.motion.clip import (
    WIDTHS,
    Clip,
    beyond_range,
    joint_types,
    refuse_unsound,
    with_unit_quaternions,
)
from ksim_cli.motion.files import RawClip, read_motions
from ksim_cli.motion.interpolation import differences
from ksim_cli.physics.names import object_names
from ksim_cli.physics.robot import home_pose


def load_clips(
    path: str | Path, model: mujoco.MjModel, fps: float | None = None, joints: Sequence[str] = ()
) -> list[Clip]:
    """The motions of a file, or of a dataset's folder, as motions of a model.

    Args:
        path: the file or folder; see `ksim_cli.motion.files`.
        model: the robot.
        fps: frames per second, in place of what the file says.
        joints: names of joints in the file's order, where it names none.

    Raises:
        UserError: it cannot be read, is of another robot, or is not sound.
    """
    return [fit(raw, model) for raw in read_motions(Path(path), fps, joints)]


def load_clip(
    path: str | Path, model: mujoco.MjModel, fps: float | None = None, joints: Sequence[str] = ()
) -> Clip:
    """The one motion of a file; see `load_clips`.

    Raises:
        UserError: as `load_clips`; the file holds several.
    """
    clips = load_clips(path, model, fps, joints)
    if len(clips) > 1:
        raise UserError(f"motion={path}: {len(clips)} motions, and one is needed here")
    return clips[0]


@dataclass(frozen=True)
class _Columns:
    """Where a joint's elements begin: in `qpos` and in `qvel`; and its type, if it is known."""

    qpos: int
    qvel: int
    kind: str


def fit(raw: RawClip, model: mujoco.MjModel) -> Clip:
    """What a file holds as a motion of a model: joints are matched by name.

    A joint of the model that the file lacks is held at the home pose; one of the file's that the
    model lacks is left out; both are noted. The only free joint of the one is the only free joint
    of the other, whatever they are called.

    Raises:
        UserError: the sizes do not fit, the base's motion or all joints are missing, or a number
            cannot be.
    """
    names, types = object_names(model, "joint"), joint_types(model)
    columns = _columns(raw, names, types)
    home = home_pose(model)
    qpos = np.repeat(home[None], len(raw.qpos), axis=0)
    qvel = np.zeros((len(raw.qpos), model.nv))
    missing: list[str] = []
    for i, (name, kind) in enumerate(zip(names, types, strict=True)):
        found = columns.pop(_counterpart(name, kind, types, columns), None)
        if found is None:
            missing.append(name)
            continue
        if found.kind and WIDTHS[found.kind] != WIDTHS[kind]:
            raise UserError(
                f"motion={raw.name}: joint '{name}' is a {found.kind} joint in it, and a {kind} in"
                " the model"
            )
        at, dof = int(model.jnt_qposadr[i]), int(model.jnt_dofadr[i])
        width, dofs = WIDTHS[kind]
        qpos[:, at : at + width] = raw.qpos[:, found.qpos : found.qpos + width]
        if raw.qvel is not None:
            qvel[:, dof : dof + dofs] = raw.qvel[:, found.qvel : found.qvel + dofs]
    _refuse_another_robot(raw, model, missing)
    clip = Clip(raw.name, raw.fps, qpos, qvel)
    refuse_unsound(clip, model)
    qpos = with_unit_quaternions(qpos, model)
    if raw.qvel is None:
        qvel = differences(model, qpos, raw.fps)
    beyond = beyond_range(qpos, model)
    notes = tuple(_notes(missing, list(columns), beyond))
    return dataclasses.replace(clip, qpos=qpos, qvel=qvel, beyond=beyond, notes=notes)


def _counterpart(name: str, kind: str, types: Sequence[str], columns: dict[str, _Columns]) -> str:
    """Name in a file of a model's joint; its own where there is no other."""
    free = [each for each, at in columns.items() if at.kind == "free"]
    only = kind == "free" and list(types).count("free") == 1 and len(free) == 1
    return free[0] if only and name not in columns else name


def _columns(raw: RawClip, names: Sequence[str], types: Sequence[str]) -> dict[str, _Columns]:
    """Joint of the file -> where its elements begin.

    Raises:
        UserError: the sizes do not fit.
    """
    given = raw.joint_names or tuple(names)
    if len(set(given)) != len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise UserError(f"motion={raw.name}: joint '{twice}' is named twice")
    kinds = list(raw.joint_types) or _guessed(raw, given, dict(zip(names, types, strict=True)))
    columns: dict[str, _Columns] = {}
    at = dof = 0
    for name, kind in zip(given, kinds, strict=True):
        columns[name] = _Columns(at, dof, kind)
        at, dof = at + WIDTHS[kind][0], dof + WIDTHS[kind][1]
    for what, values, needed in (("qpos", raw.qpos, at), ("qvel", raw.qvel, dof)):
        if values is not None and values.shape[1] != needed:
            whose = "its" if raw.joint_names else "the model's"
            raise UserError(
                f"motion={raw.name}: {values.shape[1]} columns of {what}, and {whose} {len(given)}"
                f" joints have {needed}. It is of another robot, or joint_names is wrong"
            )
    return columns


def _guessed(raw: RawClip, given: Sequence[str], known: dict[str, str]) -> list[str]:
    """Types of a file's joints: the model's; of others hinges, but a free one that comes first."""
    kinds = [known.get(name, "hinge") for name in given]
    lacks = raw.qpos.shape[1] - sum(WIDTHS[kind][0] for kind in kinds)
    if given and given[0] not in known and lacks == 6:
        kinds[0] = "free"
    return kinds


def _refuse_another_robot(raw: RawClip, model: mujoco.MjModel, missing: Sequence[str]) -> None:
    names, types = object_names(model, "joint"), joint_types(model)
    absent = [name for name, kind in zip(names, types, strict=True) if kind == "free"]
    absent = [name for name in absent if name in missing]
    scalar = [name for name, kind in zip(names, types, strict=True) if WIDTHS[kind][0] == 1]
    if scalar and all(name in missing for name in scalar):
        absent = scalar
    if absent:
        raise UserError(
            f"motion={raw.name}: has no motion of joint '{absent[0]}'."
            f"{nearest(absent[0], raw.joint_names)} Its joints: {listing(raw.joint_names)}."
            " A motion of another robot is brought onto this one by ksim retarget"
        )


def _notes(
    missing: Sequence[str], surplus: Sequence[str], beyond: dict[str, float]
) -> Iterator[str]:
    if missing:
        yield f"not in it, held at home: {listing(missing)}"
    if surplus:
        yield f"not in the model, left out: {listing(surplus)}"
    if beyond:
        each = (f"{name} by {excess:.3g}" for name, excess in beyond.items())
        yield f"beyond the joints' ranges (rad or m): {', '.join(each)}"
