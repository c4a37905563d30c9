"""Whether numbers that were written into a compiled model are ones that MuJoCo can move with."""

from collections.abc import Mapping

import mujoco
import numpy as np

_NOT_NEGATIVE = (
    "dof_frictionloss",
    "dof_damping",
    "dof_armature",
    "geom_friction",
    "pair_friction",
    "tendon_frictionloss",
    "tendon_damping",
    "tendon_armature",
)
_STAYS_POSITIVE = ("body_mass", "body_inertia", "geom_size", "opt.timestep")
_SLACK = 1e-6
"""Share by which one moment of inertia may exceed the sum of the other two: rounding."""


def complaint(model: mujoco.MjModel, changed: Mapping[str, np.ndarray]) -> str:
    """The first number among changed fields that cannot be; empty where all can.

    Args:
        model: the model before it was changed.
        changed: field -> its new values.
    """
    for field, values in changed.items():
        bad = _not_possible(model, field, values)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            return f"{_element(model, field, place)} becomes {values[place]:.6g}"
    inertia = changed.get("body_inertia")
    if inertia is not None:
        largest = inertia.max(axis=1)
        bad = largest > (inertia.sum(axis=1) - largest) * (1.0 + _SLACK)
        bad &= (inertia != model.body_inertia).any(axis=1)
        if bad.any():
            index = int(np.flatnonzero(bad)[0])
            numbers = ", ".join(f"{x:.4g}" for x in inertia[index])
            return (
                f"{_element(model, 'body_inertia', (index,))} becomes {numbers}: of no body is one"
                " larger than the sum of the other two"
            )
    return ""


def object_name(model: mujoco.MjModel, field: str, index: int) -> str:
    """What a row of a field belongs to, as `body 'trunk'`, or `geom 3` of one without a name.

    Args:
        model: the model.
        field: name of the field.
        index: of the row.
    """
    prefix = field.partition("_")[0]
    kind = {"dof": "joint", "jnt": "joint"}.get(prefix, prefix)
    if prefix == "dof":
        index = int(model.dof_jntid[index])
    name = getattr(model, kind)(index).name if hasattr(model, kind) else ""
    return f"{kind} '{name}'" if name else f"{kind} {index}"


def _element(model: mujoco.MjModel, field: str, place: tuple[int, ...]) -> str:
    return f"{field} of {object_name(model, field, place[0])}" if place else field


def _not_possible(model: mujoco.MjModel, field: str, values: np.ndarray) -> np.ndarray:
    """True for each of the new values that cannot be."""
    holder, _, name = field.rpartition(".")
    before = np.asarray(getattr(getattr(model, holder) if holder else model, name))
    before = before[: len(values)] if values.ndim else before
    bad = ~np.isfinite(values)
    if field in _NOT_NEGATIVE:
        bad |= values < 0.0
    if field in _STAYS_POSITIVE:
        bad |= (values < 0.0) | ((values == 0.0) & (before > 0.0))
    return bad & (values != before)
