"""Rewards of joints: how they stand, how they load, how left and right compare."""

import math
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.joints import JointTerm, PerJoint, WeightedJoints, per_joint
from ksim_cli.mdp.maths import Norm, cost, pick
from ksim_cli.mdp.rewards.tracking import ordered_to_move
from ksim_cli.mdp.term import ActionTerm, Carry, Latch, Reward, resolved
from ksim_cli.physics.names import joint_addresses, joint_ids
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("torque")
@dataclass(frozen=True, kw_only=True)
class TorquePenalty(WeightedJoints, Reward):
    """Mean over joints of weight * torque^2, actuator torques in N m. From 0 up, a penalty.

    The reference's scales, by which torques are divided, are weights of 1 / scale^2.

    Attributes:
        norm: `l2`: squares; `l1`: absolute values instead.
    """

    norm: Norm = "l2"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        torque = pick(step.view.qfrc_actuator, self.dof_addresses)
        return (jnp.array(self.weights) * cost(torque, self.norm)).mean(), carry


@REWARDS.register("energy")
@dataclass(frozen=True, kw_only=True)
class EnergyPenalty(WeightedJoints, Reward):
    """Sum of weight * |torque * velocity| of the actuators, W: in, and what is braked away.

    The torque of the last physics step and the velocity that it ends with, by which all integrators
    but rk4 move the joint: their product is that step's work over its time. A penalty, from 0 up.

    Attributes:
        positive_only: whether what is braked away costs nothing.
    """

    positive_only: bool = False

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        power = pick(step.view.qfrc_actuator * step.view.qvel, self.dof_addresses)
        spent = jnp.maximum(power, 0.0) if self.positive_only else jnp.abs(power)
        return (jnp.array(self.weights) * spent).sum(), carry


@dataclass(frozen=True, kw_only=True)
class JointExcess(JointTerm, Reward):
    """Base of penalties of what joints have beyond a limit, summed, from 0 up.

    Attributes:
        limit: for all joints, or joint name or pattern -> limit; those not named have none.
    """

    limit: PerJoint
    limits: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        limits = per_joint(model, self.joints, self.limit, math.inf)
        return replace(super().bind(model), limits=limits)

    def excess(self, values: jax.Array) -> jax.Array:
        """The sum of how much larger than their limits `[J]` values are in size."""
        return jnp.maximum(jnp.abs(values) - jnp.array(self.limits), 0.0).sum()


@REWARDS.register("joint_velocity_limits")
@dataclass(frozen=True, kw_only=True)
class JointVelocityLimits(JointExcess):
    """Sum over joints of max(0, |velocity| - limit), rad/s or m/s. From 0 up, a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return self.excess(pick(step.view.qvel, self.dof_addresses)), carry


@REWARDS.register("torque_limits")
@dataclass(frozen=True, kw_only=True)
class TorqueLimits(JointExcess):
    """Sum over joints of max(0, |torque| - limit), N m or N. From 0 up, a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return self.excess(pick(step.view.qfrc_actuator, self.dof_addresses)), carry


@REWARDS.register("joint_deviation")
@dataclass(frozen=True, kw_only=True)
class JointDeviation(WeightedJoints, Reward):
    """Mean over joints of weight (q - home)^2, rad^2 or m^2: not divided by the weights. A penalty.

    Attributes:
        norm: `l2`: squares; `l1`: absolute values instead.
    """

    norm: Norm = "l2"

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        deviation = pick(step.view.qpos, self.qpos_addresses) - jnp.array(self.home)
        return (jnp.array(self.weights) * cost(deviation, self.norm)).mean(), carry


@REWARDS.register("stand_still")
@dataclass(frozen=True, kw_only=True)
class StandStill(JointDeviation):
    """As `joint_deviation` while the commands are zero, else 0; |q - home| unless `norm` is l2.

    Attributes:
        commands: names of commands.
        threshold: commands whose norms are all below it are zero.
    """

    norm: Norm = "l1"
    commands: tuple[str, ...] = ("linear_velocity", "angular_velocity")
    threshold: float = 0.05

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        value, carry = super().__call__(step, carry)
        moving = ordered_to_move(step, self.commands, self.threshold)
        return jnp.where(moving, 0.0, value), carry


