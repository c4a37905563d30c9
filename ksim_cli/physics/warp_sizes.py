"""Buffer sizes of MuJoCo Warp: contacts and constraints to make room for.

Its buffers have a fixed size: what does not fit is left out of the step, and counted (see
`Engine.overflows`). So the sizes here are what a model can need, not what it needs on average.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

_GEOM = mujoco.mjtGeom
_ROUND = (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_ELLIPSOID)
_EQUALITY_ROWS = {
    int(mujoco.mjtEq.mjEQ_CONNECT): 3,
    int(mujoco.mjtEq.mjEQ_WELD): 6,
}
CONTACTS_PER_GEOM = 4
"""Contacts that each moving geom is given room for, at most."""

CONTACTS_SPARE = 8
"""Contacts beyond those: two boxes face to face are one moving geom, and touch at 8 points."""


@dataclass(frozen=True)
class BufferSizes:
    """Sizes of the buffers.

    Attributes:
        naconmax: contacts of all environments together; also the pairs of geoms near each other.
        njmax: rows of constraints of one environment.
    """

    naconmax: int
    njmax: int


def buffer_sizes(model: mujoco.MjModel, pairs: np.ndarray, num_envs: int) -> BufferSizes:
    """Sizes derived from a model.

    Contacts of one environment: those that all its pairs of geoms can have together, but not more
    than `4 * (moving geoms that can collide) + 8`. A pair has 1 contact if one is a sphere or an
    ellipsoid, else 2 if one is a capsule, else 4 on a plane, else 8.

    `naconmax = num_envs * contacts`, and
    `njmax = equalities + joints and tendons with friction or limits + contacts * rows of each`,
    where a contact has 1 row without friction, `2 * (condim - 1)` in a pyramidal cone, `condim` in
    an elliptic one. Neither is 0.

    Args:
        model: the compiled model.
        pairs: `[P, 2]` geoms that may collide.
        num_envs: environments.
    """
    contacts = _contacts(model, pairs)
    rows = _equality_rows(model) + _scalar_rows(model) + contacts * _contact_rows(model, pairs)
    return BufferSizes(naconmax=max(1, num_envs * contacts), njmax=max(1, rows))


def _contacts(model: mujoco.MjModel, pairs: np.ndarray) -> int:
    """Contacts one environment can have."""
    every = sum(_pair_contacts(*model.geom_type[pair]) for pair in pairs)
    geoms = np.unique(pairs)
    moving = np.count_nonzero(model.body_weldid[model.geom_bodyid[geoms]])
    return int(min(every, CONTACTS_PER_GEOM * moving + CONTACTS_SPARE))


def _pair_contacts(*types: int) -> int:
    if any(kind in types for kind in _ROUND):
        return 1
    if _GEOM.mjGEOM_CAPSULE in types:
        return 2
    return 4 if _GEOM.mjGEOM_PLANE in types else 8


def _contact_rows(model: mujoco.MjModel, pairs: np.ndarray) -> int:
    """Rows of the contact with the most."""
    condims = [*model.geom_condim[np.unique(pairs)], *model.pair_dim]
    condim = int(max(condims, default=1))
    if condim == 1 or model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC:
        return condim
    return 2 * (condim - 1)


def _equality_rows(model: mujoco.MjModel) -> int:
    return sum(_EQUALITY_ROWS.get(int(kind), 1) for kind in model.eq_type)


def _scalar_rows(model: mujoco.MjModel) -> int:
    """Rows of friction and limits; of the two limits of a joint only one can be reached."""
    rows = (
        model.dof_frictionloss > 0,
        model.tendon_frictionloss > 0,
        model.jnt_limited,
        model.tendon_limited,
    )
    return sum(int(np.count_nonzero(each)) for each in rows)
