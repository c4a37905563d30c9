"""What a robot's file says, read in one place: limits, base, home pose, and who drives what.

The file is compiled once as it is, so that default classes, units and attached parts count as
MuJoCo counts them. What is decided here and cannot be seen in the model otherwise goes into it as
custom text, so that whoever holds the model knows it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata, TaskConfig
from ksim_cli.errors import UserError, error_context, listing, nearest
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.free_base import BASE_TEXT
from ksim_cli.physics.names import SCALAR_JOINTS, joint_actuators, no_such, object_names, read_text

HOME_TEXT = "ksim/home"
"""Custom text of a model: the name of the keyframe that is the home pose."""

BESIDE_POSE = ("act", "mocap_pos", "mocap_quat")
"""Fields of `mjData` that a reset takes from the home keyframe as they are."""

Limits = tuple[float, float]
"""Lowest and highest torque, N m or N; infinite where nothing limits it."""

UNLIMITED: Limits = (-np.inf, np.inf)


@dataclass(frozen=True)
class Robot:
    """A robot's file, before terms and configuration change anything.

    Attributes:
        model: the file as it compiles.
        torque_limits: hinge or slide joint -> what its own actuators and its own range of force
            let act on it, per direction.
        notes: what was decided where the file leaves a choice, a sentence each.
    """

    model: mujoco.MjModel
    torque_limits: Mapping[str, Limits]
    notes: tuple[str, ...] = ()

    def with_limits(self, metadata: Mapping[str, JointMetadata]) -> dict[str, JointMetadata]:
        """Metadata of all joints; the file's torque limit where none is given.

        Args:
            metadata: joint name -> what a task says of it.

        Raises:
            UserError: a name that no hinge or slide joint has.
        """
        for joint in metadata:
            if joint not in self.torque_limits:
                with error_context("get_mujoco_model_metadata"):
                    raise no_such(joint, self.torque_limits, "hinge or slide joint")
        known: dict[str, JointMetadata] = {}
        for joint, limits in self.torque_limits.items():
            given = metadata.get(joint, JointMetadata())
            limit = None if limits == UNLIMITED else limits
            own = given.torque_limit is None
            known[joint] = replace(given, torque_limit=limit) if own else given
        return known


def read_robot(spec: mujoco.MjSpec | CompiledSpec, task: TaskConfig) -> Robot:
    """Read a file, name what it leaves without a name, and write the task's choices into it.

    Args:
        spec: the model before it is edited.
        task: `home` and `base` are looked at.

    Raises:
        UserError: it does not compile, or lacks what the task names.
    """
    if isinstance(spec, mujoco.MjSpec):
        _name_elements(spec)
    model = compiled(spec)
    notes = _choose_home(spec, model, task.home)
    if task.base:
        _choose(spec, BASE_TEXT, task.base, object_names(model, "body")[1:], "task.base", "body")
    return Robot(model, torque_limits(model), tuple(notes))


def compiled(spec: mujoco.MjSpec | CompiledSpec) -> mujoco.MjModel:
    """The model of a spec.

    Raises:
        UserError: it does not compile; the message is MuJoCo's.
    """
    try:
        return spec.compile()
    except ValueError as error:
        raise UserError(f"the model does not compile: {error}") from error


def home_key(model: mujoco.MjModel) -> int | None:
    """Index of the keyframe that episodes start from; None: there is none.

    The one that the task chose, else `home`, else the only one.
    """
    names = [model.key(i).name for i in range(model.nkey)]
    chosen = read_text(model, HOME_TEXT) or "home"
    return names.index(chosen) if chosen in names else 0 if len(names) == 1 else None


def home_pose(model: mujoco.MjModel) -> np.ndarray:
    """`[nq]` the pose resets start from: the home keyframe's, else the model's default."""
    key = home_key(model)
    return np.array(model.qpos0 if key is None else model.key_qpos[key])


def home_velocity(model: mujoco.MjModel) -> np.ndarray:
    """`[nv]` the velocity resets start from: the home keyframe's, else none."""
    key = home_key(model)
    return np.zeros(model.nv) if key is None else np.array(model.key_qvel[key])


def home_control(model: mujoco.MjModel) -> np.ndarray:
    """`[nu]` controls of the home keyframe, within their ranges: held by what no action reaches."""
    key = home_key(model)
    control = np.zeros(model.nu) if key is None else np.array(model.key_ctrl[key])
    low, high = model.actuator_ctrlrange.T
    return np.where(model.actuator_ctrllimited, np.clip(control, low, high), control)


