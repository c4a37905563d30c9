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
from ksim_cli.mdp.term import Carry, resolved
from ksim_cli.physics.names import joint_ids
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import COMMANDS
from ksim_cli.types import Marker, Step

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
BLUE = (0.1, 0.4, 0.9, 0.7)


@dataclass(frozen=True, kw_only=True)
class Approaching(Sampled):
    """Base of commands that may approach what is drawn, and begin an episode at zero then.

    Attributes:
        acceleration: largest change of the command, in its unit per second; null: at once.
    """

    acceleration: float | None = None

    def __post_init__(self) -> None:
        """Refuses an acceleration that leads nowhere."""
        super().__post_init__()
        if self.acceleration is not None and not self.acceleration > 0:
            raise ValueError(f"acceleration={self.acceleration}: must be positive, or null")

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: what was drawn, and where the command is."""
        drawn = super().init(key)
        if self.acceleration is None:
            return drawn
        return {"drawn": drawn, "value": jnp.zeros(len(self.intervals))}

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        if self.acceleration is None:
            return super().__call__(step, carry, key)
        target, drawn = super().__call__(step, carry["drawn"], key)
        way, most = target - carry["value"], self.acceleration * step.ctrl_dt
        share = jnp.minimum(1.0, most / jnp.maximum(jnp.linalg.norm(way), 1e-9))
        value = carry["value"] + share * way
        return value, {"drawn": drawn, "value": value}


@COMMANDS.register("linear_velocity")
@dataclass(frozen=True, kw_only=True)
class LinearVelocity(BaseTerm, Approaching):
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


@dataclass(frozen=True, kw_only=True)
class YawRate(BaseTerm, Sampled):
    """Base of yaw rates [w] wanted of the base, rad/s, positive to the left.

    Attributes:
        range: [low, high].
    """

    range: tuple[float, float]

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """Difference of the yaw rates, rad/s."""
        return jnp.abs(self.base.angular_velocity(step.view)[2] - value[0])

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An upright arrow on the base, half a metre per rad/s, down for turns to the right."""
        angle = -jnp.sign(value[0]) * math.pi / 2
        up = maths.quaternion_from_axis_angle(jnp.array([0.0, 1.0, 0.0]), angle)
        size = jnp.array([0.5 * jnp.abs(value[0]), 0.02, 0.02])
        return (Marker("arrow", self.base.position(step.view), up, size, BLUE),)


@COMMANDS.register("angular_velocity")
@dataclass(frozen=True, kw_only=True)
class AngularVelocity(YawRate, Approaching):
    """Yaw rate [w] wanted of the base, rad/s, positive to the left."""

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`."""
        return (self.range,)


@COMMANDS.register("heading")
@dataclass(frozen=True, kw_only=True)
class Heading(YawRate):
    """Yaw rate [w], rad/s, that turns the base to a heading: clip(stiffness * error, range).

    The error is the angle from where the base looks to the heading that was drawn, in [-pi, pi).
    A draw that is zero (`zero_probability`) is a yaw rate of zero.

    Attributes:
        heading_range: [low, high] of the heading in the world, rad.
        stiffness: 1/s.
        heading_probability: share of the draws that are headings; the others are yaw rates in
            `range`.
    """

    heading_range: tuple[float, float] = (-math.pi, math.pi)
    stiffness: float = 0.5
    heading_probability: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a share that is none."""
        super().__post_init__()
        if not 0.0 <= self.heading_probability <= 1.0:
            raise ValueError(f"heading_probability={self.heading_probability}: must be in [0, 1]")

    @property
    def intervals(self) -> Intervals:
        """See `Sampled`: a heading, a yaw rate, and whether it is the heading that counts."""
        return (self.heading_range, self.range, (0.0, 1.0))

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Sampled`."""
        drawn = super().draw(key, step)
        return drawn.at[2].set(jnp.where(drawn[2] < self.heading_probability, 1.0, 0.0))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        (heading, rate, counts), carry = super().__call__(step, carry, key)
        error = maths.wrapped(heading - maths.euler(self.base.quaternion(step.view))[2])
        towards = jnp.clip(self.stiffness * error, *self.range)
        return jnp.where(counts > 0, towards, rate)[None], carry


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
