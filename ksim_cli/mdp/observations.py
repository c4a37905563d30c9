"""Observations."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.term import Carry, Observation, resolved
from ksim_cli.physics.names import joint_addresses
from ksim_cli.registry import OBSERVATIONS
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class JointObservation(Observation):
    """Base of observations of hinge and slide joints.

    Attributes:
        joints: joint names; empty for all hinge and slide joints in model order.
    """

    joints: tuple[str, ...] = ()
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, self.joints)
        return replace(self, qpos_addresses=qpos, dof_addresses=dof)


@OBSERVATIONS.register("joint_position")
@dataclass(frozen=True, kw_only=True)
class JointPosition(JointObservation):
    """Joint coordinates, rad (hinge) or m (slide); one per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        qpos = step.view.qpos
        if step.zero_offset is not None:
            qpos = qpos - step.zero_offset
        return qpos[jnp.array(self.qpos_addresses)], carry


@OBSERVATIONS.register("joint_angle_cos_sin")
@dataclass(frozen=True, kw_only=True)
class JointAngleCosSin(JointObservation):
    """cos of every joint angle, then sin of every joint angle; range [-1, 1], two per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        angles = step.view.qpos[jnp.array(self.qpos_addresses)]
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)]), carry


@OBSERVATIONS.register("joint_velocity")
@dataclass(frozen=True, kw_only=True)
class JointVelocity(JointObservation):
    """Joint velocities, rad/s or m/s; one per joint."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Observation`."""
        return step.view.qvel[jnp.array(self.dof_addresses)], carry