def home_data(model: mujoco.MjModel) -> mujoco.MjData:
    """Data at the home pose, with the keyframe's activations and mocap poses; not forwarded."""
    data, key = mujoco.MjData(model), home_key(model)
    if key is not None:
        mujoco.mj_resetDataKeyframe(model, data, key)
    return data


def torque_limits(model: mujoco.MjModel) -> dict[str, Limits]:
    """Hinge or slide joint -> the torque that may act on it, per direction.

    The actuators of a joint add up: of a motor the range of its control, of any its range of force,
    times its gear. The joint's own range of force bounds the sum. A joint without an actuator has
    that alone.
    """
    pulling, limits = joint_actuators(model), {}
    for joint in range(model.njnt):
        if model.jnt_type[joint] not in SCALAR_JOINTS:
            continue
        own = pulling.get(joint, [])
        low, high = np.sum([_torques(model, i) for i in own], axis=0) if own else UNLIMITED
        if model.jnt_actfrclimited[joint]:
            bound = model.jnt_actfrcrange[joint]
            low, high = max(low, bound[0]), min(high, bound[1])
        limits[model.joint(joint).name] = (float(low), float(high))
    return limits


def _torques(model: mujoco.MjModel, actuator: int) -> Limits:
    """What one actuator lets act on its joint."""
    forces = UNLIMITED
    affine = model.actuator_biastype[actuator] != mujoco.mjtBias.mjBIAS_NONE
    fixed = model.actuator_gaintype[actuator] == mujoco.mjtGain.mjGAIN_FIXED
    stateful = model.actuator_dyntype[actuator] == mujoco.mjtDyn.mjDYN_INTEGRATOR
    limited, bounds = (
        (model.actuator_actlimited, model.actuator_actrange)
        if stateful
        else (model.actuator_ctrllimited, model.actuator_ctrlrange)
    )
    # The control of a servo is a place or a speed, and no force.
    if fixed and not affine and limited[actuator]:
        forces = _sorted(model.actuator_gainprm[actuator, 0] * bounds[actuator])
    if model.actuator_forcelimited[actuator]:
        low, high = model.actuator_forcerange[actuator]
        forces = max(forces[0], low), min(forces[1], high)
    gear = model.actuator_gear[actuator, 0]
    return _sorted(np.array(forces) * gear) if gear else (0.0, 0.0)


def _sorted(pair: np.ndarray) -> Limits:
    return float(pair.min()), float(pair.max())


def _choose_home(
    spec: mujoco.MjSpec | CompiledSpec, model: mujoco.MjModel, wanted: str
) -> list[str]:
    """Write the choice of a keyframe into the spec; what is to be said of it."""
    names = [model.key(i).name for i in range(model.nkey)]
    key = home_key(model)
    if wanted and (key is None or names[key] != wanted):
        _choose(spec, HOME_TEXT, wanted, names, "task.home", "keyframe")
    if wanted:
        return []
    if key is not None and names[key] != "home":
        return [f"home: the only keyframe{f' {names[key]!r}' * bool(names[key])}"]
    if key is None and names:
        shown = listing(name for name in names if name) or f"{len(names)} without a name"
        return [f"home: the default pose. task.home=… takes a keyframe: {shown}"]
    return []


def _choose(
    spec: mujoco.MjSpec | CompiledSpec,
    text: str,
    wanted: str,
    names: Sequence[str],
    key: str,
    what: str,
) -> None:
    if wanted not in names:
        raise UserError(
            f"{key}={wanted}: no {what} of that name in the model.{nearest(wanted, names)}"
            f" Available: {listing(name for name in names if name) or 'none'}"
        )
    spec.add_text(name=text, data=wanted)


def _name_elements(spec: mujoco.MjSpec) -> None:
    """Name bodies, hinge and slide joints and actuators that have no name, after what they are at.

    A body is named after its parent, a joint after its body, an actuator after its target.
    """
    taken = {body.name for body in spec.bodies}
    for body in spec.bodies:
        for i, child in enumerate(body.bodies):
            if not child.name:
                child.name = _free_name(f"{body.name}/{i}", taken)
    taken = {joint.name for joint in spec.joints}
    for body in spec.bodies:
        nameless = [j for j in body.joints if int(j.type) in SCALAR_JOINTS and not j.name]
        for i, joint in enumerate(nameless):
            own = body.name if len(nameless) == 1 else f"{body.name}/{i}"
            joint.name = _free_name(own, taken)
    taken = {actuator.name for actuator in spec.actuators}
    for i, actuator in enumerate(spec.actuators):
        if not actuator.name:
            actuator.name = _free_name(actuator.target or f"actuator/{i}", taken)


def _free_name(wanted: str, taken: set[str]) -> str:
    """A name that nothing else has, noted as taken."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}/{count}"
    taken.add(name)
    return name
