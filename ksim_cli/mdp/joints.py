"""Terms of hinge and slide joints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import mujoco
import numpy as np

from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.names import joint_addresses, joint_ids, match_names
from ksim_cli.physics.robot import home_pose

PerJoint = float | dict[str, float]
"""One number for all joints, or joint name or pattern -> number."""


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


@dataclass(frozen=True, kw_only=True)
class WeightedJoints(JointTerm):
    """Mixin of terms that weigh their joints.

    Attributes:
        joint_weights: joint name or pattern -> weight; those not named have 1.
    """

    joint_weights: dict[str, float] | None = None
    weights: tuple[float, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        weights = per_joint(model, self.joints, self.joint_weights or {}, 1.0)
        return replace(super().bind(model), weights=weights)


def per_joint(
    model: mujoco.MjModel, joints: Iterable[str], given: PerJoint, default: float
) -> tuple[float, ...]:
    """A number for each joint of a term.

    Args:
        model: the compiled model.
        joints: `JointTerm.joints`.
        given: one number for all, or a table.
        default: of joints that the table does not name.

    Raises:
        UserError: the table names what is no joint of the term.
    """
    names = [model.joint(i).name for i in joint_ids(model, joints)]
    if not isinstance(given, Mapping):
        return (float(given),) * len(names)
    numbers = dict.fromkeys(names, default)
    for pattern, number in given.items():
        numbers |= dict.fromkeys(match_names([pattern], names, "joint of this term"), number)
    return tuple(numbers[name] for name in names)


def position_bounds(
    model: mujoco.MjModel, joints: Sequence[int], home: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`[J]` lowest and highest positions of hinges and slides: their ranges, and home.

    Args:
        model: the compiled model.
        joints: their indices.
        home: `[nq]` the home pose, which stays where it is though it lie beyond a range.
    """
    chosen = list(joints)
    limited = model.jnt_limited[chosen].astype(bool)
    at_home = home[model.jnt_qposadr[chosen]]
    low, high = model.jnt_range[chosen].T
    return (
        np.where(limited, np.minimum(low, at_home), -np.inf),
        np.where(limited, np.maximum(high, at_home), np.inf),
    )
