"""Metadata of a model's joints beyond the MJCF: gains, limits, friction, per joint name."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.names import JOINT_TRANSMISSIONS, SCALAR_JOINTS, match_names


def spec_joints(spec: mujoco.MjSpec | CompiledSpec) -> list[str]:
    """Names of the hinge and slide joints of a spec, in its order."""
    return [joint.name for joint in spec.joints if int(joint.type) in SCALAR_JOINTS]


def drives_joint(actuator: Any) -> bool:
    """True for an actuator of a spec that pulls at a joint: a tendon may have a joint's name."""
    return int(actuator.trntype) in JOINT_TRANSMISSIONS


def joint_metadata(
    spec: mujoco.MjSpec | CompiledSpec, table: Mapping[str, JointMetadata]
) -> dict[str, JointMetadata]:
    """Metadata of every hinge and slide joint.

    The torque limit of the MJCF (the actuator's force range, or the joint's) holds where the
    table gives none.

    Args:
        spec: the model before its actuators are replaced.
        table: joint name or pattern -> metadata; later entries win, field by field.

    Raises:
        UserError: an entry that fits no joint.
    """
    names = spec_joints(spec)
    known = {name: JointMetadata(torque_limit=_torque_limit(spec, name)) for name in names}
    for pattern, given in table.items():
        try:
            fitting = match_names([pattern], names, "hinge or slide joint")
        except UserError as error:
            raise UserError(f"joints.{pattern}: {error}") from error
        values = {f.name: getattr(given, f.name) for f in fields(given)}
        values = {name: value for name, value in values.items() if value is not None}
        known |= {name: replace(known[name], **values) for name in fitting}
    return known


def apply_metadata(
    spec: mujoco.MjSpec | CompiledSpec, metadata: Mapping[str, JointMetadata]
) -> None:
    """Writes armature, friction, damping and range into the model before it is compiled.

    A compiled model also gets the torque limits that are not its own: no new motor carries them.
    """
    if isinstance(spec, CompiledSpec):
        own = {name: _torque_limit(spec, name) for name in metadata}
        given = {
            name: replace(known, torque_limit=None) if known.torque_limit == own[name] else known
            for name, known in metadata.items()
        }
        spec.apply(given)
        return
    for joint in spec.joints:
        known = metadata.get(joint.name)
        if known is None:
            continue
        if known.armature is not None:
            joint.armature = known.armature
        if known.friction is not None:
            joint.frictionloss = known.friction
        if known.damping is not None:
            joint.damping[0] = known.damping
        if known.range is not None:
            hinge = joint.type == mujoco.mjtJoint.mjJNT_HINGE
            degrees = hinge and spec.compiler.degree
            joint.range[:] = np.rad2deg(known.range) if degrees else known.range
            joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE


def _torque_limit(spec: mujoco.MjSpec | CompiledSpec, joint: str) -> float | None:
    """The largest torque an MJCF lets act on a joint; None where it does not say."""
    limits: list[float] = []
    for actuator in spec.actuators:
        low, high = (float(x) for x in actuator.forcerange)
        if drives_joint(actuator) and actuator.target == joint and low < high:
            limits.append(max(abs(low), abs(high)) * abs(float(actuator.gear[0])))
    low, high = (float(x) for x in spec.joint(joint).actfrcrange)
    if low < high:
        limits.append(max(abs(low), abs(high)))
    return min(limits, default=None)
