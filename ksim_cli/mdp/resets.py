"""Resets: the pose an episode starts from."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp import maths
from ksim_cli.mdp.floating_base import FreeBaseTerm
from ksim_cli.mdp.joints import JointTerm, position_bounds
from ksim_cli.mdp.level_schedules import Scale
from ksim_cli.mdp.term import Pose, Reset, resolved
from ksim_cli.npz import read_arrays
from ksim_cli.physics.names import joint_ids, object_ids
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import RESETS
from ksim_cli.rng import named_key


@dataclass(frozen=True, kw_only=True)
class DrawnReset(Reset):
    """Base of resets that draw something of some size.

    Attributes:
        by_level: how the size depends on the curriculum level; null: not at all.
    """

    by_level: Scale | None = None

    def size(self, level: jax.Array) -> jax.Array:
        """The factor of what is drawn."""
        return jnp.ones(()) if self.by_level is None else self.by_level(level)


@dataclass(frozen=True, kw_only=True)
class JointReset(JointTerm, DrawnReset):
    """Base of resets of hinge and slide joints.

    Attributes:
        scale: half width (uniform) or standard deviation (normal).
        distribution: of the random part, `uniform` or `normal`, mean zero.
    """

    scale: float
    distribution: Literal["uniform", "normal"] = "uniform"

    def sample(self, key: jax.Array, level: jax.Array) -> jax.Array:
        """One random number per joint."""
        shape, scale = (len(self.qpos_addresses),), self.scale * self.size(level)
        if self.distribution == "normal":
            return scale * jax.random.normal(key, shape)
        return scale * jax.random.uniform(key, shape, minval=-1.0)


@RESETS.register("random_joint_position")
@dataclass(frozen=True, kw_only=True)
class RandomJointPosition(JointReset):
    """qpos + random, clipped to the joint's range, or to home beyond it; `scale` in rad or m.

    In a closed loop driven joints get about what is drawn, and the others follow.
    """

    low: tuple[float, ...] = resolved()
    high: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        low, high = position_bounds(model, joint_ids(model, self.joints), home_pose(model))
        return replace(super().bind(model), low=tuple(low.tolist()), high=tuple(high.tolist()))

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        at = jnp.array(self.qpos_addresses)
        moved = pose.qpos.at[at].add(self.sample(key, level))
        inside = jnp.clip(moved[at], jnp.array(self.low), jnp.array(self.high))
        return pose.replace(qpos=moved.at[at].set(inside))


@RESETS.register("random_joint_velocity")
@dataclass(frozen=True, kw_only=True)
class RandomJointVelocity(JointReset):
    """qvel + random; `scale` in rad/s or m/s. Without what would open a closed loop."""

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        at = jnp.array(self.dof_addresses)
        return pose.replace(qvel=pose.qvel.at[at].add(self.sample(key, level)))


@dataclass(frozen=True, kw_only=True)
class BaseReset(FreeBaseTerm, Reset):
    """Base of resets of a free base."""

    keeps_loops: ClassVar[bool] = True

    def moved(self, pose: Pose, by: jax.Array) -> Pose:
        """The pose with the base moved by `[3]` m."""
        at = slice(self.qpos_address, self.qpos_address + 3)
        return pose.replace(qpos=pose.qpos.at[at].add(by))

    def turned(self, pose: Pose, turn: jax.Array) -> Pose:
        """The pose with the base turned by a quaternion `[4]` of the world's frame."""
        at = slice(self.qpos_address + 3, self.qpos_address + 7)
        turned = maths.multiply(turn, pose.qpos[at])
        return pose.replace(qpos=pose.qpos.at[at].set(turned / jnp.linalg.norm(turned)))


def _uniform(key: jax.Array, name: str, half: float) -> jax.Array:
    return half * jax.random.uniform(named_key(key, name), minval=-1.0)


@RESETS.register("plane_xy_position")
@dataclass(frozen=True, kw_only=True)
class PlaneXYPosition(BaseReset, DrawnReset):
    """The base moved within [-x_range, x_range] and [-y_range, y_range], uniform.

    Attributes:
        x_range: m.
        y_range: m.
    """

    x_range: float
    y_range: float

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        by = [_uniform(key, "x", self.x_range), _uniform(key, "y", self.y_range), jnp.zeros(())]
        return self.moved(pose, self.size(level) * jnp.stack(by))


