"""Files of motions, which may be a stranger's: reading them runs nothing.

Ours are `.npz`, or HDF5 with arrays of the same names:

    qpos         [F, nq]  m, rad, quaternions w x y z; joint after joint
    fps          []       frames per second
    qvel         [F, nv]  optional: m/s, rad/s; of a free joint, linear in the world's frame and
                          angular in its own, as MuJoCo has it. Absent: differences of `qpos`
    joint_names  [J]      optional: text, the joints in the order of `qpos`. Absent: the model's
    joint_types  [J]      optional: `free`, `ball`, `hinge` or `slide` of each
    starts       [C]      optional: rows at which the motions of a file with several begin

Read as well: the datasets of `ksim collect`, each episode a motion; and CSV, a row per frame: root
x y z, root quaternion x y z w, then the angles of the joints, under a header or not.

What `ksim retarget` reads besides are keypoints, in `.npz` or HDF5:

    points       [F, P, 3]  m in the world
    point_names  [P]        text
    fps          []         frames per second
    quaternions  [F, P, 4]  optional: w x y z, of the points' frames in the world
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli import hdf5, npz
from ksim_cli.errors import UserError
from ksim_cli.motion.clip import MAX_FPS, UNIT_ERROR, WIDTHS, Clip, joint_types
from ksim_cli.motion.points import Frames, Points
from ksim_cli.physics.names import object_names

SUFFIXES = (".npz", ".h5", ".hdf5", ".csv")
MOST_BYTES = 2**28
"""Endings of files that are read, and the largest text among them."""

_ROOT = "root"
_EPISODE = "episode_"


@dataclass(frozen=True)
class RawClip:
    """What a file holds of a motion, of no model in particular.

    Attributes:
        name: where it comes from, for messages.
        fps: frames per second.
        qpos: `[F, P]`.
        qvel: `[F, V]`; None: not given.
        joint_names: the joints in the order of `qpos`; empty: those of the model.
        joint_types: of each; empty: not said.
    """

    name: str
    fps: float
    qpos: np.ndarray
    qvel: np.ndarray | None = None
    joint_names: tuple[str, ...] = ()
    joint_types: tuple[str, ...] = ()


def read_motions(path: Path, fps: float | None = None, joints: Sequence[str] = ()) -> list[RawClip]:
    """The motions of a file or of a dataset's folder.

    Args:
        path: the file or folder.
        fps: frames per second, in place of what the file says; a CSV says nothing.
        joints: names of the columns after the root's, for a CSV that has no header; of another file
            that names no joints, all of them.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    try:
        return _read(path, fps, tuple(joints))
    except ValueError as error:
        raise UserError(f"motion={path}: {error}") from error


def read_points(path: Path, fps: float | None = None) -> Points | None:
    """The keypoints of a file; None: it is none of keypoints.

    Args:
        path: the file.
        fps: frames per second, in place of what the file says.

    Raises:
        UserError: it cannot be read, or its numbers cannot be; it names the first.
    """
    if path.suffix not in (".npz", ".h5", ".hdf5") or not path.is_file():
        return None
    try:
        arrays = _read_arrays(path)
        return _points(path.name, arrays, fps) if "points" in arrays else None
    except ValueError as error:
        raise UserError(f"motion={path}: {error}") from error


def write_motion(path: Path, clips: Sequence[Clip], model: Any) -> None:
    """Write clips of a model as `.npz` or HDF5, whichever the file's name says.

    Args:
        path: the file.
        clips: one at least, all of one rate.
        model: the robot.

    Raises:
        UserError: the name has another ending.
    """
    lengths = [clip.num_frames for clip in clips]
    arrays = {
        "qpos": np.concatenate([clip.qpos for clip in clips]),
        "qvel": np.concatenate([clip.qvel for clip in clips]),
        "fps": np.array(clips[0].fps),
        "starts": np.cumsum(lengths) - lengths,
        "joint_names": np.array(object_names(model, "joint"), str),
        "joint_types": np.array(joint_types(model), str),
    }
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)  # pyright: ignore[reportArgumentType]
    elif path.suffix in (".h5", ".hdf5"):
        hdf5.write_arrays(path, arrays)
    else:
        raise UserError(f"{path}: a motion is written as .npz, .h5 or .hdf5. Name it so")


