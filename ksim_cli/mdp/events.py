"""Events: disturbances that befall an environment now and then."""

import math
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.floating_base import FreeBaseTerm
from ksim_cli.mdp.level_schedules import scaled
from ksim_cli.mdp.maths import random_axis, uniform_between
from ksim_cli.mdp.term import Carry, Disturbance, Event, resolved
from ksim_cli.physics.names import object_ids
from ksim_cli.registry import EVENTS
from ksim_cli.rng import named_key
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class Recurring(Event):
    """Base of events that recur after random times. The carry holds the time to the next, s.

    Attributes:
        interval: [shortest, longest] time between two of them, s, uniform.
    """

    interval: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuses times that cannot be."""
        if not 0.0 < self.interval[0] <= self.interval[1]:
            raise ValueError(f"interval={list(self.interval)}: must be [shortest, longest] s > 0")

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return {"wait": self._wait(key)}

    def due(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """Whether it happens now, and the carry with the time to the next."""
        wait = carry["wait"] - step.ctrl_dt
        now = wait <= 0.0
        return now, {**carry, "wait": jnp.where(now, self._wait(named_key(key, "wait")), wait)}

    def _wait(self, key: jax.Array) -> jax.Array:
        return uniform_between(key, *self.interval)


@dataclass(frozen=True, kw_only=True)
class BaseKick(FreeBaseTerm, Recurring):
    """Base of events that change the velocity of the free base at once."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """See `Event`."""
        now, carry = self.due(step, carry, key)
        size = jnp.where(now, scaled(self.scale, step.level), 0.0)
        kick = size * self.kick(named_key(key, "kick"))
        velocity = jnp.zeros(self.num_dofs)
        velocity = velocity.at[self.dof_address : self.dof_address + 6].set(kick)
        return Disturbance(velocity=velocity), carry

    def kick(self, key: jax.Array) -> jax.Array:
        """`[6]` change of the base's velocity at level 1: linear m/s (world), angular rad/s."""
        raise NotImplementedError


@EVENTS.register("linear_push")
@dataclass(frozen=True, kw_only=True)
class LinearPush(BaseKick):
    """Adds a horizontal velocity in a random direction to the base.

    Attributes:
        speed: [low, high], m/s.
        vertical: largest vertical speed added besides, m/s.
    """

    speed: tuple[float, float]
    vertical: float = 0.0

    def kick(self, key: jax.Array) -> jax.Array:
        """See `BaseKick`."""
        speed = uniform_between(named_key(key, "speed"), *self.speed)
        angle = jax.random.uniform(named_key(key, "angle"), maxval=2.0 * math.pi)
        up = self.vertical * jax.random.uniform(named_key(key, "up"), minval=-1.0)
        push = [speed * jnp.cos(angle), speed * jnp.sin(angle), up]
        return jnp.concatenate([jnp.stack(push), jnp.zeros(3)])


@EVENTS.register("angular_push")
@dataclass(frozen=True, kw_only=True)
class AngularPush(BaseKick):
    """Adds an angular velocity about a random axis to the base.

    Attributes:
        speed: [low, high], rad/s.
    """

    speed: tuple[float, float]

    def kick(self, key: jax.Array) -> jax.Array:
        """See `BaseKick`."""
        speed = uniform_between(named_key(key, "speed"), *self.speed)
        return jnp.concatenate([jnp.zeros(3), speed * random_axis(named_key(key, "axis"))])


@EVENTS.register("jump")
@dataclass(frozen=True, kw_only=True)
class Jump(BaseKick):
    """Throws the base up, as fast as it takes to rise by a random height without drag.

    v = sqrt(2 g h), g = 9.81 m/s^2. The level scales v, and so the height with its square.

    Attributes:
        height: [low, high], m.
    """

    height: tuple[float, float]

    def kick(self, key: jax.Array) -> jax.Array:
        """See `BaseKick`."""
        height = uniform_between(key, *self.height)
        return jnp.zeros(6).at[2].set(jnp.sqrt(2.0 * 9.81 * height))


@EVENTS.register("force_push")
@dataclass(frozen=True, kw_only=True)
class ForcePush(Recurring):
    """A horizontal force in a random direction, at the centre of mass of a body, for a while.

    Attributes:
        body: name of the body.
        force: [low, high], N.
        duration: [low, high], s.
        vertical: largest vertical force besides, up or down, N.
        torque: [low, high] of a torque about a random axis besides, N m.
    """

    body: str
    force: tuple[float, float]
    duration: tuple[float, float]
    vertical: float = 0.0
    torque: tuple[float, float] = (0.0, 0.0)
    body_id: int = resolved(0)
    num_bodies: int = resolved(0)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        (body,) = object_ids(model, "body", (self.body,))
        return replace(self, body_id=body, num_bodies=int(model.nbody))

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return {**super().init(key), "left": jnp.zeros(()), "push": jnp.zeros(6)}

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """See `Event`."""
        now, carry = self.due(step, carry, key)
        size = uniform_between(named_key(key, "force"), *self.force)
        angle = uniform_between(named_key(key, "angle"), 0.0, 2.0 * math.pi)
        up = self.vertical * jax.random.uniform(named_key(key, "up"), minval=-1.0)
        twist = uniform_between(named_key(key, "torque"), *self.torque)
        twist *= random_axis(named_key(key, "axis"))
        push = jnp.stack([size * jnp.cos(angle), size * jnp.sin(angle), up])
        push = jnp.concatenate([push, twist])
        duration = uniform_between(named_key(key, "long"), *self.duration)
        left = jnp.where(now, duration, carry["left"])
        push = jnp.where(now, push, carry["push"])
        # Half a control step of margin: a duration of n steps acts during n of them.
        acting = jnp.where(left > 0.5 * step.ctrl_dt, scaled(self.scale, step.level), 0.0)
        force = jnp.zeros((self.num_bodies, 6)).at[self.body_id].set(acting * push)
        carry = {**carry, "left": jnp.maximum(left - step.ctrl_dt, 0.0), "push": push}
        return Disturbance(force=force), carry
