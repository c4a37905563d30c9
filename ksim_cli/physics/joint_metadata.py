"""Metadata of a model's joints beyond the MJCF: gains, limits, friction, per joint name."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import mujoco

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.names import JOINT_TRANSMISSIONS, SCALAR_JOINTS, match_names

_FIELDS = {
    "armature": "dof_armature",
    "friction": "dof_frictionloss",
    "damping": "dof_damping",
}
"""Field of `JointMetadata` -> the model's."""

_SAME_FRAME = ("body_sameframe", "geom_sameframe", "site_sameframe")
"""Flags that spare the kinematics work; `mj_setConst` clears them, and no frame was moved."""


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

    Args:
        spec: the model before its actuators are replaced.
        table: joint name or pattern -> metadata; later entries win, field by field.

    Raises:
        UserError: an entry that fits no joint.
    """
    names = spec_joints(spec)
    known = {name: JointMetadata() for name in names}
    for pattern, given in table.items():
        try:
            fitting = match_names([pattern], names, "hinge or slide joint")
        except UserError as error:
            raise UserError(f"joints.{pattern}: {error}") from error
        values = {f.name: getattr(given, f.name) for f in fields(given)}
        values = {name: value for name, value in values.items() if value is not None}
        known |= {name: replace(known[name], **values) for name in fitting}
    return known


def write_metadata(model: mujoco.MjModel, metadata: Mapping[str, JointMetadata]) -> None:
    """Write armature, friction, damping and range into a compiled model.

    They are counted in the compiled model's units, whatever its file or an attached part counts in.

    Args:
        model: changed; the constants that depend on armature follow.
        metadata: joint name -> values; None leaves the model's.
    """
    nominal = model.dof_armature.copy()
    for name, given in metadata.items():
        joint = int(model.joint(name).id)
        dof = int(model.jnt_dofadr[joint])
        for key, field in _FIELDS.items():
            value = getattr(given, key)
            if value is not None:
                getattr(model, field)[dof] = value
        if given.range is not None:
            model.jnt_range[joint] = given.range
            model.jnt_limited[joint] = True
    if (model.dof_armature != nominal).any():
        frames = {name: getattr(model, name).copy() for name in _SAME_FRAME}
        mujoco.mj_setConst(model, mujoco.MjData(model))
        for name, flags in frames.items():
            getattr(model, name)[:] = flags
