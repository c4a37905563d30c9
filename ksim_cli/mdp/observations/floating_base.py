"""Observations of the base."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.heights import HeightTerm
from ksim_cli.mdp.sensors import add_frame_sensor, sensor_address
from ksim_cli.mdp.term import Carry, Latch, Observation, resolved
from ksim_cli.physics.free_base import possible_bases
from ksim_cli.physics.names import object_ids
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.rng import named_key
from ksim_cli.types import Step


@OBSERVATIONS.register("base_position")
@dataclass(frozen=True, kw_only=True)
class BasePosition(BaseTerm, Observation):
    """Position of the base in the world, [x, y, z] m."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.base.position(step.view), carry


@OBSERVATIONS.register("base_height")
@dataclass(frozen=True, kw_only=True)
class BaseHeight(HeightTerm, Observation):
    """Height of the base, [z] m."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return self.height_now(step.view)[None], carry


@OBSERVATIONS.register("base_orientation")
@dataclass(frozen=True, kw_only=True)
class BaseOrientation(BaseTerm, Observation):
    """Unit quaternion of the base in the world, [w, x, y, z] with w >= 0."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return maths.positive(self.base.quaternion(step.view)), carry


@dataclass(frozen=True, kw_only=True)
class BaseVector(BaseTerm, Observation):
    """Base of vectors in the base's frame or the world's.

    Attributes:
        in_robot_frame: the base's own frame instead of the world's.
    """

    in_robot_frame: bool = True

    def turned(self, world: jax.Array, base: jax.Array) -> jax.Array:
        """Vectors of the world's frame `[..., 3]` in the frame asked for.

        Args:
            world: the vectors.
            base: `[4]` orientation of the base at the moment of the vectors.
        """
        if not self.in_robot_frame:
            return world
        return maths.unrotate(world, jnp.broadcast_to(base, (*world.shape[:-1], 4)))


@OBSERVATIONS.register("base_linear_velocity")
@dataclass(frozen=True, kw_only=True)
class BaseLinearVelocity(BaseVector):
    """Velocity of the base's origin, [x, y, z] m/s."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        view, base = step.view, self.base
        return self.turned(base.linear_velocity(view), base.quaternion(view)), carry


@OBSERVATIONS.register("base_angular_velocity")
@dataclass(frozen=True, kw_only=True)
class BaseAngularVelocity(BaseVector):
    """Angular velocity of the base, [x, y, z] rad/s."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        own = self.base.angular_velocity(step.view)
        if self.in_robot_frame:
            return own, carry
        return maths.rotate(own, self.base.quaternion(step.view)), carry


@dataclass(frozen=True, kw_only=True)
class BaseAcceleration(BaseVector):
    """Base of accelerations, from a sensor of the body's frame in the world.

    Attributes:
        kind: the sensor that tells it.
    """

    kind: ClassVar[str]
    sensor: int = resolved(0)

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`."""
        super().edit(spec)
        for body in possible_bases(spec, self.body):
            add_frame_sensor(spec, self.kind, "body", body.name)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bound = super().bind(model)
        name = model.body(bound.base.body).name
        return replace(bound, sensor=sensor_address(model, self.kind, "body", name))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        world = step.view.sensordata[self.sensor : self.sensor + 3]
        return self.turned(world, self.base.sensed_quaternion(step.view)), carry


@OBSERVATIONS.register("base_linear_acceleration")
@dataclass(frozen=True, kw_only=True)
class BaseLinearAcceleration(BaseAcceleration):
    """Acceleration of the base's origin, [x, y, z] m/s^2, gravity included as an IMU has it."""

    kind: ClassVar[str] = "framelinacc"


@OBSERVATIONS.register("base_angular_acceleration")
@dataclass(frozen=True, kw_only=True)
class BaseAngularAcceleration(BaseAcceleration):
    """Angular acceleration of the base, [x, y, z] rad/s^2."""

    kind: ClassVar[str] = "frameangacc"


@OBSERVATIONS.register("projected_gravity")
@dataclass(frozen=True, kw_only=True)
class ProjectedGravity(BaseTerm, Observation):
    """Unit vector of gravity in the frame of the base or of a site: [0, 0, -1] when upright.

    As an attitude filter gives it: y += (1 - lag) (g - y), with the sensor mounted a little askew.
    The randomizer `imu_alignment` turns sites: it reaches gravity where `site` names that site.

    Attributes:
        site: name of the site where the sensor is mounted, in place of the base.
        lag: share of the last value, or the range [low, high] it is drawn from per episode; 0:
            no lag.
        tilt: largest angle by which the sensor is askew about x and y, rad, drawn per episode;
            times the level.
    """

    site: str = ""
    lag: float | tuple[float, float] = 0.0
    tilt: float = 0.0
    site_id: int | None = resolved(None)

    def __post_init__(self) -> None:
        """Refuses lags that cannot be, and two frames."""
        super().__post_init__()
        if self.site and self.body:
            raise ValueError(f"site={self.site}, body={self.body}: give one of them")
        low, high = self._lag_range()
        if not 0.0 <= low <= high < 1.0:
            raise ValueError(f"lag={self.lag}: must be in [0, 1), or a range [low, high] in it")

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: a site needs nothing of a base."""
        if not self.site:
            super().edit(spec)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        if not self.site:
            return super().bind(model)
        return replace(self, site_id=object_ids(model, "site", (self.site,))[0])

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        carry = {}
        low, high = self._lag_range()
        if high:
            share = jax.random.uniform(named_key(key, "lag"), minval=low, maxval=max(high, low))
            carry |= {"lag": share, "last": Latch.empty(3)}
        if self.tilt:
            carry["askew"] = jax.random.uniform(named_key(key, "tilt"), (2,), minval=-1.0)
        return carry or ()

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        if self.site_id is None:
            gravity = maths.projected_gravity(self.base.quaternion(step.view))
        else:
            gravity = -step.view.site_xmat[self.site_id, 6:]  # the world's z axis, in the site's
        if self.tilt:
            roll, pitch = step.level * self.tilt * carry["askew"]
            askew = maths.quaternion_from_euler(roll, pitch, jnp.zeros(()))
            gravity = maths.unrotate(gravity, askew)
        if self._lag_range()[1]:
            last = carry["last"].get(gravity)
            gravity = gravity + carry["lag"] * (last - gravity)
            carry = {**carry, "last": Latch.holding(gravity)}
        return gravity, carry

    def _lag_range(self) -> tuple[float, float]:
        return self.lag if isinstance(self.lag, tuple) else (self.lag, self.lag)
