"""What a run is made of, as tables: its terms and its joints."""

from typing import Any

from ksim_cli.io.console import Console
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.stages import first_stage
from ksim_cli.physics.model import changed_options
from ksim_cli.physics.names import joint_actuators, scalar_joints
from ksim_cli.physics.robot import UNLIMITED
from ksim_cli.registry import FILTERS, KINDS, NOISES, SCALES, settable_fields
from ksim_cli.run.build import TrainingParts
from ksim_cli.run.sanity import sanity
from ksim_cli.task_model import TaskModel

TERM_COLUMNS = ("", "name", "type", "weight", "parameters")
JOINT_COLUMNS = ("joint", "range", "kp", "kd", "torque limit", "armature", "friction", "driven by")
FINDING_COLUMNS = ("what", "what to type")


def describe(console: Console, parts: TrainingParts) -> None:
    """Show a run's size and the tables of its task's active terms and joints."""
    env, task_model = parts.env, parts.task_model
    devices = "" if parts.mesh is None else f" on {parts.mesh.size} devices"
    console.print(f"{parts.title}{devices}, algo {parts.facts['algo']}")
    sizes = " + ".join(f"{size} {group}" for group, size in env.observation_sizes.items())
    console.print(f"observations: {sizes}; actions: {env.action_size}")
    for line in robot_lines(task_model):
        console.print(line)
    console.table("terms", TERM_COLUMNS, term_rows(task_model.mdp))
    console.table("joints", JOINT_COLUMNS, joint_rows(task_model))
    variants = env.engine.spec.variants
    for text in () if variants is None else variants.warnings:
        console.warn(text)
    if findings := sanity(task_model):
        console.table("suspicious", FINDING_COLUMNS, findings)


def robot_lines(task_model: TaskModel) -> list[str]:
    """What was decided about the robot's file, and what the configuration changes in it."""
    model, robot = task_model.model, task_model.robot
    lines = list(robot.notes)
    if changes := changed_options(robot.model, model):
        lines.append(f"physics options: {', '.join(changes)}")
    reached = {i for a in task_model.mdp.actuators.values() for i in a.ctrl_addresses}
    moved = {joint for a in task_model.mdp.actuators.values() for joint in a.joints}
    taken = {i for joint in moved for i in joint_actuators(model)[model.joint(joint).id]}
    held = [model.actuator(i).name for i in range(model.nu) if i not in reached | taken]
    if held:
        names = ", ".join(f"'{name}'" for name in held)
        lines.append(f"actuators that no action reaches, held at the home pose's control: {names}")
    return lines + (task_model.motions.notes if task_model.motions else [])


def term_rows(mdp: Mdp) -> list[list[Any]]:
    """Kind, name, registered type, weight and parameters (but defaults) of every term."""
    rows: list[list[Any]] = []
    shown = ""
    for where, term in mdp.each():
        kind, _, name = where.partition(".")
        term = first_stage(term)
        weight = _number(getattr(term, "weight", None))
        values = _parameters(term, leave_out=("weight",))
        head = kind if kind != shown else ""
        rows.append([head, name, KINDS[kind].name_of(type(term)), weight, values])
        shown = kind
    return rows


def joint_rows(task_model: TaskModel) -> list[list[Any]]:
    """The columns of `JOINT_COLUMNS` for every hinge and slide joint."""
    model, mdp, robot = task_model.model, task_model.mdp, task_model.robot
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
            limit = _limits(actuator.torque_limits()[i])
            own = robot.torque_limits.get(joint, UNLIMITED)
            if own not in (UNLIMITED, actuator.metadata[i].torque_range):
                limit += f" (file: {_limits(own)})"
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
    for registry in (NOISES, SCALES, FILTERS):
        if (name := registry.find_name(type(value))) is not None:
            inner = _parameters(value)
            return f"{name}({inner})" if inner else name
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(x) for x in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_value(v)}" for k, v in value.items()) + "}"
    return _number(value) if isinstance(value, float) else str(value)


def _limits(limits: tuple[float, float]) -> str:
    """Lowest and highest torque: one number where they are alike."""
    low, high = limits
    return _number(high) if low == -high else f"{low:.4g} … {high:.4g}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "-" if value == float("inf") else f"{value:.4g}"
