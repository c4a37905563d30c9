"""Commands of how and where to move."""

import math
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.commands.sampled import Intervals, Sampled
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.term import resolved
from ksim_cli.physics.names import joint_ids
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import COMMANDS
from ksim_cli.types import Marker, Step

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
BLUE = (0.1, 0.4, 0.9, 0.7)


@COMMANDS.register("linear_velocity")
@dataclass(frozen=True, kw_only=True)
class LinearVelocity(BaseTerm, Sampled):
    """Velocity [vx, vy] wanted of the base, m/s: forward and left of where it looks.

    Attributes:
        x_range: forward, [low, high].
        y_range: to the left, [low, high].
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 0.0)

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return (self.x_range, self.y_range)

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """Speed between the velocity told and that of the base, m/s."""
        return jnp.linalg.norm(self.base.heading_velocity(step.view)[:2] - value)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An arrow above the base, one metre per m/s."""
        ahead = maths.heading(self.base.quaternion(step.view))
        along = maths.about_z(jnp.arctan2(value[1], value[0]))
        foot = self.base.position(step.view) + jnp.array([0.0, 0.0, 0.5])
        size = jnp.array([jnp.linalg.norm(value), 0.02, 0.02])
        return (Marker("arrow", foot, maths.multiply(ahead, along), size, BLUE),)


@COMMANDS.register("angular_velocity")
@dataclass(frozen=True, kw_only=True)
class AngularVelocity(BaseTerm, Sampled):
    """Yaw rate [w] wanted of the base, rad/s, positive to the left.

    Attributes:
        range: [low, high].
    """

    range: tuple[float, float]

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return (self.range,)

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """Difference of the yaw rates, rad/s."""
        return jnp.abs(self.base.angular_velocity(step.view)[2] - value[0])

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An upright arrow on the base, half a metre per rad/s, down for turns to the right."""
        angle = -jnp.sign(value[0]) * math.pi / 2
        up = maths.quaternion_from_axis_angle(jnp.array([0.0, 1.0, 0.0]), angle)
        size = jnp.array([0.5 * jnp.abs(value[0]), 0.02, 0.02])
        return (Marker("arrow", self.base.position(step.view), up, size, BLUE),)


@COMMANDS.register("base_height")
@dataclass(frozen=True, kw_only=True)
class BaseHeight(BaseTerm, Sampled):
    """Height [h] wanted of the base above the world's origin, m.

    Attributes:
        range: [low, high].
    """

    range: tuple[float, float]

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return (self.range,)

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """Difference of the heights, m."""
        return jnp.abs(self.base.position(step.view)[2] - value[0])

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A flat box at that height."""
        position = self.base.position(step.view).at[2].set(value[0])
        size = jnp.array([0.2, 0.2, 0.005])
        return (Marker("box", position, jnp.array(UPRIGHT), size, BLUE),)


@COMMANDS.register("cartesian_coordinate")
@dataclass(frozen=True, kw_only=True)
class CartesianCoordinate(BaseTerm, Sampled):
    """A point [x, y, z] wanted of something, m, in the frame of the base.

    Attributes:
        x_range: forward, [low, high].
        y_range: to the left, [low, high].
        z_range: up, [low, high].
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    z_range: tuple[float, float]

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return (self.x_range, self.y_range, self.z_range)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A sphere at the point."""
        turned = maths.rotate(value, self.base.quaternion(step.view))
        position = self.base.position(step.view) + turned
        return (Marker("sphere", position, jnp.array(UPRIGHT), jnp.full(3, 0.04), BLUE),)


@COMMANDS.register("joint_position")
@dataclass(frozen=True, kw_only=True)
class JointPositions(Sampled):
    """Positions wanted of joints, rad or m, uniform in a part of their range about home.

    Attributes:
        joints: names or patterns; empty for all hinge and slide joints.
        share: 1: all of the range on each side of the home position, 0: home itself. A joint
            without a range has half a turn (or a metre) on each side.
    """

    joints: tuple[str, ...] = ()
    share: float = 1.0
    around_home: Intervals = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        ids, home = joint_ids(model, self.joints), home_pose(model)
        intervals: list[tuple[float, float]] = []
        for i in ids:
            slide = model.jnt_type[i] == mujoco.mjtJoint.mjJNT_SLIDE
            own = float(home[model.jnt_qposadr[i]])
            reach = 1.0 if slide else math.pi
            limits = model.jnt_range[i] if model.jnt_limited[i] else (own - reach, own + reach)
            low, high = (own + self.share * (float(limit) - own) for limit in limits)
            intervals.append((low, high))
        return replace(self, around_home=tuple(intervals))

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return self.around_home