def _read(path: Path, fps: float | None, joints: tuple[str, ...]) -> list[RawClip]:
    if path.is_dir():
        return _dataset(path / "data" / "main_data.hdf5", fps, joints)
    if not path.is_file():
        raise ValueError("no such file. Name a motion (.npz, .h5, .csv) or a dataset's folder")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"ends in '{path.suffix}', and motions in {', '.join(SUFFIXES)}")
    if path.suffix == ".csv":
        return [_from_csv(path, fps, joints)]
    is_hdf5 = path.suffix != ".npz"
    if is_hdf5 and any(name.startswith(_EPISODE) for name in hdf5.read_names(path)):
        return _dataset(path, fps, joints)
    arrays = _read_arrays(path)
    return _split(_from_arrays(path.name, arrays, fps, joints), arrays)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz` or HDF5 file."""
    return npz.read_arrays(path) if path.suffix == ".npz" else hdf5.read_arrays(path)


def _from_arrays(
    name: str, arrays: Mapping[str, np.ndarray], fps: float | None, joints: tuple[str, ...]
) -> RawClip:
    fps = _rate(arrays, fps)
    qpos = _numbers(arrays, "qpos")
    qvel = _numbers(arrays, "qvel") if "qvel" in arrays else None
    if qvel is not None and len(qvel) != len(qpos):
        raise ValueError(f"its qvel has {len(qvel)} frames, and qpos {len(qpos)}")
    names = joints or _words(arrays, "joint_names")
    types = _words(arrays, "joint_types")
    if types and len(types) != len(names):
        raise ValueError(f"it has {len(names)} joint_names and {len(types)} joint_types")
    if unknown := set(types) - set(WIDTHS):
        raise ValueError(f"its joint_types hold '{min(unknown)}'. Types: {', '.join(WIDTHS)}")
    return RawClip(name, fps, qpos, qvel, names, types)


def _points(name: str, arrays: Mapping[str, np.ndarray], fps: float | None) -> Points:
    fps = _rate(arrays, fps)
    if not 0.0 < fps <= MAX_FPS:
        raise ValueError(f"fps={fps:g}: must be above 0 and at most {MAX_FPS:g}")
    names = _words(arrays, "point_names")
    if not names or len(set(names)) != len(names):
        raise ValueError("it needs point_names: the points' names, each once")
    points = _array(arrays, "points", (None, len(names), 3))
    _refuse_bad(points, ~np.isfinite(points), "points", names)
    if len(points) < 2:
        raise ValueError(f"{len(points)} frame(s) of points; a motion has at least 2")
    if "quaternions" not in arrays:
        return Points(name, fps, names, Frames(points))
    quaternions = _array(arrays, "quaternions", (len(points), len(names), 4))
    lengths = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    _refuse_bad(quaternions, ~(np.abs(lengths - 1.0) <= UNIT_ERROR), "quaternions", names)
    return Points(name, fps, names, Frames(points, quaternions / lengths))


def _array(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...]
) -> np.ndarray:
    """An array of numbers of a shape, whose first length may be any."""
    values = arrays[name]
    fits = values.ndim == len(shape) and values.shape[1:] == shape[1:]
    if not fits or shape[0] not in (None, len(values)) or values.dtype.kind not in "fiu":
        wanted = ", ".join("F" if size is None else str(size) for size in shape)
        raise ValueError(
            f"its {name} is {values.dtype} of shape {list(values.shape)}, not [{wanted}]:"
            f" frames, the {shape[1]} of point_names, and {shape[2]} numbers"
        )
    return values.astype(np.float64)


def _refuse_bad(values: np.ndarray, bad: np.ndarray, what: str, names: Sequence[str]) -> None:
    if bad.any():
        frame, point, _ = np.argwhere(bad)[0]
        needed = "finite" if what == "points" else "of length 1"
        raise ValueError(
            f"{what} of '{names[point]}' are {values[frame, point].tolist()} in frame {frame}: must"
            f" be {needed}"
        )


def _split(raw: RawClip, arrays: Mapping[str, np.ndarray]) -> list[RawClip]:
    """The motions of a file: one, unless it says where others start."""
    if "starts" not in arrays:
        return [raw]
    starts = arrays["starts"]
    ends = [*starts[1:].tolist(), len(raw.qpos)] if starts.ndim == 1 and starts.size else []
    if (
        not ends
        or starts.dtype.kind not in "iu"
        or starts[0]
        or not (np.diff([0, *ends]) > 0).all()
    ):
        raise ValueError(f"its starts are {starts.tolist()}: rows that increase from 0 are needed")
    if len(ends) == 1:
        return [raw]
    return [
        replace(
            raw,
            name=f"{raw.name}/{i}",
            qpos=raw.qpos[start:end],
            qvel=None if raw.qvel is None else raw.qvel[start:end],
        )
        for i, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True))
    ]


def _dataset(path: Path, fps: float | None, joints: tuple[str, ...]) -> list[RawClip]:
    """The episodes of a dataset of `ksim collect`, or of any with `infos/qpos`."""
    if not path.is_file():
        raise ValueError(f"holds no {path.parent.name}/{path.name}: no dataset of ksim collect")
    facts = _metadata(path.with_name("metadata.json"))
    if fps is None:
        if not facts.get("ctrl_dt"):
            raise ValueError("its metadata.json has no ctrl_dt. Type motion.fps=")
        fps = 1.0 / _number(np.array(facts["ctrl_dt"]))
    words = {key: np.array(facts[key]) for key in ("joint_names", "joint_types") if key in facts}
    groups = [name for name in hdf5.read_names(path) if name.startswith(_EPISODE)]
    clips: list[RawClip] = []
    for group in sorted(groups, key=lambda name: (len(name), name)):
        arrays = hdf5.read_arrays(path, group)
        kept = {
            name: arrays[f"infos/{name}"] for name in ("qpos", "qvel") if f"infos/{name}" in arrays
        }
        clip = _from_arrays(f"{path.parent.parent.name}/{group}", {**kept, **words}, fps, joints)
        if len(clip.qpos) > 1:  # a single step is no motion
            clips.append(clip)
    if not clips:
        raise ValueError("none of its episodes has two steps")
    return clips


def _metadata(path: Path) -> Mapping[str, Any]:
    """What `ksim collect` noted beside a dataset; nothing where there is no such note."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return {}
    try:
        facts = json.loads(path.read_bytes())["ksim"]
    except (KeyError, TypeError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _from_csv(path: Path, fps: float | None, joints: tuple[str, ...]) -> RawClip:
    if fps is None:
        raise ValueError("a CSV says nothing of time. Type motion.fps=, its frames per second")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES:,} bytes")
    lines = path.read_text("utf-8").splitlines()
    if not lines:
        raise ValueError("it is empty")
    header = lines[0].split(",") if not _is_row(lines[0]) else []
    names = joints or tuple(name.strip() for name in header[7:])
    values = np.loadtxt(lines[bool(header) :], delimiter=",", ndmin=2, comments=None)
    if names and values.shape[1] != 7 + len(names):
        raise ValueError(
            f"{values.shape[1]} columns, and 7 of the root and {len(names)} joints are needed"
        )
    if values.shape[1] < 7:
        raise ValueError(f"{values.shape[1]} columns: the root's position and quaternion have 7")
    w_first = [0, 1, 2, 6, 3, 4, 5, *range(7, values.shape[1])]
    named = (_ROOT, *names) if names else ()
    types = ("free", *["hinge"] * len(names)) if names else ()
    return RawClip(path.name, fps, values[:, w_first], None, named, types)


def _rate(arrays: Mapping[str, np.ndarray], fps: float | None) -> float:
    """Frames per second: what was typed, else what the file says."""
    if fps is not None:
        return fps
    if "fps" not in arrays:
        raise ValueError("it has no fps. Type motion.fps=, its frames per second")
    return _number(arrays["fps"])


def _is_row(line: str) -> bool:
    try:
        [float(value) for value in line.split(",")]
    except ValueError:
        return False
    return True


def _numbers(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"it has no {name}. It has: {', '.join(sorted(arrays)) or '(nothing)'}")
    values = arrays[name]
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise ValueError(f"its {name} is {values.dtype} of shape {list(values.shape)}, not [F, n]")
    return values.astype(np.float64)


def _number(value: np.ndarray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise ValueError(f"its fps is {value.dtype} of shape {list(value.shape)}, not a number")
    return float(value.reshape(())[()])


def _words(arrays: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
    values = arrays.get(name)
    if values is None:
        return ()
    if values.ndim != 1 or values.dtype.kind not in "US":
        raise ValueError(
            f"its {name} is {values.dtype} of shape {list(values.shape)}, not [J] text"
        )
    return tuple(v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values.tolist())
