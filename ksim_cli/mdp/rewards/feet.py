"""Rewards of feet. What touches what is told by contact sensors only."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.feet import FeetFrames, FeetTerm, TouchTerm
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.rewards.tracking import Tracking, ordered_to_move
from ksim_cli.mdp.sensors import FORCES
from ksim_cli.mdp.term import Carry, Reward, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.robot import home_data
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class MovingReward(Reward):
    """Base of rewards that are for moving robots.

    Attributes:
        commands: names of commands; nothing is given while all of them are zero.
    """

    commands: tuple[str, ...] = ()

    def while_moving(self, step: Step, value: jax.Array) -> jax.Array:
        """The value, or 0 where the robot is told to stand."""
        return jnp.where(ordered_to_move(step, self.commands), value, 0.0)


@REWARDS.register("feet_air_time")
@dataclass(frozen=True, kw_only=True)
class FeetAirTime(FeetTerm, MovingReward):
    """At each touch-down min(air time, maximum) - threshold, s; else 0. Summed over the feet.

    Long steps are rewarded and short ones penalised (Rudin et al. 2022, "Learning to Walk in
    Minutes").

    Attributes:
        threshold: air time worth nothing, s.
        maximum: longest air time that counts, s.
    """

    threshold: float = 0.2
    maximum: float = 0.5

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: time in the air of each foot, s, and whether it touched."""
        count = len(self.frames.ids)
        return {"air": jnp.zeros(count), "touched": jnp.ones(count, bool)}

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        landed = touching & ~carry["touched"]
        worth = jnp.minimum(carry["air"], self.maximum) - self.threshold
        value = self.while_moving(step, jnp.where(landed, worth, 0.0).sum())
        air = jnp.where(touching, 0.0, carry["air"] + step.ctrl_dt)
        return value, {"air": air, "touched": touching}


@REWARDS.register("feet_slip")
@dataclass(frozen=True, kw_only=True)
class FeetSlip(FeetTerm, MovingReward):
    """Sum over touching feet of their frames' squared horizontal speed, (m/s)^2. A penalty."""

    motion: ClassVar[bool] = True

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        speed = jnp.square(self.velocity(step.view)[:, :2]).sum(-1)
        return self.while_moving(step, jnp.where(touching, speed, 0.0).sum()), carry


@REWARDS.register("feet_clearance")
@dataclass(frozen=True, kw_only=True)
class FeetClearance(FeetFrames, MovingReward):
    """Sum over feet of (z - height)^2 times their frames' horizontal speed: swing high. A penalty.

    Attributes:
        height: of the foot's frame while it swings, m above where it stands.
        ground: height of a foot's frame that stands, m.
    """

    motion: ClassVar[bool] = True
    height: float = 0.1
    ground: float = 0.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        speed = jnp.sqrt(jnp.square(self.velocity(step.view)[:, :2]).sum(-1))
        error = jnp.square(self.heights(step.view) - self.ground - self.height)
        return self.while_moving(step, (error * speed).sum()), carry


@REWARDS.register("sinusoidal_gait")
@dataclass(frozen=True, kw_only=True)
class SinusoidalGaitTracking(FeetFrames, Reward):
    """exp(-mean (z - ground - command)^2 / sigma^2) over the feet's heights. Range (0, 1].

    Attributes:
        command: name of a command with one height per foot, m.
        ground: height of a foot's frame that stands, m.
        sigma: m.
    """

    command: str = "sinusoidal_gait"
    ground: float = 0.0
    sigma: float = 0.05

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        height = self.heights(step.view) - self.ground
        error = jnp.square(height - commanded(step, self.command, len(self.frames.ids))).mean()
        return jnp.exp(-error / self.sigma**2), carry


@REWARDS.register("force")
@dataclass(frozen=True, kw_only=True)
class ForcePenalty(FeetTerm, Reward):
    """Sum over feet of the net contact force beyond a threshold, N. From 0 up, a penalty.

    Attributes:
        threshold: N.
    """

    wanted: ClassVar[tuple[str, ...]] = FORCES
    threshold: float = 0.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        force = jnp.linalg.norm(self.contacts.force(step.view), axis=1)
        return jnp.maximum(force - self.threshold, 0.0).sum(), carry


@REWARDS.register("contact")
@dataclass(frozen=True, kw_only=True)
class ContactPenalty(TouchTerm, Reward):
    """Number of bodies or geoms, named under `feet`, that touch anything. From 0 up, a penalty.

    With `against` what they touch: the robot's other bodies for its self-collisions.
    """

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return self.touching(step.view).astype(jnp.float32).sum(), carry


@REWARDS.register("feet_orientation")
@dataclass(frozen=True, kw_only=True)
class FeetOrientation(FeetFrames, BaseTerm, Tracking):
    """exp(-mean angle^2 / sigma^2) over feet, that are to be as at home, with the base's yaw.

    Range (0, 1]. The angle, rad, is that between a foot's frame and what it would be if the robot
    stood in its home pose, upright, and looked where the base looks: feet flat and pointing ahead.
    """

    at_home: tuple[tuple[float, ...], ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bound, data = super().bind(model), home_data(model)
        mujoco.mj_kinematics(model, data)
        fields = ("xquat", "geom_xmat")
        view = View({name: jnp.asarray(getattr(data, name), jnp.float32) for name in fields})
        ahead = maths.heading(bound.base.sensed_quaternion(view))
        turned = jax.vmap(maths.multiply, (None, 0))(
            maths.conjugate(ahead), bound.frames.quaternion(view)
        )
        return replace(bound, at_home=tuple(map(tuple, turned.tolist())))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        ahead = maths.heading(self.base.sensed_quaternion(step.view))
        wanted = jax.vmap(maths.multiply, (None, 0))(ahead, jnp.array(self.at_home))
        between = maths.multiply(maths.conjugate(wanted), self.frames.quaternion(step.view))
        angle = 2.0 * jnp.arctan2(jnp.linalg.norm(between[:, 1:], axis=1), jnp.abs(between[:, 0]))
        return self.kernel(angle / math.sqrt(len(self.at_home))), carry


@REWARDS.register("center_of_mass")
@dataclass(frozen=True, kw_only=True)
class CenterOfMass(FeetFrames, BaseTerm, Tracking):
    """exp(-d^2 / sigma^2), d from the middle of the feet to the centre of mass, level. (0, 1].

    The middle is the mean of the feet's frames; the mass is that of the base and all it carries; d
    is the horizontal distance, m.
    """

    sigma: float = 0.1

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        middle = self.frames.position(step.view).mean(axis=0)
        return self.kernel((step.view.subtree_com[self.base.body] - middle)[:2]), carry
