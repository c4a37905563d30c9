"""What a stranger's model lacks to be seen: light, sky, a grid to move over, a camera that follows.

Only what is missing is added, and nothing that takes part in the physics: indices, positions and
constants stay those of the model that is simulated.
"""

import copy
from collections.abc import Callable, Collection
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.schema import RenderKeys
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.free_base import base_body, free_joint_of
from ksim_cli.physics.robot import home_data

GRID, SKY = "ksim/grid", "ksim/sky"
"""Names of the material and of the texture that are added."""

_DULL = ((0.1, 0.1, 0.1), (0.4, 0.4, 0.4))
"""Ambient and diffuse headlight of a model that says nothing of it."""

_HAZE = (0.15, 0.25, 0.35, 1.0)
_RAY = np.array([0.0, 0.0, -1.0])
"""Where the light that is added shines: aslant MuJoCo's shadows leave marks on a wide floor."""

_SIZES = ("nq", "nv", "nu", "na", "nbody", "njnt", "ngeom", "nsite", "nsensor", "nmesh", "nkey")

_LOOKS = ("light_", "tex_", "mat_", "geom_matid", "name", "cam_")
"""Beginnings of the fields that may differ between a model and the same to be drawn."""


def drawable(spec: mujoco.MjSpec | CompiledSpec, model: mujoco.MjModel) -> mujoco.MjModel:
    """The model for drawing: with light, sky and a grid where it has none.

    Args:
        spec: what the model was compiled from; it is left as it is.
        model: the model that is simulated; it is left as it is, and given back if it lacks nothing.
    """
    has_light, has_sky = model.nlight > 0, _has_sky(model)
    bare = [i for i in _floors(model) if model.geom_matid[i] < 0]
    has_floor = bool(_floors(model))
    if has_light and has_sky and has_floor and not bare:
        return model
    if isinstance(spec, CompiledSpec):  # it has what it has, but for the brightness
        drawn = copy.copy(model)
        _brighten(drawn, drawn.vis.headlight, has_light)
        return drawn
    edited = spec.copy()
    if not has_light:
        _add_light(edited, model)
    _brighten(model, edited.visual.headlight, has_light)
    if not has_sky:
        _add_texture(edited, SKY, mujoco.mjtTexture.mjTEXTURE_SKYBOX)
        edited.visual.rgba.haze = _HAZE  # MuJoCo's own is a white line at the horizon
    if bare or not has_floor:
        _add_texture(edited, GRID, mujoco.mjtTexture.mjTEXTURE_2D)
        material = edited.add_material(name=GRID, texrepeat=[1, 1], texuniform=True)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = GRID
    for i in bare:
        edited.geoms[i].material = GRID
    try:
        drawn = edited.compile()
    except ValueError:  # what it has is what is shown
        return model
    if any(getattr(drawn, name) != getattr(model, name) for name in _SIZES):
        return model
    _take_over(model, drawn)
    return drawn


def _add_light(spec: mujoco.MjSpec, model: mujoco.MjModel) -> None:
    """A sun whose shadows stay sharp, since it stands over the robot and goes where that goes."""
    center, radius, follows = _seen(model)
    height = 4 * radius * _RAY
    sun = {"dir": _RAY, "type": mujoco.mjtLightType.mjLIGHT_DIRECTIONAL}
    if follows is None:
        spec.worldbody.add_light(pos=center - height, **sun)
    else:
        over = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
        spec.bodies[follows].add_light(pos=-height, mode=over, **sun)


def _brighten(model: mujoco.MjModel, headlight: Any, has_light: bool) -> None:
    """Let a headlight that nobody chose light the scene, where nothing else does."""
    own = model.vis.headlight
    if not has_light and np.allclose((own.ambient, own.diffuse), _DULL):
        headlight.ambient, headlight.diffuse = [0.4] * 3, [0.6] * 3
        headlight.specular = [0.2] * 3


def _add_texture(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtTexture) -> None:
    is_sky = kind == mujoco.mjtTexture.mjTEXTURE_SKYBOX
    spec.add_texture(
        name=name,
        type=kind,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
        if is_sky
        else mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.55, 0.65, 0.75] if is_sky else [0.20, 0.25, 0.30],
        rgb2=[0.15, 0.20, 0.25] if is_sky else [0.25, 0.30, 0.35],
        width=256,
        height=256 * 6 if is_sky else 256,
    )


def _has_sky(model: mujoco.MjModel) -> bool:
    return bool((model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).any())


def _floors(model: mujoco.MjModel) -> list[int]:
    """Geoms that a robot may stand on as on a floor: planes and height fields that stay put."""
    kinds = (int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_HFIELD))
    fixed = model.body_weldid[model.geom_bodyid] == 0
    return np.flatnonzero(np.isin(model.geom_type, kinds) & fixed).tolist()


def _take_over(model: mujoco.MjModel, drawn: mujoco.MjModel) -> None:
    """Write what was set in a model after it was compiled into the same to be drawn."""
    for name in dir(model):
        value = None if name.startswith(("_", *_LOOKS)) else getattr(model, name)
        if isinstance(value, np.ndarray) and value.shape == getattr(drawn, name).shape:
            getattr(drawn, name)[...] = value
    for name in dir(model.opt):
        value = None if name.startswith("_") else getattr(model.opt, name)
        if isinstance(value, np.ndarray):
            getattr(drawn.opt, name)[...] = value
        elif isinstance(value, int | float):
            setattr(drawn.opt, name, value)


