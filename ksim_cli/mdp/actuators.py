"""Actuators: from an action, given each control step, to torques at each physics step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.mdp.term import Carry, Term, resolved
from ksim_cli.physics.model import joint_addresses
from ksim_cli.registry import ACTUATORS

PerJoint = float | dict[str, float]
"""One number for all joints, or joint name -> number."""

PerJointRange = tuple[float, float] | dict[str, tuple[float, float]]
"""One range for all joints, or joint name -> range."""

_SCALAR = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


@dataclass(frozen=True, kw_only=True)
class Actuator(Term):
    """Drives some hinge and slide joints. Whatever drove them in the MJCF is replaced by torque.

    Attributes:
        joints: joint names, in the order of the action's elements; empty for the joints that
            the MJCF's actuators drive, or for all where it has none.
        feedback: whether the torque depends on the joint's state, so that it is computed anew
            at each physics step.
    """

    feedback: ClassVar[bool] = False
    joints: tuple[str, ...] = ()
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()
    ctrl_addresses: tuple[int, ...] = resolved()

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Puts a plain motor, named like the joint, in place of the joints' actuators."""
        for joint in self._names(spec):
            for actuator in list(spec.actuators):
                if actuator.target == joint and _drives_joint(actuator):
                    spec.delete(actuator)
            motor = spec.add_actuator(name=joint, target=joint)
            motor.trntype = mujoco.mjtTrn.mjTRN_JOINT

    def resolve(self, spec: mujoco.MjSpec) -> Self:
        """The actuator with its default joints written out, before any is edited."""
        return replace(self, joints=self._names(spec))

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, self.joints)
        ctrl = tuple(int(model.actuator(joint).id) for joint in self.joints)
        return replace(self, qpos_addresses=qpos, dof_addresses=dof, ctrl_addresses=ctrl)

    def __call__(
        self,
        action: jax.Array,
        position: jax.Array,
        velocity: jax.Array,
        carry: Carry,
    ) -> tuple[jax.Array, Carry]:
        """Torques of this actuator's joints.

        Args:
            action: `[J]` this actuator's part of the action.
            position: `[J]` joint positions, rad or m.
            velocity: `[J]` joint velocities, rad/s or m/s.
            carry: the carry.

        Returns:
            `[J]` torques, N m or N, and the new carry.
        """
        raise NotImplementedError

    def _names(self, spec: mujoco.MjSpec) -> tuple[str, ...]:
        available = [j.name for j in spec.joints if j.type in _SCALAR]
        driven = {a.target for a in spec.actuators if _drives_joint(a)}
        for name in self.joints:
            if name not in available:
                raise UserError(
                    f"actuators: no hinge or slide joint '{name}' in the model."
                    f"{nearest(name, available)} Available: {listing(available)}"
                )
        return self.joints or tuple(j for j in available if j in driven) or tuple(available)

    def per_joint(self, value: PerJoint, default: float, field: str) -> jax.Array:
        """`[J]` numbers of this actuator's joints; those a table does not name have the default.

        Raises:
            UserError: the table names a joint that this actuator does not drive.
        """
        if not isinstance(value, Mapping):
            return jnp.full(len(self.joints), value)
        self._check(value, field)
        return jnp.array([value.get(joint, default) for joint in self.joints])

    def per_joint_range(
        self, value: PerJointRange, default: tuple[float, float], field: str
    ) -> tuple[jax.Array, jax.Array]:
        """Lower and upper ends `[J]`, as `per_joint`."""
        if isinstance(value, Mapping):
            self._check(value, field)
            ranges = [value.get(joint, default) for joint in self.joints]
        else:
            ranges = [value] * len(self.joints)
        return jnp.array([r[0] for r in ranges]), jnp.array([r[1] for r in ranges])

    def _check(self, table: Mapping[str, object], field: str) -> None:
        for name in table:
            if name not in self.joints:
                raise UserError(
                    f"actuators: {field} names '{name}', which this actuator does not drive."
                    f"{nearest(name, self.joints)} It drives: {listing(self.joints)}"
                )


def _drives_joint(actuator: Any) -> bool:
    """Whether an actuator of a spec pulls at a joint: a tendon may have a joint's name."""
    joint = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)
    return actuator.trntype in joint


@ACTUATORS.register("torque")
@dataclass(frozen=True, kw_only=True)
class Torque(Actuator):
    """torque = clip(action, -limit, limit).

    Attributes:
        limit: largest torque, N m or N; null: no limit.
    """

    limit: PerJoint | None = None

    def __call__(
        self, action: jax.Array, position: jax.Array, velocity: jax.Array, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """See `Actuator`."""
        del position, velocity
        if self.limit is None:
            return action, carry
        limit = self.per_joint(self.limit, float("inf"), "limit")
        return jnp.clip(action, -limit, limit), carry


@ACTUATORS.register("scaled_torque")
@dataclass(frozen=True, kw_only=True)
class ScaledTorque(Actuator):
    """torque = clip(action, input_range) * gear_ratio.

    Attributes:
        input_range: range of the action per joint; joints not named have [-1, 1].
        gear_ratio: N m or N at action 1; joints not named have 1.
    """

    input_range: PerJointRange = (-1.0, 1.0)
    gear_ratio: PerJoint = 1.0

    def __call__(
        self, action: jax.Array, position: jax.Array, velocity: jax.Array, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """See `Actuator`."""
        del position, velocity
        low, high = self.per_joint_range(self.input_range, (-1.0, 1.0), "input_range")
        gear = self.per_joint(self.gear_ratio, 1.0, "gear_ratio")
        return jnp.clip(action, low, high) * gear, carry
