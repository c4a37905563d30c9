"""Named points that move, and which points of a robot they mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.motion.clip import WIDTHS, Clip, joint_types
from ksim_cli.physics.names import object_names

_SAMPLES = 16
_RIGID = 1e-4
_STEADY = 0.05
"""Random poses by which it is found which points of a robot keep their distance; the share of it by
which it may change there, and least m of one; the same share in what is retargeted."""


@dataclass(frozen=True)
class Frames:
    """Where points are, and how they are turned.

    Attributes:
        positions: `[..., P, 3]` m in the world.
        quaternions: `[..., P, 4]` w x y z, of their frames in the world; None: not known.
    """

    positions: np.ndarray
    quaternions: np.ndarray | None = None


@dataclass(frozen=True)
class Points:
    """Points that move.

    Attributes:
        name: where they come from, for messages.
        fps: frames per second.
        names: `[P]` of the points.
        frames: `[F, P]` of them.
        rest: `[P]` of them in the reference pose of the robot that they are of; None: of no robot.
    """

    name: str
    fps: float
    names: tuple[str, ...]
    frames: Frames
    rest: Frames | None = None


@dataclass(frozen=True)
class Marker:
    """A body or a site of a model.

    Attributes:
        name: its name.
        is_site: whether it is a site.
        index: of the body or site.
        body: of the body it lies on.
    """

    name: str
    is_site: bool
    index: int
    body: int


@dataclass(frozen=True)
class Pair:
    """A point of the robot, and the one that it follows.

    Attributes:
        marker: the robot's.
        source: index of the other.
        weight: of its distance squared.
    """

    marker: Marker
    source: int
    weight: float = 1.0


def markers(model: mujoco.MjModel) -> dict[str, Marker]:
    """Name -> body or site of a model; a site comes before a body of its name."""
    bodies = (Marker(n, False, i, i) for i, n in enumerate(object_names(model, "body")) if i)
    names, on = object_names(model, "site"), model.site_bodyid
    sites = (Marker(name, True, i, int(on[i])) for i, name in enumerate(names))
    return {each.name: each for each in (*bodies, *sites) if each.name}


def frames_of(model: mujoco.MjModel, chosen: Sequence[Marker], poses: np.ndarray) -> Frames:
    """`[F, P]` frames of bodies and sites in poses `[F, nq]`."""
    data = mujoco.MjData(model)
    positions = np.zeros((len(poses), len(chosen), 3))
    quaternions = np.zeros((len(poses), len(chosen), 4))
    for i, pose in enumerate(poses):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        positions[i], quaternions[i] = frames_now(data, chosen)
    return Frames(positions, quaternions)


def frames_now(data: mujoco.MjData, chosen: Sequence[Marker]) -> tuple[np.ndarray, np.ndarray]:
    """`[P, 3]` positions and `[P, 4]` quaternions of bodies and sites, as `data` has them."""
    quaternions = np.zeros((len(chosen), 4))
    for i, each in enumerate(chosen):
        if each.is_site:
            mujoco.mju_mat2Quat(quaternions[i], data.site_xmat[each.index])
        else:
            quaternions[i] = data.xquat[each.index]
    positions = [(data.site_xpos if each.is_site else data.xpos)[each.index] for each in chosen]
    return np.array(positions), quaternions


def points_of(model: mujoco.MjModel, clip: Clip) -> Points:
    """Every body and site of a robot that moves."""
    known = markers(model)
    chosen = tuple(known.values())
    frames = frames_of(model, chosen, clip.qpos)
    rest = frames_of(model, chosen, model.qpos0[None])
    assert rest.quaternions is not None
    still = Frames(rest.positions[0], rest.quaternions[0])
    return Points(clip.name, clip.fps, tuple(known), frames, still)


def match(
    model: mujoco.MjModel,
    points: Points,
    listed: Mapping[str, str | None],
    weights: Mapping[str, float],
) -> list[Pair]:
    """Which point each body and site of a robot follows: those of the same name, and those listed.

    Args:
        model: the robot.
        points: what is followed.
        listed: body or site -> point; None: it follows none.
        weights: body or site -> weight; 1 for the others.

    Raises:
        UserError: a name that there is not, a weight that cannot be, or no pair at all.
    """
    known = markers(model)
    chosen: dict[str, str | None] = {
        name: name
        for name, each in known.items()
        if name in points.names and model.body_weldid[each.body]
    }
    for name, source in listed.items():
        _refuse_unknown(f"retarget.points.{name}", name, known, "body or site", "the model")
        if source is not None:
            where = f"retarget.points.{name}={source}"
            _refuse_unknown(where, source, points.names, "point", points.name)
    chosen |= listed
    pairs = {name: source for name, source in chosen.items() if source is not None}
    if not pairs:
        raise UserError(
            f"motion={points.name}: none of its points has the name of a body or site of the robot."
            f" Type retarget.points={{OURS: ITS, ...}}\n  ours: {listing(known)}"
            f"\n  its: {listing(points.names)}"
        )
    for name, weight in weights.items():
        _refuse_unknown(f"retarget.weights.{name}", name, pairs, "point", "those that are followed")
        if not 0.0 <= weight < np.inf:
            raise UserError(f"retarget.weights.{name}={weight:g}: must be at least 0 and finite")
    return [
        Pair(known[name], points.names.index(source), weights.get(name, 1.0))
        for name, source in pairs.items()
    ]


def _refuse_unknown(
    where: str, name: str, names: Sequence[str] | Mapping[str, object], what: str, of: str
) -> None:
    if name not in names:
        raise UserError(
            f"{where}: no {what} '{name}' in {of}.{nearest(name, names)}"
            f" Available: {listing(names)}"
        )


def unmatched(model: mujoco.MjModel, points: Points, pairs: Sequence[Pair]) -> Iterator[str]:
    """What follows nothing, and what nothing follows, a line each."""
    ours = markers(model).keys() - {pair.marker.name for pair in pairs}
    its = set(points.names) - {points.names[pair.source] for pair in pairs}
    if ours:
        yield f"of the robot, following nothing: {listing(ours)}"
    if its:
        yield f"of {points.name}, followed by nothing: {listing(its)}"


def find_scale(model: mujoco.MjModel, pairs: Sequence[Pair], points: Points) -> float | None:
    """How many times as large as what it follows a robot is.

    By the distances between points that keep them, whatever the pose: the median of their ratios,
    which a point that lies elsewhere does not move. Where there are none, by all distances in both
    robots' reference poses.

    Returns:
        The ratio; None: it follows no robot, and no two points keep their distance.
    """
    chosen = [pair.marker for pair in pairs]
    source = [pair.source for pair in pairs]
    ours = _distances(frames_of(model, chosen, _random_poses(model)).positions)
    its = _distances(points.frames.positions[:: max(1, len(points.frames.positions) // 64), source])
    keeps = np.triu((np.std(ours, 0) <= _RIGID * ours.mean(0)) & (its.mean(0) > _RIGID), 1)
    keeps &= np.std(its, 0) <= _STEADY * its.mean(0)
    keeps &= ours.mean(0) > _RIGID
    if keeps.any():
        return float(np.median(ours.mean(0)[keeps] / its.mean(0)[keeps]))
    if points.rest is None:
        return None
    rest = frames_of(model, chosen, model.qpos0[None]).positions
    lengths = _distances(rest).sum(), _distances(points.rest.positions[source]).sum()
    return float(lengths[0] / lengths[1]) if min(lengths) > 0.0 else None


def aimed(
    model: mujoco.MjModel,
    pairs: Sequence[Pair],
    points: Points,
    scale: float,
    offset: Sequence[float],
) -> Frames:
    """`[F, P]` where the robot's points should be.

    Positions are scaled about the world's origin. Of a robot it is the turns since its reference
    pose that are followed, as those of bodies whose frames lie differently; of other points the
    quaternions as they are.

    Args:
        model: the robot.
        pairs: P of them.
        points: what is followed.
        scale: see `find_scale`.
        offset: `[3]` m, added after scaling.
    """
    source = [pair.source for pair in pairs]
    positions = scale * points.frames.positions[:, source] + np.asarray(offset, np.float64)
    if points.frames.quaternions is None:
        return Frames(positions)
    quaternions = points.frames.quaternions[:, source]
    if points.rest is None or points.rest.quaternions is None:
        return Frames(positions, quaternions)
    rest = frames_of(model, [pair.marker for pair in pairs], model.qpos0[None]).quaternions
    assert rest is not None
    turns = product(quaternions, conjugate(points.rest.quaternions[source]))
    return Frames(positions, product(turns, rest[0]))


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`[..., 4]` products of quaternions w x y z."""
    w, v, s, u = left[..., :1], left[..., 1:], right[..., :1], right[..., 1:]
    vector = w * u + s * v + np.cross(v, u)
    return np.concatenate([w * s - (v * u).sum(-1, keepdims=True), vector], axis=-1)


def conjugate(quaternion: np.ndarray) -> np.ndarray:
    """`[..., 4]` conjugates: the inverses of those of length 1."""
    return quaternion * np.array([1.0, -1.0, -1.0, -1.0])


def _distances(positions: np.ndarray) -> np.ndarray:
    """`[..., P, P]` of points `[..., P, 3]`."""
    return np.linalg.norm(positions[..., :, None, :] - positions[..., None, :, :], axis=-1)


def _random_poses(model: mujoco.MjModel) -> np.ndarray:
    """`[S, nq]` poses with every joint but the free ones anywhere in its range."""
    random = np.random.default_rng(0)
    poses = np.repeat(model.qpos0[None], _SAMPLES, axis=0)
    for i, kind in enumerate(joint_types(model)):
        at, size = int(model.jnt_qposadr[i]), (_SAMPLES, WIDTHS[kind][0])
        if kind == "ball":
            drawn = random.normal(size=size)
            poses[:, at : at + 4] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        elif kind != "free":
            low, high = model.jnt_range[i] if model.jnt_limited[i] else (-1.0, 1.0)
            poses[:, at] = random.uniform(low, high, _SAMPLES)
    return poses
