"""Observations of joints."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.term import Carry, Latch, Observation
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class JointObservation(JointTerm, Observation):
    """Base of observations of hinge and slide joints."""

    def measured(self, step: Step) -> jax.Array:
        """`[J]` positions as encoders measure them, rad or m."""
        qpos = step.view.qpos
        if step.zero_offset is not None:
            qpos = qpos - step.zero_offset
        return pick(qpos, self.qpos_addresses)


@OBSERVATIONS.register("joint_position")
@dataclass(frozen=True, kw_only=True)
class JointPosition(JointObservation):
    """Joint coordinates as encoders measure them, rad (hinge) or m (slide); one per joint.

    Attributes:
        relative: from the home pose instead of the joint's zero.
    """

    relative: bool = False

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        position = self.measured(step)
        return (position - jnp.array(self.home) if self.relative else position), carry


@OBSERVATIONS.register("joint_angle_cos_sin")
@dataclass(frozen=True, kw_only=True)
class JointAngleCosSin(JointObservation):
    """cos of every measured joint angle, then sin of every one; in [-1, 1], two per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        angles = self.measured(step)
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)]), carry


@OBSERVATIONS.register("joint_velocity")
@dataclass(frozen=True, kw_only=True)
class JointVelocity(JointObservation):
    """Joint velocities, rad/s or m/s; one per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return pick(step.view.qvel, self.dof_addresses), carry


@dataclass(frozen=True, kw_only=True)
class Delayed(JointObservation):
    """Mixin of observations that come a whole number of control steps late, at any step length.

    Attributes:
        delay_steps: control steps.
    """

    delay_steps: int = 1

    def __post_init__(self) -> None:
        """Refuses a delay into the future."""
        super().__post_init__()
        if self.delay_steps < 0:
            raise ValueError(f"delay_steps={self.delay_steps}: must be at least 0")

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: the last values, newest first."""
        return Latch.empty(self.delay_steps, len(self.qpos_addresses))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        value, _ = super().__call__(step, (), key)
        values = jnp.concatenate([value[None], carry.get(value)])
        return values[-1], Latch.holding(values[:-1])


@OBSERVATIONS.register("delayed_joint_position")
@dataclass(frozen=True, kw_only=True)
class DelayedJointPosition(Delayed, JointPosition):
    """As `joint_position`, some control steps late."""


@OBSERVATIONS.register("delayed_joint_velocity")
@dataclass(frozen=True, kw_only=True)
class DelayedJointVelocity(Delayed, JointVelocity):
    """As `joint_velocity`, some control steps late."""


@OBSERVATIONS.register("actuator_force")
@dataclass(frozen=True, kw_only=True)
class ActuatorForce(JointObservation):
    """Torques of the actuators on joints, N m or N; one per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return pick(step.view.qfrc_actuator, self.dof_addresses), carry


@OBSERVATIONS.register("actuator_acceleration")
@dataclass(frozen=True, kw_only=True)
class ActuatorAcceleration(JointObservation):
    """Accelerations of joints, rad/s^2 or m/s^2; one per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return pick(step.view.qacc, self.dof_addresses), carry
