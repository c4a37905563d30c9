"""Rewards of joints: how they stand, how they load, how left and right compare."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.term import Carry, Reward, resolved
from ksim_cli.physics.names import joint_addresses, joint_ids, match_names
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("torque")
@dataclass(frozen=True, kw_only=True)
class TorquePenalty(JointTerm, Reward):
    """Mean of squared actuator torques, (N m)^2. From 0 up, a penalty."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        return jnp.square(pick(step.view.qfrc_actuator, self.dof_addresses)).mean(), carry


@REWARDS.register("energy")
@dataclass(frozen=True, kw_only=True)
class EnergyPenalty(JointTerm, Reward):
    """Sum of |torque * velocity| of the actuators, W: what goes in and what is braked away.

    The torque of the last physics step and the velocity that it ends with, by which all integrators
    but rk4 move the joint: their product is that step's work over its time. A penalty, from 0 up.
    """

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        power = pick(step.view.qfrc_actuator * step.view.qvel, self.dof_addresses)
        return jnp.abs(power).sum(), carry


@REWARDS.register("joint_deviation")
@dataclass(frozen=True, kw_only=True)
class JointDeviation(JointTerm, Reward):
    """Mean over joints of weight (q - home)^2, rad^2 or m^2: not divided by the weights. A penalty.

    Attributes:
        joint_weights: joint name or pattern -> weight; those not named have 1.
    """

    joint_weights: dict[str, float] | None = None
    weights: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        names = [model.joint(i).name for i in joint_ids(model, self.joints)]
        weights = dict.fromkeys(names, 1.0)
        for pattern, weight in (self.joint_weights or {}).items():
            weights |= dict.fromkeys(match_names([pattern], names, "joint of this reward"), weight)
        return replace(super().bind(model), weights=tuple(weights[n] for n in names))

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        deviation = pick(step.view.qpos, self.qpos_addresses) - jnp.array(self.home)
        return (jnp.array(self.weights) * jnp.square(deviation)).mean(), carry


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
