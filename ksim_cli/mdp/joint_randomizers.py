"""Randomizers of joints and of what drives them."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.randomizers import idle_text
from ksim_cli.mdp.term import Randomizer, resolved
from ksim_cli.physics.names import joint_actuators, joint_ids
from ksim_cli.registry import RANDOMIZERS


@dataclass(frozen=True, kw_only=True)
class DofRandomizer(JointTerm, Randomizer):
    """Base of factors of hinge and slide joints' constants, each joint with its own.

    Attributes:
        field: the model's field.
        scale: [low, high] of the factor.
    """

    field: ClassVar[str]
    scale: tuple[float, float]

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        dofs = self.dof_addresses
        idle = getattr(model, self.field)[list(dofs)] == 0.0
        why = "it is 0, and so is any multiple"
        return idle_text(model, self.field, dofs, idle, bool(self.joints), why)

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        dofs = list(self.dof_addresses)
        getattr(model, self.field)[dofs] *= rng.uniform(*self.scale, len(dofs))


@RANDOMIZERS.register("static_friction")
@dataclass(frozen=True, kw_only=True)
class StaticFriction(DofRandomizer):
    """Dry friction of joints (`dof_frictionloss`) times a factor."""

    field: ClassVar[str] = "dof_frictionloss"


@RANDOMIZERS.register("joint_damping")
@dataclass(frozen=True, kw_only=True)
class JointDamping(DofRandomizer):
    """Viscous friction of joints (`dof_damping`) times a factor."""

    field: ClassVar[str] = "dof_damping"


@RANDOMIZERS.register("armature")
@dataclass(frozen=True, kw_only=True)
class Armature(DofRandomizer):
    """Reflected inertia of joints (`dof_armature`) times a factor."""

    field: ClassVar[str] = "dof_armature"


@RANDOMIZERS.register("pd_gains")
@dataclass(frozen=True, kw_only=True)
class PDGains(JointTerm, Randomizer):
    """Gains of PD controllers that the engine computes times factors, each joint with its own.

    Those of actuators of type `position` that neither disturb gains nor torques; where they do,
    `kp_bias` and `kd_bias` disturb the gains. A target velocity goes by the factor of kp.

    Attributes:
        kp: [low, high] of the factor of kp.
        kd: [low, high] of the factor of kd.
    """

    kp: tuple[float, float] = (1.0, 1.0)
    kd: tuple[float, float] = (1.0, 1.0)
    servos: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        pulling = joint_actuators(model)
        driven = [pulling[i][0] for i in joint_ids(model, self.joints) if i in pulling]
        return replace(super().bind(model), servos=tuple(driven))

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        if not self.servos:
            raise UserError("changes nothing: none of its joints is driven by an actuator")
        idle = self._idle(model)
        why = "the engine computes no PD controller there"
        return idle_text(model, "actuator_biasprm", self.servos, idle, True, why)

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        servos, size = np.array(self.servos, int), len(self.servos)
        kp, kd = (
            np.where(self._idle(model), 1.0, rng.uniform(*r, size)) for r in (self.kp, self.kd)
        )
        # A servo is told kp times its target.
        model.actuator_gainprm[servos, 0] *= kp
        model.actuator_biasprm[servos, 1] *= kp
        model.actuator_biasprm[servos, 2] *= kd

    def _idle(self, model: mujoco.MjModel) -> np.ndarray:
        """`[len(servos)]` bool those that are plain motors."""
        return ~model.actuator_biasprm[list(self.servos), 1:3].any(axis=1)
