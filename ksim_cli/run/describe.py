"""What a run is made of, as tables: its terms and its joints."""

from typing import Any

import mujoco

from ksim_cli.io.console import Console
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.physics.names import scalar_joints
from ksim_cli.registry import (
    ACTUATORS,
    COMMANDS,
    CURRICULA,
    EVENTS,
    FILTERS,
    NOISES,
    OBSERVATIONS,
    RANDOMIZERS,
    RESETS,
    REWARDS,
    SCALES,
    TERMINATIONS,
    settable_fields,
)

_KINDS = {
    "actuators": ACTUATORS,
    "observations": OBSERVATIONS,
    "commands": COMMANDS,
    "rewards": REWARDS,
    "terminations": TERMINATIONS,
    "resets": RESETS,
    "events": EVENTS,
    "randomization": RANDOMIZERS,
    "curriculum": CURRICULA,
}
_PARTS = (NOISES, SCALES, FILTERS)
TERM_COLUMNS = ("", "name", "type", "weight", "parameters")
JOINT_COLUMNS = ("joint", "range", "kp", "kd", "torque limit", "armature", "friction", "driven by")


def describe(console: Console, model: mujoco.MjModel, mdp: Mdp) -> None:
    """Shows the tables of a task's active terms and of its joints."""
    console.table("terms", TERM_COLUMNS, term_rows(mdp))
    console.table("joints", JOINT_COLUMNS, joint_rows(model, mdp))


def term_rows(mdp: Mdp) -> list[list[Any]]:
    """Kind, name, registered type, weight and parameters (but defaults) of every term."""
    rows: list[list[Any]] = []
    for kind, registry in _KINDS.items():
        for where, term in mdp.each():
            if where.partition(".")[0] != kind:
                continue
            first = not rows or not any(row[0] == kind for row in rows)
            weight = getattr(term, "weight", None)
            name = where.partition(".")[2]
            kind_name = registry.name_of(type(term))
            shown = _parameters(term, leave_out=("weight",))
            rows.append([kind if first else "", name, kind_name, _number(weight), shown])
    return rows


def joint_rows(model: mujoco.MjModel, mdp: Mdp) -> list[list[Any]]:
    """The columns of `JOINT_COLUMNS` for every hinge and slide joint."""
    drives: dict[str, tuple[str, Actuator, int]] = {
        joint: (name, actuator, i)
        for name, actuator in mdp.actuators.items()
        for i, joint in enumerate(actuator.joints)
    }
    rows = []
    for joint in scalar_joints(model):
        index = model.joint(joint).id
        dof = int(model.jnt_dofadr[index])
        low, high = (float(x) for x in model.jnt_range[index])
        bounds = f"{low:.3g} … {high:.3g}" if model.jnt_limited[index] else "-"
        kp = kd = limit = by = "-"
        if joint in drives:
            by, actuator, i = drives[joint]
            limit = _number(actuator.torque_limits()[i])
            gains = getattr(actuator, "gains", None)
            if gains is not None:
                kp, kd = (_number(float(g[i])) for g in gains())
        armature = _number(float(model.dof_armature[dof]))
        friction = _number(float(model.dof_frictionloss[dof]))
        rows.append([joint, bounds, kp, kd, limit, armature, friction, by])
    return rows


def _parameters(component: Any, leave_out: tuple[str, ...] = ()) -> str:
    """The parameters that differ from their defaults, as they are typed."""
    shown = []
    for name, field in settable_fields(type(component)).items():
        value = getattr(component, name)
        if name not in leave_out and value != field.default:
            shown.append(f"{name}={_value(value)}")
    return ", ".join(shown)


def _value(value: Any) -> str:
    for registry in _PARTS:
        if (name := registry.find_name(type(value))) is not None:
            inner = _parameters(value)
            return f"{name}({inner})" if inner else name
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(x) for x in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_value(v)}" for k, v in value.items()) + "}"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "-" if value == float("inf") else f"{value:.4g}"
