"""Terms of hinge and slide joints."""

from dataclasses import dataclass, replace
from typing import Self

import mujoco

from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.names import joint_addresses
from ksim_cli.physics.robot import home_pose


@dataclass(frozen=True, kw_only=True)
class JointTerm(Term):
    """Mixin of terms of hinge and slide joints.

    Attributes:
        joints: names or patterns; empty for all hinge and slide joints in model order.
        home: their positions in the home pose, rad or m.
    """

    joints: tuple[str, ...] = ()
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()
    home: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, self.joints)
        home = tuple(home_pose(model)[list(qpos)].tolist())
        bound = super().bind(model)
        return replace(bound, qpos_addresses=qpos, dof_addresses=dof, home=home)