def ground(model: mujoco.MjModel) -> float | None:
    """Height at which a grid is to be drawn below a robot without a floor, m; None: it has one."""
    if _floors(model):
        return None
    data = home_data(model)
    mujoco.mj_kinematics(model, data)
    lowest = data.geom_xpos[:, 2] - model.geom_rbound
    return float(lowest.min(initial=0.0))


class Camera:
    """Where a picture is taken from: a camera of the model, or a free one that follows the base.

    The keys come first: `render_camera_name`, else `render_lookat`, `render_track_body_id` and
    `render_distance`, each null by default. What is null fits the robot.

    Args:
        model: the model.
        keys: the `render_*` keys.
        typed: keys that were typed; a camera's name that was not may be one the model lacks.
        say: told when it is.

    Raises:
        UserError: a camera or body that was asked for is not there.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        keys: RenderKeys,
        typed: Collection[str] | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.view = mujoco.MjvCamera()
        self._body: int | None = None
        self._offset = np.zeros(3)
        fixed = _named_camera(model, keys.render_camera_name, typed, say)
        if fixed is not None:
            self.view.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self.view.fixedcamid = fixed
            return
        center, radius, follows = _seen(model)
        self._body = follows if keys.render_lookat is None else None
        if keys.render_track_body_id is not None:
            self._body = _tracked(model, keys.render_track_body_id)
            self._offset[:] = keys.render_lookat or 0.0
        self.view.lookat[:] = center if keys.render_lookat is None else keys.render_lookat
        self.view.distance = _distance(model, radius)
        if keys.render_distance is not None:
            self.view.distance = keys.render_distance
        self.view.azimuth, self.view.elevation = keys.render_azimuth, keys.render_elevation

    def aim(self, camera: mujoco.MjvCamera) -> None:
        """Set another camera, one that a person may move afterwards; it follows by itself."""
        for name in ("type", "fixedcamid", "distance", "azimuth", "elevation"):
            setattr(camera, name, getattr(self.view, name))
        camera.lookat[:] = self.view.lookat
        if self._body is not None:
            camera.type, camera.trackbodyid = mujoco.mjtCamera.mjCAMERA_TRACKING, self._body

    def follow(self, data: mujoco.MjData) -> None:
        """Turn to where the followed body is now."""
        if self._body is not None:
            self.view.lookat[:] = data.subtree_com[self._body] + self._offset


def _named_camera(
    model: mujoco.MjModel,
    name: str | None,
    typed: Collection[str] | None,
    say: Callable[[str], None],
) -> int | None:
    if name is None:
        return None
    names = [model.camera(i).name for i in range(model.ncam)]
    if name in names:
        return names.index(name)
    if typed is not None and "render_camera_name" not in typed:
        say(f"render_camera_name={name}: the model has no such camera; a free one follows the base")
        return None
    raise UserError(
        f"render_camera_name={name}: no such camera.{nearest(name, names)}"
        f" The model has: {listing(names)}"
    )


def _tracked(model: mujoco.MjModel, body: int) -> int:
    if body < model.nbody:
        return body
    names = [f"{i} {model.body(i).name}" for i in range(model.nbody)]
    raise UserError(f"render_track_body_id={body}: no such body. The model has: {', '.join(names)}")


def _seen(model: mujoco.MjModel) -> tuple[np.ndarray, float, int | None]:
    """Centre `[3]` and radius, m, of what is to be in the picture, and the body that is followed.

    A robot that floats is followed; of one that stands all that can move is seen from one place.
    """
    data = home_data(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    try:
        base = base_body(model)
    except UserError:  # several, or none: all of them are looked at
        base = 0
    follows = base if base and free_joint_of(model, base) is not None else None
    if follows is None:
        bodies = np.flatnonzero(model.body_weldid)  # all that can move
        bodies = bodies if bodies.size else np.arange(model.nbody)
    else:
        bodies = np.flatnonzero(model.body_rootid == model.body_rootid[base])
    shown = np.isin(model.geom_bodyid, bodies) & (model.geom_rbound > 0)
    if not shown.any():
        return np.array(data.xpos[base]), 0.5, follows
    places, sizes = data.geom_xpos[shown], model.geom_rbound[shown, None]
    low, high = (places - sizes).min(axis=0), (places + sizes).max(axis=0)
    if follows is None:
        slides = (model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE) & (model.jnt_limited > 0)
        low, high = low + _travel(model, data, slides, 0), high + _travel(model, data, slides, 1)
        return (low + high) / 2, float(np.linalg.norm(high - low) / 2), None
    center = np.array(data.subtree_com[base])
    return center, float(np.linalg.norm(np.maximum(high - center, center - low))), follows


def _travel(model: mujoco.MjModel, data: mujoco.MjData, slides: np.ndarray, end: int) -> np.ndarray:
    """`[3]` m by which slides move what they carry, at most: to one end of an axis's directions."""
    ways = data.xaxis[slides][:, None] * model.jnt_range[slides][:, :, None]  # [joints, ends, 3]
    return (ways.max(axis=1) if end else ways.min(axis=1)).sum(axis=0)


def _distance(model: mujoco.MjModel, radius: float) -> float:
    """Distance at which a sphere fills the picture's height, m."""
    return max(0.1, radius / np.sin(np.radians(model.vis.global_.fovy / 2)))
