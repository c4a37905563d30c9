"""The model's own actuators made to do what ksim's actuators ask of them.

An actuator of the file is changed in place, under its own name, so that sensors, keyframes and
tuples go on referring to it. Before the model is compiled a joint gets a motor without a state;
afterwards its numbers are written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.joint_metadata import drives_joint
from ksim_cli.physics.names import joint_actuators

_KEPT = ("armature", "damping", "delay", "gear", "interp", "nsample")
"""Attributes of an actuator in the file that say how it is built, whoever controls it."""

_IDENTITY = (
    *("classname", "compiler", "group", "id", "info", "name", "plugin", "refsite", "signature"),
    *("slidersite", "target", "trntype", "userdata", "cranklength"),
)


@dataclass(frozen=True)
class Motor:
    """What acts on one joint: torque = clip(ctrl - kp q - kd dq, low, high), N m or N.

    Attributes:
        low: lowest torque; -inf: no limit.
        high: highest torque.
        kp: position gain, N m/rad or N/m.
        kd: velocity gain, N m s/rad or N s/m.
    """

    low: float = -np.inf
    high: float = np.inf
    kp: float = 0.0
    kd: float = 0.0


def add_motors(spec: mujoco.MjSpec | CompiledSpec, joints: Iterable[str]) -> None:
    """Give each joint a motor: its first actuator in the file, made one in place, or a new one.

    The joint's other actuators stay as motors that nobody drives.

    Raises:
        UserError: the spec stands for a compiled model, and the joint has no plain motor there.
    """
    if isinstance(spec, CompiledSpec):
        for joint in joints:
            spec.require_motor(joint)
        return
    taken = {actuator.name for actuator in spec.actuators}
    for joint in joints:
        own = [a for a in spec.actuators if a.target == joint and drives_joint(a)]
        for actuator in own:
            _make_plain(actuator, keep=_KEPT)
            if not actuator.gear[0]:
                actuator.gear[0] = 1.0
        if not own:
            name = joint if joint not in taken else f"{joint}/motor"
            motor = spec.add_actuator(name=name, target=joint)
            _make_plain(motor, keep=())
            motor.trntype = mujoco.mjtTrn.mjTRN_JOINT
    # Their sizes follow the actuators; `restore_keys` writes what remains.
    for key in spec.keys:
        key.ctrl, key.act = [], []


def restore_keys(model: mujoco.MjModel, nominal: mujoco.MjModel) -> None:
    """Write the keyframes' controls and activations of the file into the edited model.

    Args:
        model: as it compiles after `add_motors`; its first actuators are those of the file.
        nominal: as the file compiles.
    """
    model.key_ctrl[:, : nominal.nu] = nominal.key_ctrl
    for i in range(nominal.nu):
        start, own = nominal.actuator_actadr[i], model.actuator_actadr[i]
        size = nominal.actuator_actnum[i]
        if own >= 0:
            model.key_act[:, own : own + size] = nominal.key_act[:, start : start + size]


def write_motors(model: mujoco.MjModel, motors: Mapping[str, Motor]) -> None:
    """Write the law of each joint's motor into a compiled model.

    `ctrl` is counted at the joint, N m or N, whatever the gear is; sensors of the actuator read
    what they read of the file's own at the same torque.

    Args:
        model: the compiled model, after `add_motors`; changed.
        motors: joint -> what acts on it.
    """
    pulling = joint_actuators(model)
    for name, motor in motors.items():
        joint = int(model.joint(name).id)
        driven, *others = pulling[joint]
        _write_motor(model, driven, motor)
        for i in others:
            model.actuator_gainprm[i] = 0.0
        model.key_ctrl[:, [driven, *others]] = 0.0
        if model.jnt_actfrclimited[joint]:
            # A limit that was typed stands for the file's, also where it is larger.
            low, high = model.jnt_actfrcrange[joint]
            limits = min(low, motor.low), max(high, motor.high)
            model.jnt_actfrcrange[joint] = np.clip(limits, -mujoco.mjMAXVAL, mujoco.mjMAXVAL)


def _write_motor(model: mujoco.MjModel, i: int, motor: Motor) -> None:
    gear = model.actuator_gear[i, 0]
    model.actuator_ctrllimited[i] = model.actuator_forcelimited[i] = False
    model.actuator_gainprm[i] = 0.0
    model.actuator_gainprm[i, 0] = 1.0 / gear
    if not motor.kp and not motor.kd:
        return
    model.actuator_biastype[i] = mujoco.mjtBias.mjBIAS_AFFINE
    model.actuator_biasprm[i] = 0.0
    # The actuator's length and velocity are the joint's times the gear, and so is its force.
    model.actuator_biasprm[i, 1:3] = -motor.kp / gear**2, -motor.kd / gear**2
    if np.isfinite([motor.low, motor.high]).any():
        most = mujoco.mjMAXVAL
        force = np.clip([motor.low, motor.high], -most, most) / gear
        model.actuator_forcerange[i] = force.min(), force.max()
        model.actuator_forcelimited[i] = True


def _make_plain(actuator: Any, keep: tuple[str, ...]) -> None:
    """Undo whatever a default class or the file says of an actuator but its identity."""
    plain = mujoco.MjSpec().add_actuator()
    for name in dir(plain):
        if name.startswith(("_", "set_to_")) or name in (*_IDENTITY, *keep):
            continue
        value = getattr(plain, name)
        if isinstance(value, np.ndarray):
            getattr(actuator, name)[:] = value
        else:
            setattr(actuator, name, value)
    actuator.set_to_motor()
    actuator.plugin.active = False
