"""Terms of hinge and slide joints."""

from dataclasses import dataclass, replace
from typing import Self

import mujoco

from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.names import joint_addresses


@dataclass(frozen=True, kw_only=True)
class JointTerm(Term):
    """Mixin of terms of hinge and slide joints.

    Attributes:
        joints: names or patterns; empty for all hinge and slide joints in model order.
    """

    joints: tuple[str, ...] = ()
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, self.joints)
        return replace(super().bind(model), qpos_addresses=qpos, dof_addresses=dof)
