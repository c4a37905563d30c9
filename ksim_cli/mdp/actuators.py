"""Actuators: from an action, given each control step, to torques at each physics step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError, error_context
from ksim_cli.mdp.action_filters import ActionFilter
from ksim_cli.mdp.joints import PerJoint
from ksim_cli.mdp.noise import Noises, disturbed
from ksim_cli.mdp.term import Carry, JointState, Term, resolved
from ksim_cli.physics.joint_metadata import drives_joint, spec_joints
from ksim_cli.physics.motors import Motor, add_motors
from ksim_cli.physics.names import joint_actuators, joint_addresses, match_names
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import ACTUATORS

PerJointRange = tuple[float, float] | dict[str, tuple[float, float]]
"""One range for all joints, or joint name or pattern -> range."""

Torques = tuple[jax.Array, Carry]
"""Torques of J joints `[J]`, N m or N, and the new carry."""


@dataclass(frozen=True, kw_only=True)
class Actuator(Term):
    """Drives some hinge and slide joints. Whatever drove them in the MJCF becomes a plain motor.

    Attributes:
        feedback: whether the torque depends on the joint's state.
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

    @property
    def action_names(self) -> tuple[str, ...]:
        """The joint (or actuator of the file) of each element of its action."""
        return self.joints

    @property
    def renewed(self) -> bool:
        """Whether `ctrl` is computed anew at each physics step, and not once per control step."""
        return self.feedback

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Makes the joints' actuators plain motors; a joint without one gets one."""
        add_motors(spec, self._names(spec))

    def in_engine(self) -> Self:
        """The actuator with its law of the joint's state left to the engine, where it can be."""
        return self

    def motors(self) -> dict[str, Motor]:
        """joint -> what acts on it in the engine."""
        limits = self.torque_limits()
        return {j: Motor(low, high) for j, (low, high) in zip(self.joints, limits, strict=True)}

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

    def torque_limits(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest torque of each joint, N m or N; infinite where nothing limits it."""
        return tuple(known.torque_range for known in self.metadata)

    def clip(self, torque: jax.Array) -> jax.Array:
        """Torques `[J]` within their limits."""
        low, high = np.array(self.torque_limits()).T
        return jnp.clip(torque, low, high)

    def _names(self, spec: mujoco.MjSpec) -> tuple[str, ...]:
        available = spec_joints(spec)
        if not available:
            raise UserError("actuators: the model has no hinge or slide joint to drive")
        if self.joints:
            return match_names(self.joints, available, "hinge or slide joint")
        driven = {a.target for a in spec.actuators if drives_joint(a)}
        return tuple(j for j in available if j in driven) or tuple(available)

    def per_joint(self, value: PerJoint | PerJointRange, default: Any, field: str) -> np.ndarray:
        """`[J]` numbers, or `[J, 2]` ranges; joints that a table does not name have the default.

        Raises:
            UserError: the table names a joint that this actuator does not drive.
        """
        table = self.expanded(value if isinstance(value, Mapping) else {"*": value}, field)
        return np.array([table.get(joint, default) for joint in self.joints])

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

    def torque_limits(self) -> tuple[tuple[float, float], ...]:
        """See `Actuator.torque_limits`; joints that `limit` does not name keep their own."""
        own = super().torque_limits()
        if self.limit is None:
            return own
        typed = self.per_joint(self.limit, np.nan, "limit").tolist()
        return tuple(b if x != x else (-x, x) for x, b in zip(typed, own, strict=True))


@ACTUATORS.register("torque")
@dataclass(frozen=True, kw_only=True)
class Torque(Limited):
    """torque = action, within the limit."""

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        return self.clip(action), carry


@ACTUATORS.register("scaled_torque")
@dataclass(frozen=True, kw_only=True)
class ScaledTorque(Actuator):
    """torque = clip(action, input_range) * gear_ratio, within the joint's limit.

    Attributes:
        input_range: range of the action per joint; joints not named have [-1, 1].
        gear_ratio: N m or N at action 1; joints not named have 1. null: the joint's
            `torque_limit`, or 1 where it has none.
    """

    input_range: PerJointRange = (-1.0, 1.0)
    gear_ratio: PerJoint | None = None

    def torque_limits(self) -> tuple[tuple[float, float], ...]:
        """See `Actuator.torque_limits`."""
        reach = np.sort(self._range() * self._gear()[:, None], axis=1)
        own = np.array(super().torque_limits())
        return tuple((low, high) for low, high in np.clip(reach, own[:, :1], own[:, 1:]).tolist())

    def __call__(self, action: jax.Array, joints: JointState, carry: Carry) -> Torques:
        """See `Actuator`."""
        low, high = self._range().T
        return self.clip(jnp.clip(action, low, high) * self._gear()), carry

    def _range(self) -> np.ndarray:
        return self.per_joint(self.input_range, (-1.0, 1.0), "input_range")

    def _gear(self) -> np.ndarray:
        if self.gear_ratio is not None:
            return self.per_joint(self.gear_ratio, 1.0, "gear_ratio")
        most = np.abs([known.torque_range for known in self.metadata]).max(axis=1)
        return np.where(np.isfinite(most), most, 1.0)


@ACTUATORS.register("position")
@dataclass(frozen=True, kw_only=True)
class Position(Limited):
    """A PD controller, the MIT style: torque = kp (target - q) - kd dq, within the limit.

    target = home + scale * action, rad or m, with home the joints' part of the home pose (0
    unless `relative`). The order is: target with its noise and bias, gains with theirs, torque
    with its noise and bias, limit. A noise is drawn at each update of the torques, a bias and
    the gains once per episode.

    Where neither gains nor torque are disturbed, and torques are not held (`actuator_update_dt`),
    the engine computes the same law from its own state and integrates it, so that it is as stable
    as a servo of the MJCF.

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
    servo: bool = resolved(False)

    @property
    def renewed(self) -> bool:
        """See `Actuator.renewed`: a servo of the engine is told its target."""
        return not self.servo or self.action_noise is not None

    def in_engine(self) -> Self:
        """See `Actuator.in_engine`. A class with a law of its own keeps it."""
        disturbed = (self.torque_noise, self.torque_bias, self.kp_bias, self.kd_bias)
        own_law = type(self).__call__ not in (Position.__call__, PositionVelocity.__call__)
        linear = not own_law and all(noise is None for noise in disturbed)
        return replace(self, servo=True) if linear else self

    def motors(self) -> dict[str, Motor]:
        """See `Actuator.motors`."""
        motors = super().motors()
        if not self.servo:
            return motors
        gains = zip(*(gain.tolist() for gain in self.gains()), strict=True)
        return {
            joint: replace(motor, kp=kp, kd=kd)
            for (joint, motor), (kp, kd) in zip(motors.items(), gains, strict=True)
        }

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

    def gains(self) -> tuple[np.ndarray, np.ndarray]:
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
        """Torque towards target positions and velocities `[J]`; of a servo, its `ctrl`."""

        def draw(noises: Noises, value: jax.Array, name: int, now: bool) -> jax.Array:
            if noises is None:
                return value
            key = jax.random.fold_in(carry["key"], name)
            if now:
                key = jax.random.fold_in(key, carry["count"])
            return disturbed(noises, value, key, joints.level)

        kp, kd = (jnp.array(gain, jnp.float32) for gain in self.gains())
        position = draw(self.action_bias, position, 0, now=False)
        position = draw(self.action_noise, position, 1, now=True)
        kp, kd = draw(self.kp_bias, kp, 2, now=False), draw(self.kd_bias, kd, 3, now=False)
        if self.servo:
            # The engine subtracts what the joint's own position and velocity take off.
            torque = kp * (position + joints.offset) + kd * velocity
        else:
            torque = kp * (position - joints.position) + kd * (velocity - joints.velocity)
            torque = draw(self.torque_bias, torque, 4, now=False)
            torque = self.clip(draw(self.torque_noise, torque, 5, now=True))
        return torque, carry if carry == () else {**carry, "count": carry["count"] + 1}

    def _origin(self) -> jax.Array:
        return jnp.array(self.home) if self.relative else jnp.zeros(len(self.joints))

    def _gain(self, given: PerJoint | None, name: str) -> np.ndarray:
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

    @property
    def action_names(self) -> tuple[str, ...]:
        """See `Actuator`: the joints of the positions, then those of the velocities."""
        return self.joints * 2

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
        velocity *= self.per_joint(self.velocity_scale, 1.0, "velocity_scale")
        return self._torque(self.target(position), velocity, joints, carry)