@REWARDS.register("posture")
@dataclass(frozen=True, kw_only=True)
class Posture(JointTerm, Reward):
    """exp(-mean ((q - home) / std)^2) over joints; std by the speed commanded. Range (0, 1].

    The speed is the sum of the commands' norms.

    Attributes:
        std: rad or m while the speed is below `walking_threshold`.
        std_walking: the same from there on; null: `std`.
        std_running: the same from `running_threshold` on; null: `std_walking`.
        commands: names of commands.
        walking_threshold: m/s (and rad/s).
        running_threshold: m/s (and rad/s).
    """

    std: PerJoint
    std_walking: PerJoint | None = None
    std_running: PerJoint | None = None
    commands: tuple[str, ...] = ("linear_velocity", "angular_velocity")
    walking_threshold: float = 0.05
    running_threshold: float = 1.5
    stds: tuple[tuple[float, ...], ...] = resolved()

    def __post_init__(self) -> None:
        """Refuses deviations without width, and thresholds out of order."""
        for std in (self.std, self.std_walking, self.std_running):
            numbers = std.values() if isinstance(std, dict) else [] if std is None else [std]
            if any(not number > 0 for number in numbers):
                raise ValueError(f"std={std}: must be positive")
        if not 0 <= self.walking_threshold <= self.running_threshold:
            raise ValueError(
                f"walking_threshold={self.walking_threshold}: must be from 0 to"
                f" running_threshold={self.running_threshold}"
            )

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`: joints that no table names are free, others are as when slower."""
        stds, last = [], (math.inf,) * len(joint_ids(model, self.joints))
        for given in (self.std, self.std_walking, self.std_running):
            own = per_joint(model, self.joints, {} if given is None else given, math.nan)
            last = tuple(b if math.isnan(a) else a for a, b in zip(own, last, strict=True))
            stds.append(last)
        return replace(super().bind(model), stds=tuple(stds))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        sizes = [jnp.linalg.norm(commanded(step, name)) for name in self.commands]
        speed = sum(sizes, start=jnp.zeros(()))
        gait = (speed >= self.walking_threshold) + (speed >= self.running_threshold).astype(int)
        deviation = pick(step.view.qpos, self.qpos_addresses) - jnp.array(self.home)
        return jnp.exp(-jnp.square(deviation / jnp.array(self.stds)[gait]).mean()), carry


@REWARDS.register("action_reach")
@dataclass(frozen=True, kw_only=True)
class ActionReach(ActionTerm, JointTerm, Reward):
    """How far targets are beyond what joints reach within a control step; the sum. A penalty.

    max(0, |target - q| - reach)^2 for each joint, target = home + scale * action, q before the
    step, reach = max_velocity dt + max_acceleration dt^2 / 2. For actuators of type `position`. It
    is 0 at the first step of an episode. (The reference calls it ReachabilityPenalty.)

    Attributes:
        joints: those of the action's elements, one for each, in their order; empty: all hinge and
            slide joints.
        max_velocity: rad/s or m/s.
        max_acceleration: rad/s^2 or m/s^2.
        scale_of_action: rad or m at action 1, the actuator's `scale`.
        relative: whether targets count from the home pose, as the actuator's do.
        norm: `l2`: squares; `l1`: without.
    """

    max_velocity: float
    max_acceleration: float = 0.0
    scale_of_action: float = 1.0
    relative: bool = True
    norm: Norm = "l2"

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: the positions after the last step."""
        return Latch.empty(len(self.qpos_addresses))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        if self.action_size != len(self.qpos_addresses):
            raise UserError(
                f"{len(self.qpos_addresses)} joints and {self.action_size} elements of the action:"
                " name one joint for each under `joints`"
            )
        origin = jnp.array(self.home) if self.relative else jnp.zeros(self.action_size)
        target = origin + self.scale_of_action * step.action
        reach = self.max_velocity * step.ctrl_dt + 0.5 * self.max_acceleration * step.ctrl_dt**2
        beyond = jnp.maximum(jnp.abs(target - carry.get(target)) - reach, 0.0)
        now = pick(step.view.qpos, self.qpos_addresses)
        return cost(beyond, self.norm).sum(), Latch.holding(now)


@REWARDS.register("joint_limits")
@dataclass(frozen=True, kw_only=True)
class JointLimits(JointTerm, Reward):
    """Sum of how far joints are beyond a share of their range, rad or m. From 0 up, a penalty.

    A joint without a range is never beyond it.

    Attributes:
        factor: share of the half range, about its middle, in which nothing is penalised.
    """

    factor: float = 0.9
    low: tuple[float, ...] = resolved()
    high: tuple[float, ...] = resolved()

    def __post_init__(self) -> None:
        """Refuses a factor that widens the range."""
        if not 0.0 < self.factor <= 1.0:
            raise ValueError(f"factor={self.factor}: must be in (0, 1]")

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        ids = list(joint_ids(model, self.joints))
        low, high = model.jnt_range[ids].T
        middle, half = (low + high) / 2, self.factor * (high - low) / 2
        half = np.where(model.jnt_limited[ids], half, np.inf)
        bounds = {"low": tuple((middle - half).tolist()), "high": tuple((middle + half).tolist())}
        return replace(super().bind(model), **bounds)

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        position = pick(step.view.qpos, self.qpos_addresses)
        within = jnp.clip(position, jnp.array(self.low), jnp.array(self.high))
        return jnp.abs(position - within).sum(), carry


@REWARDS.register("pairwise_symmetry")
@dataclass(frozen=True, kw_only=True)
class PairwiseSymmetry(Reward):
    """Mean over pairs of (a - sign b)^2, a and b deviations from the home pose. A penalty.

    Of one moment: for robots that move both sides alike.

    Attributes:
        pairs: [joint, its mirror] each.
        signs: -1 where the mirror's axis points the other way; empty: 1 for all.
    """

    pairs: tuple[tuple[str, str], ...]
    signs: tuple[float, ...] = ()
    first: tuple[int, ...] = resolved()
    second: tuple[int, ...] = resolved()
    home: tuple[float, ...] = resolved()

    def __post_init__(self) -> None:
        """Refuses signs that do not fit the pairs."""
        if self.signs and len(self.signs) != len(self.pairs):
            raise ValueError(f"signs={list(self.signs)}: must be as many as pairs")

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        first, second = (
            tuple(joint_addresses(model, (pair[i],))[0][0] for pair in self.pairs) for i in (0, 1)
        )
        home = tuple(float(x) for x in home_pose(model))
        return replace(self, first=first, second=second, home=home)

    def difference(self, step: Step) -> jax.Array:
        """`[P]` a - sign b of every pair."""
        deviation = step.view.qpos - jnp.array(self.home)
        signs = jnp.array(self.signs or (1.0,) * len(self.pairs))
        return deviation[jnp.array(self.first)] - signs * deviation[jnp.array(self.second)]

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.square(self.difference(step)).mean(), carry


@REWARDS.register("symmetry")
@dataclass(frozen=True, kw_only=True)
class Symmetry(PairwiseSymmetry):
    """As `pairwise_symmetry`, of running means: for gaits that use both sides alike in turn.

    m += (1 - exp(-ctrl_dt / seconds)) (a - sign b - m), from 0 at the start of an episode;
    mean over pairs of m^2. A penalty.

    Attributes:
        seconds: over which it is averaged.
    """

    seconds: float = 1.0

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return jnp.zeros(len(self.pairs))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        share = 1.0 - np.exp(-step.ctrl_dt / self.seconds)
        mean = carry + share * (self.difference(step) - carry)
        return jnp.square(mean).mean(), mean
