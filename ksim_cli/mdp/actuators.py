"""Actuators: from an action, given each control step, to torques at each physics step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError, error_context
from ksim_cli.mdp.action_filters import ActionFilter
from ksim_cli.mdp.noise import Noises, disturbed
from ksim_cli.mdp.term import Carry, JointState, Term, resolved
from ksim_cli.physics.joint_metadata import drives_joint, spec_joints
from ksim_cli.physics.model import home_pose
from ksim_cli.physics.names import joint_actuators, joint_addresses, match_names
from ksim_cli.registry import ACTUATORS

PerJoint = float | dict[str, float]
"""One number for all joints, or joint name or pattern -> number."""

PerJointRange = tuple[float, float] | dict[str, tuple[float, float]]
"""One range for all joints, or joint name or pattern -> range."""

Torques = tuple[jax.Array, Carry]
"""Torques of J joints `[J]`, N m or N, and the new carry."""


@dataclass(frozen=True, kw_only=True)
class Actuator(Term):
    """Drives some hinge and slide joints. Whatever drove them in the MJCF is replaced by torque.

    Attributes:
        feedback: whether the torque depends on the joint's state, so that it is computed anew
            at each physics step.
        joints: joint names or patterns, in the order of the action's elements; empty for the
            joints that the MJCF's actuators drive, or for all where it has none.
        filters: what changes the action before it is sent, in order.
    """

    feedback: ClassVar[bool] = False
    joints: tuple[str, ...] = ()
    filters: ActionFilter | tuple[ActionFilter, ...] | None = None
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()
    ctrl_addresses: tuple[int, ...] = resolved()
    home: tuple[float, ...] = resolved()
    metadata: tuple[JointMetadata, ...] = resolved()

    @property
    def action_size(self) -> int:
        """Elements of its part of the action, `A`."""
        return len(self.joints)

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Puts a plain motor, named like the joint, in place of the joints' actuators."""
        for joint in self._names(spec):
            for actuator in list(spec.actuators):
                if actuator.target == joint and drives_joint(actuator):
                    spec.delete(actuator)
            motor = spec.add_actuator(name=joint, target=joint)
            motor.trntype = mujoco.mjtTrn.mjTRN_JOINT

    def resolve(self, spec: mujoco.MjSpec, metadata: Mapping[str, JointMetadata]) -> Self:
        """The actuator with its joints written out and what is known of them, before any edit."""
        joints = self._names(spec)
        known = tuple(metadata.get(joint, JointMetadata()) for joint in joints)
        return replace(self, joints=joints, metadata=known)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`; a table of torque limits that names a wrong joint is found here."""
        self.torque_limits()
        qpos, dof = joint_addresses(model, self.joints)
        pulling = joint_actuators(model)
        ctrl = tuple(pulling[int(model.joint(joint).id)][0] for joint in self.joints)
        home = tuple(float(x) for x in home_pose(model)[list(qpos)])
        return replace(self, qpos_addresses=qpos, dof_addresses=dof, ctrl_addresses=ctrl, home=home)

    def rest_action(self, position: jax.Array) -> jax.Array:
        """`[A]` the action that asks for nothing new of joints at `position` `[J]`."""
        del position
        return jnp.zeros(self.action_size)

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """Torques of this actuator's joints.

        Args:
            action: `[A]` this actuator's part of the action.
            joints: state of its J joints.
            carry: the carry.
        """
        raise NotImplementedError

    def torque_limits(self) -> tuple[float, ...]:
        """The largest torque of each joint, N m or N; infinity where nothing limits it."""
        limits = (known.torque_limit for known in self.metadata)
        return tuple(float("inf") if x is None else x for x in limits)

    def _names(self, spec: mujoco.MjSpec) -> tuple[str, ...]:
        available = spec_joints(spec)
        if not available:
            raise UserError("actuators: the model has no hinge or slide joint to drive")
        if self.joints:
            return match_names(self.joints, available, "hinge or slide joint")
        driven = {a.target for a in spec.actuators if drives_joint(a)}
        return tuple(j for j in available if j in driven) or tuple(available)

    def per_joint(self, value: PerJoint | PerJointRange, default: Any, field: str) -> jax.Array:
        """`[J]` numbers, or `[J, 2]` ranges; joints that a table does not name have the default.

        Raises:
            UserError: the table names a joint that this actuator does not drive.
        """
        table = self.expanded(value if isinstance(value, Mapping) else {"*": value}, field)
        with jax.ensure_compile_time_eval():  # numbers, not traced, within `jit` as well
            return jnp.array([table.get(joint, default) for joint in self.joints])

    def expanded(self, table: Mapping[str, Any], field: str) -> dict[str, Any]:
        """A table with its patterns replaced by the joints they fit.

        Raises:
            UserError: a pattern that fits none.
        """
        expanded: dict[str, Any] = {}
        for pattern, value in table.items():
            with error_context(field):
                names = match_names([pattern], self.joints, "joint of this actuator")
            expanded |= dict.fromkeys(names, value)
        return expanded


@dataclass(frozen=True, kw_only=True)
class Limited(Actuator):
    """Base of actuators whose torque is clipped.

    Attributes:
        limit: largest torque, N m or N; null: the joint's `torque_limit`, if it has one.
    """

    limit: PerJoint | None = None

    def torque_limits(self) -> tuple[float, ...]:
        """See `Actuator.torque_limits`."""
        if self.limit is None:
            return super().torque_limits()
        return tuple(self.per_joint(self.limit, float("inf"), "limit").tolist())


@ACTUATORS.register("torque")
@dataclass(frozen=True, kw_only=True)
class Torque(Limited):
    """torque = clip(action, -limit, limit)."""

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        limit = jnp.array(self.torque_limits())
        return jnp.clip(action, -limit, limit), carry


@ACTUATORS.register("scaled_torque")
@dataclass(frozen=True, kw_only=True)
class ScaledTorque(Actuator):
    """torque = clip(action, input_range) * gear_ratio.

    Attributes:
        input_range: range of the action per joint; joints not named have [-1, 1].
        gear_ratio: N m or N at action 1; joints not named have 1. null: the joint's
            `torque_limit`, or 1 where it has none.
    """

    input_range: PerJointRange = (-1.0, 1.0)
    gear_ratio: PerJoint | None = None

    def torque_limits(self) -> tuple[float, ...]:
        """See `Actuator.torque_limits`."""
        low, high = self.per_joint(self.input_range, (-1.0, 1.0), "input_range").T
        reach = jnp.maximum(jnp.abs(low), jnp.abs(high)) * jnp.abs(self._gear())
        return tuple(reach.tolist())

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        low, high = self.per_joint(self.input_range, (-1.0, 1.0), "input_range").T
        return jnp.clip(action, low, high) * self._gear(), carry

    def _gear(self) -> jax.Array:
        if self.gear_ratio is not None:
            return self.per_joint(self.gear_ratio, 1.0, "gear_ratio")
        return jnp.array([1.0 if k.torque_limit is None else k.torque_limit for k in self.metadata])


@ACTUATORS.register("position")
@dataclass(frozen=True, kw_only=True)
class Position(Limited):
    """A PD controller, the MIT style: torque = kp (target - q) - kd dq, within the limit.

    target = home + scale * action, rad or m, with home the joints' part of the home pose (0
    unless `relative`). The order is: target with its noise and bias, gains with theirs, torque
    with its noise and bias, limit. A noise is drawn at each update of the torques, a bias and
    the gains once per episode.

    Attributes:
        kp: N m/rad or N/m; null: the joint's own in `joints`.
        kd: N m s/rad or N s/m; null: the joint's own.
        scale: rad or m at action 1.
        relative: whether targets count from the home pose.
        action_noise: on the target, rad or m.
        action_bias: the same, per episode.
        torque_noise: on the torque, N m or N.
        torque_bias: the same, per episode.
        kp_bias: on kp, per episode.
        kd_bias: on kd, per episode.
    """

    feedback: ClassVar[bool] = True
    kp: PerJoint | None = None
    kd: PerJoint | None = None
    scale: PerJoint = 1.0
    relative: bool = True
    action_noise: Noises = None
    action_bias: Noises = None
    torque_noise: Noises = None
    torque_bias: Noises = None
    kp_bias: Noises = None
    kd_bias: Noises = None

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        self.gains()
        self.per_joint(self.scale, 1.0, "scale")
        return super().bind(model)

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: the episode's key, and how often torques were computed."""
        drawn = (self.action_noise, self.action_bias, self.torque_noise, self.torque_bias)
        if all(noise is None for noise in (*drawn, self.kp_bias, self.kd_bias)):
            return ()
        return {"key": key, "count": jnp.int32(0)}

    def gains(self) -> tuple[jax.Array, jax.Array]:
        """kp and kd, `[J]` each.

        Raises:
            UserError: a joint that has none.
        """
        return self._gain(self.kp, "kp"), self._gain(self.kd, "kd")

    def rest_action(self, position: jax.Array) -> jax.Array:
        """See `Actuator`: the joints' own positions as targets."""
        return (position - self._origin()) / self.per_joint(self.scale, 1.0, "scale")

    def target(self, action: jax.Array) -> jax.Array:
        """`[J]` target positions of an action `[J]`, rad or m."""
        return self._origin() + self.per_joint(self.scale, 1.0, "scale") * action

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        return self._torque(self.target(action), jnp.zeros(len(self.joints)), joints, carry)

    def _torque(
        self, position: jax.Array, velocity: jax.Array, joints: JointState, carry: Carry
    ) -> Torques:
        """Torque towards target positions and velocities `[J]`."""
        kp, kd = self.gains()
        limit = jnp.array(self.torque_limits())
        if carry == ():
            torque = kp * (position - joints.position) + kd * (velocity - joints.velocity)
            return jnp.clip(torque, -limit, limit), carry
        level = joints.level

        def draw(noises: Noises, value: jax.Array, name: int, now: bool) -> jax.Array:
            key = jax.random.fold_in(carry["key"], name)
            if now:
                key = jax.random.fold_in(key, carry["count"])
            return disturbed(noises, value, key, level)

        position = draw(self.action_bias, position, 0, now=False)
        position = draw(self.action_noise, position, 1, now=True)
        kp, kd = draw(self.kp_bias, kp, 2, now=False), draw(self.kd_bias, kd, 3, now=False)
        torque = kp * (position - joints.position) + kd * (velocity - joints.velocity)
        torque = draw(self.torque_bias, torque, 4, now=False)
        torque = draw(self.torque_noise, torque, 5, now=True)
        carry = {**carry, "count": carry["count"] + 1}
        return jnp.clip(torque, -limit, limit), carry

    def _origin(self) -> jax.Array:
        return jnp.array(self.home) if self.relative else jnp.zeros(len(self.joints))

    def _gain(self, given: PerJoint | None, name: str) -> jax.Array:
        own = {
            joint: value
            for joint, known in zip(self.joints, self.metadata, strict=True)
            if (value := getattr(known, name)) is not None
        }
        table = own if given is None else given
        if isinstance(table, Mapping):
            table = own | self.expanded(table, name)
            for joint in self.joints:
                if joint not in table:
                    raise UserError(
                        f"joint '{joint}' has no {name}."
                        f" Set joints.{joint}.{name}, or {name} of the actuator"
                    )
        return self.per_joint(table, 0.0, name)


@ACTUATORS.register("position_velocity")
@dataclass(frozen=True, kw_only=True)
class PositionVelocity(Position):
    """A PD controller on both: torque = kp (target - q) + kd (target velocity - dq).

    The action has two elements per joint: first all positions, as those of `position`, then all
    velocities, rad/s or m/s at action 1.

    Attributes:
        velocity_scale: rad/s or m/s at action 1.
    """

    velocity_scale: PerJoint = 1.0

    @property
    def action_size(self) -> int:
        """Elements of its part of the action, `A`."""
        return 2 * len(self.joints)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        self.per_joint(self.velocity_scale, 1.0, "velocity_scale")
        return super().bind(model)

    def rest_action(self, position: jax.Array) -> jax.Array:
        """See `Actuator`: the joints' own positions, no velocity."""
        return jnp.concatenate([super().rest_action(position), jnp.zeros(len(self.joints))])

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        position, velocity = jnp.split(action, 2)
        velocity = self.per_joint(self.velocity_scale, 1.0, "velocity_scale") * velocity
        return self._torque(self.target(position), velocity, joints, carry)
