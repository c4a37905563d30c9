"""Shapes that are no part of the physics, added to a scene: markers of terms, and a ground."""

from typing import Any, NamedTuple, Self

import mujoco
import numpy as np

from ksim_cli.view.scene import GRID

_SMALLEST = 1e-3
"""Length of an arrow below which there is no direction to show, m."""

_KINDS = {"sphere": mujoco.mjtGeom.mjGEOM_SPHERE, "box": mujoco.mjtGeom.mjGEOM_BOX}


class Markers(NamedTuple):
    """M markers of one frame, or of each of T, as arrays; see `ksim_cli.types.Marker`.

    Attributes:
        shapes: name of each one's shape.
        colours: `[M, 4]`.
        position: `[M, 3]` or `[T, M, 3]` m.
        quaternion: `[M, 4]` or `[T, M, 4]`.
        size: `[M, 3]` or `[T, M, 3]` m.
    """

    shapes: tuple[str, ...]
    colours: np.ndarray
    position: np.ndarray
    quaternion: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, markers: Any) -> Self:
        """The arrays of a sequence of `Marker`, of one frame or with a leading axis of T."""

        def stacked(name: str, width: int) -> np.ndarray:
            each = [np.asarray(getattr(marker, name), float) for marker in markers]
            return np.stack(each, axis=-2) if each else np.zeros((0, width))

        return cls(
            shapes=tuple(marker.shape for marker in markers),
            colours=np.array([marker.rgba for marker in markers], float).reshape(-1, 4),
            position=stacked("position", 3),
            quaternion=stacked("quaternion", 4),
            size=stacked("size", 3),
        )

    def at(self, frame: int) -> Self:
        """Those of one frame of T."""
        if not self.shapes:
            return self
        return self._replace(
            position=self.position[frame], quaternion=self.quaternion[frame], size=self.size[frame]
        )


def draw_markers(scene: mujoco.MjvScene, markers: Markers) -> None:
    """Add the markers of one frame to a scene; what is not finite or has no size is left out.

    Args:
        scene: as `mjv_updateScene` left it.
        markers: `Markers.at` of a frame.
    """
    each = (markers.position, markers.quaternion, markers.size, markers.colours)
    for shape, place, turn, size, colour in zip(markers.shapes, *each, strict=True):
        if not all(np.isfinite(x).all() for x in (place, turn, size)) or size[0] < _SMALLEST:
            continue
        geom = _next(scene)
        if geom is None:
            return
        frame = np.zeros(9)
        mujoco.mju_quat2Mat(frame, np.asarray(turn, float))
        if shape == "arrow":
            end = place + size[0] * frame.reshape(3, 3)[:, 0]
            _init(geom, mujoco.mjtGeom.mjGEOM_ARROW, np.zeros(3), place, frame, colour)
            kind, width = mujoco.mjtGeom.mjGEOM_ARROW, float(size[1])
            mujoco.mjv_connector(geom, kind, width, np.asarray(place, float), end)
        else:
            _init(geom, _KINDS[shape], size, place, frame, colour)


def draw_ground(scene: mujoco.MjvScene, model: mujoco.MjModel, height: float) -> None:
    """Add a grid to a scene, at a height in m, for a robot whose model has no floor."""
    geom = _next(scene)
    if geom is None:
        return
    half = 20.0 * max(1.0, float(model.stat.extent))
    place, colour = np.array([0.0, 0.0, height]), np.ones(4)
    size = np.array([half, half, 1.0])
    _init(geom, mujoco.mjtGeom.mjGEOM_PLANE, size, place, np.eye(3).ravel(), colour)
    geom.matid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_MATERIAL, GRID)


def _next(scene: mujoco.MjvScene) -> Any:
    """A geom more; None where there is no room for it."""
    if scene.ngeom >= scene.maxgeom:
        return None
    scene.ngeom += 1
    return scene.geoms[scene.ngeom - 1]


def _init(
    geom: Any, kind: int, size: np.ndarray, place: np.ndarray, frame: np.ndarray, rgba: np.ndarray
) -> None:
    arrays = (np.asarray(each, float) for each in (size, place, frame))
    mujoco.mjv_initGeom(geom, kind, *arrays, np.asarray(rgba, np.float32))
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR
