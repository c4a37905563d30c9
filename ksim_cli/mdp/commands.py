"""Commands: targets that the policy is told and rewards compare with."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.mdp import maths
from ksim_cli.mdp.base import BaseTerm
from ksim_cli.mdp.term import Carry, Command, Scale, resolved
from ksim_cli.physics.model import home_pose
from ksim_cli.physics.names import joint_ids
from ksim_cli.registry import COMMANDS
from ksim_cli.rng import named_key
from ksim_cli.types import Marker, Step

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
BLUE = (0.1, 0.4, 0.9, 0.7)


def commanded(step: Step, name: str) -> jax.Array:
    """The value of a command by name.

    Raises:
        UserError: the task has no such command; the message lists those it has.
    """
    if name not in step.commands:
        raise UserError(
            f"no command '{name}'.{nearest(name, step.commands)}"
            f" The task's commands: {listing(step.commands)}"
        )
    return step.commands[name]


@dataclass(frozen=True, kw_only=True)
class Drawn(Command):
    """Base of commands that are drawn at the start of an episode and now and then again.

    The carry holds the value in force and whether there is one yet.

    Attributes:
        switch_seconds: mean time between two draws, s (each control step draws anew with
            probability ctrl_dt / switch_seconds); null: one draw per episode.
        zero_probability: share of the draws that are zero.
        scale: how the drawn value depends on the curriculum level; null: not at all.
    """

    switch_seconds: float | None = None
    zero_probability: float = 0.0
    scale: Scale | None = None

    def __post_init__(self) -> None:
        """Refuses times and probabilities that cannot be."""
        if self.switch_seconds is not None and not self.switch_seconds > 0:
            raise ValueError(f"switch_seconds={self.switch_seconds}: must be positive, or null")
        if not 0.0 <= self.zero_probability <= 1.0:
            raise ValueError(f"zero_probability={self.zero_probability}: must be in [0, 1]")

    @property
    def size(self) -> int:
        """Elements of the value."""
        raise NotImplementedError

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return {"value": jnp.zeros(self.size), "started": jnp.zeros((), bool)}

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        value = self.draw(named_key(key, "value"), step)
        if self.scale is not None:
            value = self.scale(step.level) * value
        if self.zero_probability:
            zero = jax.random.bernoulli(named_key(key, "zero"), self.zero_probability)
            value = jnp.where(zero, 0.0, value)
        anew = ~carry["started"]
        if self.switch_seconds is not None:
            probability = min(1.0, step.ctrl_dt / self.switch_seconds)
            anew |= jax.random.bernoulli(named_key(key, "switch"), probability)
        value = jnp.where(anew, value, carry["value"])
        return value, {"value": value, "started": jnp.ones((), bool)}

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """A new value, `[size]`."""
        raise NotImplementedError


def in_ranges(key: jax.Array, ranges: tuple[tuple[float, float], ...]) -> jax.Array:
    """One uniform number in each range `[low, high]`."""
    low, high = (jnp.array([r[i] for r in ranges]) for i in (0, 1))
    return low + (high - low) * jax.random.uniform(key, (len(ranges),))


@COMMANDS.register("float_vector")
@dataclass(frozen=True, kw_only=True)
class FloatVector(Drawn):
    """Numbers, each uniform in its range.

    Attributes:
        ranges: [low, high] of each number.
    """

    ranges: tuple[tuple[float, float], ...]

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return len(self.ranges)

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, self.ranges)


@COMMANDS.register("int_vector")
@dataclass(frozen=True, kw_only=True)
class IntVector(Drawn):
    """Whole numbers (as floats), each uniform in its range, both ends included.

    Attributes:
        ranges: [low, high] of each number.
    """

    ranges: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return len(self.ranges)

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        low, high = (jnp.array([r[i] for r in self.ranges]) for i in (0, 1))
        return jax.random.randint(key, low.shape, low, high + 1).astype(jnp.float32)


@COMMANDS.register("linear_velocity")
@dataclass(frozen=True, kw_only=True)
class LinearVelocity(BaseTerm, Drawn):
    """Velocity [vx, vy] wanted of the base, m/s: forward and left of where it looks.

    Attributes:
        x_range: forward, [low, high].
        y_range: to the left, [low, high].
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 0.0)

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return 2

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, (self.x_range, self.y_range))

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An arrow above the base, one metre per m/s."""
        ahead = maths.heading(self.base.quaternion(step.view))
        along = maths.quaternion_from_axis_angle(
            jnp.array([0.0, 0.0, 1.0]), jnp.arctan2(value[1], value[0])
        )
        foot = self.base.position(step.view) + jnp.array([0.0, 0.0, 0.5])
        size = jnp.array([jnp.linalg.norm(value), 0.02, 0.02])
        return (Marker("arrow", foot, maths.multiply(ahead, along), size, BLUE),)


@COMMANDS.register("angular_velocity")
@dataclass(frozen=True, kw_only=True)
class AngularVelocity(BaseTerm, Drawn):
    """Yaw rate [w] wanted of the base, rad/s, positive to the left.

    Attributes:
        range: [low, high].
    """

    range: tuple[float, float]

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return 1

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, (self.range,))

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An upright arrow on the base, half a metre per rad/s, down for turns to the right."""
        up = maths.quaternion_from_axis_angle(
            jnp.array([0.0, 1.0, 0.0]), -jnp.sign(value[0]) * math.pi / 2
        )
        size = jnp.array([0.5 * jnp.abs(value[0]), 0.02, 0.02])
        return (Marker("arrow", self.base.position(step.view), up, size, BLUE),)


@COMMANDS.register("base_height")
@dataclass(frozen=True, kw_only=True)
class BaseHeight(BaseTerm, Drawn):
    """Height [h] wanted of the base above the world's origin, m.

    Attributes:
        range: [low, high].
    """

    range: tuple[float, float]

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return 1

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, (self.range,))

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A flat box at that height."""
        position = self.base.position(step.view).at[2].set(value[0])
        size = jnp.array([0.2, 0.2, 0.005])
        return (Marker("box", position, jnp.array(UPRIGHT), size, BLUE),)


@COMMANDS.register("cartesian_coordinate")
@dataclass(frozen=True, kw_only=True)
class CartesianCoordinate(BaseTerm, Drawn):
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
    def size(self) -> int:
        """See `Drawn`."""
        return 3

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, (self.x_range, self.y_range, self.z_range))

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A sphere at the point."""
        turned = maths.rotate(value, self.base.quaternion(step.view))
        position = self.base.position(step.view) + turned
        return (Marker("sphere", position, jnp.array(UPRIGHT), jnp.full(3, 0.04), BLUE),)


@COMMANDS.register("joint_position")
@dataclass(frozen=True, kw_only=True)
class JointPositions(Drawn):
    """Positions wanted of joints, rad or m, uniform in a part of their range about home.

    Attributes:
        joints: names or patterns; empty for all hinge and slide joints.
        share: 1: all of the range on each side of the home position, 0: home itself. A joint
            without a range has half a turn (or a metre) on each side.
    """

    joints: tuple[str, ...] = ()
    share: float = 1.0
    low: tuple[float, ...] = resolved()
    high: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        ids, home = joint_ids(model, self.joints), home_pose(model)
        low, high = [], []
        for i in ids:
            slide = model.jnt_type[i] == mujoco.mjtJoint.mjJNT_SLIDE
            own = float(home[model.jnt_qposadr[i]])
            reach = 1.0 if slide else math.pi
            limits = model.jnt_range[i] if model.jnt_limited[i] else (own - reach, own + reach)
            low.append(own + self.share * (float(limits[0]) - own))
            high.append(own + self.share * (float(limits[1]) - own))
        return replace(self, low=tuple(low), high=tuple(high))

    @property
    def size(self) -> int:
        """See `Drawn`."""
        return len(self.low)

    def draw(self, key: jax.Array, step: Step) -> jax.Array:
        """See `Drawn`."""
        return in_ranges(key, tuple(zip(self.low, self.high, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Started(BaseTerm, Command):
    """Base of commands that hold on to what was at the start of the episode."""

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        value: Any = jnp.zeros(self.size)
        return {"value": value, "started": jnp.zeros((), bool)}

    @property
    def size(self) -> int:
        """Elements of the value."""
        raise NotImplementedError

    def now(self, step: Step) -> jax.Array:
        """What is held on to, as it is now, `[size]`."""
        raise NotImplementedError

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        value = jnp.where(carry["started"], carry["value"], self.now(step))
        return value, {"value": value, "started": jnp.ones((), bool)}


@COMMANDS.register("start_position")
@dataclass(frozen=True, kw_only=True)
class StartPosition(Started):
    """Where the base was when the episode began, [x, y, z] m."""

    @property
    def size(self) -> int:
        """See `Started`."""
        return 3

    def now(self, step: Step) -> jax.Array:
        """See `Started`."""
        return self.base.position(step.view)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A sphere there."""
        return (Marker("sphere", value, jnp.array(UPRIGHT), jnp.full(3, 0.05), BLUE),)


@COMMANDS.register("start_quaternion")
@dataclass(frozen=True, kw_only=True)
class StartQuaternion(Started):
    """How the base was turned when the episode began: a unit quaternion, w first."""

    @property
    def size(self) -> int:
        """See `Started`."""
        return 4

    def now(self, step: Step) -> jax.Array:
        """See `Started`."""
        return self.base.quaternion(step.view)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An arrow where the base looked."""
        size = jnp.array([0.4, 0.02, 0.02])
        return (Marker("arrow", self.base.position(step.view), value, size, BLUE),)


@COMMANDS.register("sinusoidal_gait")
@dataclass(frozen=True, kw_only=True)
class SinusoidalGait(Command):
    """Heights wanted of F feet above the ground, m: half waves, then as long on the ground.

    height_i = max_height max(0, sin(2 pi (t / period + offset_i))), t from the start of the
    episode.

    Attributes:
        period: of a gait cycle, s.
        max_height: m.
        offsets: share of the cycle that each foot is ahead, e.g. [0, 0.5].
        standing_command: name of a command; while it is (nearly) zero the feet stay down.
    """

    period: float
    max_height: float
    offsets: tuple[float, ...] = (0.0, 0.5)
    standing_command: str | None = None

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        phase = step.time / self.period + jnp.array(self.offsets)
        height = self.max_height * jnp.maximum(0.0, jnp.sin(2.0 * math.pi * phase))
        if self.standing_command is not None:
            still = jnp.linalg.norm(commanded(step, self.standing_command)) < 0.05
            height = jnp.where(still, 0.0, height)
        return height, carry
