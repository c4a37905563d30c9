"""Rewards of where bodies and sites are."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.frames import Frames, bind_frames
from ksim_cli.mdp.maths import Norm
from ksim_cli.mdp.rewards.tracking import GREEN, Tracking
from ksim_cli.mdp.term import Carry, Reward, resolved
from ksim_cli.registry import REWARDS
from ksim_cli.types import Marker, Step


@dataclass(frozen=True, kw_only=True)
class PointReward(BaseTerm, Reward):
    """Base of rewards of a commanded point.

    Attributes:
        command: name of a command [x, y, z], m.
        in_robot_frame: whether the command counts from the base and turns with it.
    """

    command: str
    in_robot_frame: bool = True
    frames: Frames = resolved(Frames())

    def wanted(self, step: Step) -> jax.Array:
        """`[3]` the point in the world, m, of the moment that the frames are of."""
        wanted = commanded(step, self.command, 3)
        if not self.in_robot_frame:
            return wanted
        turned = maths.rotate(wanted, self.base.sensed_quaternion(step.view))
        return self.base.sensed_position(step.view) + turned


@REWARDS.register("position_tracking")
@dataclass(frozen=True, kw_only=True)
class PositionTracking(PointReward, Tracking):
    """exp(-|p - command|^2 / sigma^2), p a body's or site's position, m. Range (0, 1].

    Attributes:
        target: name of the body or site.
        norm: |p - command| by `l2`, or by `l1`: the sum over the axes.
    """

    target: str
    norm: Norm = "l2"

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(super().bind(model), frames=bind_frames(model, (self.target,)))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        error = self.frames.position(step.view)[0] - self.wanted(step)
        if self.norm == "l1":
            error = jnp.abs(error).sum(keepdims=True)
        return self.kernel(error), carry

    def markers(self, step: Step) -> tuple[Marker, ...]:
        """A sphere where the point shall be."""
        upright = jnp.array([1.0, 0.0, 0.0, 0.0])
        return (Marker("sphere", self.wanted(step), upright, jnp.full(3, 0.04), GREEN),)


@REWARDS.register("reachability")
@dataclass(frozen=True, kw_only=True)
class Reachability(PointReward):
    """How far a commanded point is out of reach of a body or site, m. From 0 up, a penalty.

    max(0, |command - p| - radius), both in the frame of the base: stand so that it can be reached.

    Attributes:
        origin: name of the body or site that reaches, e.g. a shoulder.
        radius: reach, m.
    """

    origin: str
    radius: float

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(super().bind(model), frames=bind_frames(model, (self.origin,)))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        distance = jnp.linalg.norm(self.wanted(step) - self.frames.position(step.view)[0])
        return jnp.maximum(distance - self.radius, 0.0), carry


@REWARDS.register("intersection")
@dataclass(frozen=True, kw_only=True)
class Intersection(Reward):
    """Sum over pairs of how much closer than a distance two points are, m. A penalty.

    max(0, distance - |p - q|) each: keeps shanks and feet from crossing without collisions.

    Attributes:
        pairs: [body or site, body or site] each.
        distance: m.
    """

    pairs: tuple[tuple[str, str], ...]
    distance: float
    first: Frames = resolved(Frames())
    second: Frames = resolved(Frames())

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        first, second = (bind_frames(model, [pair[i] for pair in self.pairs]) for i in (0, 1))
        return replace(self, first=first, second=second)

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        apart = self.first.position(step.view) - self.second.position(step.view)
        return jnp.maximum(self.distance - jnp.linalg.norm(apart, axis=1), 0.0).sum(), carry