@RESETS.register("height_field_xy_position")
@dataclass(frozen=True, kw_only=True)
class HeightFieldXYPosition(BaseReset):
    """The base anywhere on a height field, as high above the ground there as at its centre.

    Heights between the grid's points are interpolated bilinearly. The field's geom must be level.

    Attributes:
        geom: name of the height field's geom.
        margin: distance kept from its edges, m.
    """

    geom: str
    margin: float = 0.0
    centre: tuple[float, float, float] = resolved()
    half: tuple[float, float] = resolved()
    heights: tuple[tuple[float, ...], ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        (geom,) = object_ids(model, "geom", (self.geom,))
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_HFIELD:
            raise UserError(f"geom '{self.geom}' is no height field")
        field = int(model.geom_dataid[geom])
        rows, columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
        first = int(model.hfield_adr[field])
        data = model.hfield_data[first : first + rows * columns].reshape(rows, columns)
        half_x, half_y, top, _ = (float(x) for x in model.hfield_size[field])
        if not 0.0 <= self.margin < min(half_x, half_y):
            raise UserError(f"margin={self.margin}: leaves nothing of the height field")
        heights = tuple(tuple(float(x) for x in row) for row in data * top)
        x, y, z = (float(x) for x in model.geom_pos[geom])
        return replace(
            super().bind(model), centre=(x, y, z), half=(half_x, half_y), heights=heights
        )

    def height(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Height of the ground, m in the world, at a place given from the field's centre, m."""
        table = jnp.array(self.heights)
        rows, columns = table.shape
        column = (x / self.half[0] + 1.0) / 2.0 * (columns - 1)
        row = (y / self.half[1] + 1.0) / 2.0 * (rows - 1)
        value = jax.scipy.ndimage.map_coordinates(table, [row, column], order=1, mode="nearest")
        return self.centre[2] + value

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        x = _uniform(key, "x", self.half[0] - self.margin)
        y = _uniform(key, "y", self.half[1] - self.margin)
        zero = jnp.zeros(())
        rise = self.height(x, y) - self.height(zero, zero)
        at = slice(self.qpos_address, self.qpos_address + 2)
        placed = jnp.stack([self.centre[0] + x, self.centre[1] + y])
        pose = pose.replace(qpos=pose.qpos.at[at].set(placed))
        return self.moved(pose, jnp.stack([zero, zero, rise]))


@RESETS.register("base_xy_velocity")
@dataclass(frozen=True, kw_only=True)
class BaseXYVelocity(BaseReset, DrawnReset):
    """Horizontal velocity of the base + uniform in [-x_range, x_range], [-y_range, y_range].

    Attributes:
        x_range: m/s.
        y_range: m/s.
    """

    x_range: float
    y_range: float

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        change = jnp.stack([_uniform(key, "x", self.x_range), _uniform(key, "y", self.y_range)])
        at = slice(self.dof_address, self.dof_address + 2)
        return pose.replace(qvel=pose.qvel.at[at].add(self.size(level) * change))


@RESETS.register("random_heading")
@dataclass(frozen=True, kw_only=True)
class RandomHeading(BaseReset, DrawnReset):
    """The base turned about the vertical, uniform in [-range, range].

    Attributes:
        range: rad.
    """

    range: float = math.pi

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        yaw = self.size(level) * _uniform(key, "yaw", self.range)
        return self.turned(pose, maths.about_z(yaw))


@RESETS.register("random_height")
@dataclass(frozen=True, kw_only=True)
class RandomHeight(BaseReset, DrawnReset):
    """The base lifted by a height uniform in [low, high].

    Attributes:
        range: [low, high], m.
    """

    range: tuple[float, float]

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        rise = self.size(level) * maths.uniform_between(key, *self.range)
        return self.moved(pose, jnp.zeros(3).at[2].set(rise))


@RESETS.register("random_pitch_roll")
@dataclass(frozen=True, kw_only=True)
class RandomPitchRoll(BaseReset, DrawnReset):
    """The base tilted: pitch and roll uniform and independent, about the world's axes.

    Attributes:
        pitch_range: largest pitch to either side, rad.
        roll_range: largest roll to either side, rad.
    """

    pitch_range: float
    roll_range: float

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        pitch = self.size(level) * _uniform(key, "pitch", self.pitch_range)
        roll = self.size(level) * _uniform(key, "roll", self.roll_range)
        return self.turned(pose, maths.quaternion_from_euler(roll, pitch, jnp.zeros(())))


@RESETS.register("motion_state")
@dataclass(frozen=True, kw_only=True)
class MotionState(Reset):
    """Position and velocity of a random frame of a recorded motion, as it was recorded.

    Attributes:
        path: .npz file with `qpos` [T, nq] and `qvel` [T, nv], from the current folder.
    """

    keeps_loops: ClassVar[bool] = True
    path: str
    frames: tuple[tuple[float, ...], ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        file = Path(self.path)
        if not file.is_file():
            raise UserError(f"path={self.path}: no such file. The current folder is {Path.cwd()}")
        try:
            arrays = read_arrays(file)
            qpos, qvel = (np.asarray(arrays[n], np.float64) for n in ("qpos", "qvel"))
            wanted = {"qpos": (len(qpos), model.nq), "qvel": (len(qpos), model.nv)}
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"path={self.path}: is no .npz file with qpos and qvel ({error})"
            ) from error
        for name, array in (("qpos", qpos), ("qvel", qvel)):
            if array.shape != wanted[name] or not len(array) or not np.isfinite(array).all():
                raise UserError(
                    f"path={self.path}: {name} has shape {array.shape}; this model needs finite"
                    f" numbers of shape {wanted[name]}"
                )
        rows = np.concatenate([qpos, qvel], axis=1)
        return replace(self, frames=tuple(tuple(float(x) for x in row) for row in rows))

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        frames = jnp.array(self.frames)
        row = frames[jax.random.randint(key, (), 0, len(self.frames))]
        size = pose.qpos.shape[0]
        return pose.replace(qpos=row[:size], qvel=row[size:])
