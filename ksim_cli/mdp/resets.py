"""Resets: the pose an episode starts from."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.term import Pose, Reset, resolved
from ksim_cli.physics.names import joint_addresses
from ksim_cli.registry import RESETS


@dataclass(frozen=True, kw_only=True)
class JointReset(Reset):
    """Base of resets of hinge and slide joints.

    Attributes:
        scale: half width (uniform) or standard deviation (normal).
        distribution: of the random part, `uniform` or `normal`, mean zero.
        joints: joint names; empty for all hinge and slide joints.
    """

    scale: float
    distribution: Literal["uniform", "normal"] = "uniform"
    joints: tuple[str, ...] = ()
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, self.joints)
        return replace(self, qpos_addresses=qpos, dof_addresses=dof)

    def sample(self, key: jax.Array) -> jax.Array:
        """One random number per joint."""
        shape = (len(self.qpos_addresses),)
        if self.distribution == "normal":
            return self.scale * jax.random.normal(key, shape)
        return self.scale * jax.random.uniform(key, shape, minval=-1.0)


@RESETS.register("random_joint_position")
@dataclass(frozen=True, kw_only=True)
class RandomJointPosition(JointReset):
    """qpos + random; `scale` in rad or m. Joint limits are not enforced."""

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        return pose.replace(qpos=pose.qpos.at[jnp.array(self.qpos_addresses)].add(self.sample(key)))


@RESETS.register("random_joint_velocity")
@dataclass(frozen=True, kw_only=True)
class RandomJointVelocity(JointReset):
    """qvel + random; `scale` in rad/s or m/s."""

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """See `Reset`."""
        return pose.replace(qvel=pose.qvel.at[jnp.array(self.dof_addresses)].add(self.sample(key)))
