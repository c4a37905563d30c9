"""A compiled model where terms expect an `MjSpec`: readable like one, and taken as it is."""

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.physics.model_variants import restore_frames
from ksim_cli.physics.names import joint_actuators, object_names

_INSTEAD = "Return the MjSpec (MjSpec.from_file) instead of the MjModel that it compiles to"


class CompiledSpec:
    """Stand-in of an `MjModel` for its `MjSpec`, which cannot be had back.

    Joints, actuators, bodies, geoms, sensors and pairs are read under the names of an `MjSpec`.
    Nothing can be added. In place of a new motor for a joint, the joint's own is made to take
    torques: `ctrl`, its range and the keyframes' are counted in N m at the joint, all else stays.

    Args:
        model: the compiled model; copied.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._nominal, self._model = model, copy.copy(model)
        self._pulling = joint_actuators(model)
        self.compiler = SimpleNamespace(degree=False)
        self.joints = _elements(
            model, "joint", type=model.jnt_type, actfrcrange=model.jnt_actfrcrange
        )
        targets = {i: self.joints[j].name for j, own in self._pulling.items() for i in own}
        self.actuators = _elements(
            model,
            "actuator",
            trntype=model.actuator_trntype,
            target=[targets.get(i, "") for i in range(model.nu)],
            forcerange=model.actuator_forcerange,
            gear=model.actuator_gear,
        )
        self.geoms = _elements(
            model,
            "geom",
            type=model.geom_type,
            contype=model.geom_contype,
            conaffinity=model.geom_conaffinity,
        )
        bodies = range(model.nbody)
        self.bodies = _elements(
            model,
            "body",
            simple=model.body_simple > 0,
            joints=[_of(self.joints, model.jnt_bodyid == i) for i in bodies],
            geoms=[_of(self.geoms, model.geom_bodyid == i) for i in bodies],
        )
        objects = zip(model.sensor_objtype.tolist(), model.sensor_objid.tolist(), strict=True)
        self.sensors = _elements(
            model,
            "sensor",
            type=model.sensor_type,
            intprm=model.sensor_intprm,
            objtype=model.sensor_objtype,
            objname=[mujoco.mj_id2name(model, kind, i) for kind, i in objects],
            reftype=model.sensor_reftype,
            cutoff=model.sensor_cutoff,
        )
        names = object_names(model, "geom")
        pairs = zip(model.pair_geom1, model.pair_geom2, strict=True)
        self.pairs = [SimpleNamespace(geomname1=names[i], geomname2=names[j]) for i, j in pairs]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UserError(f"spec.{name}: an MjModel has none to edit. {_INSTEAD}")

    def joint(self, name: str) -> Any:
        """The joint of that name, None where there is none."""
        return next((joint for joint in self.joints if joint.name == name), None)

    def body(self, name: str) -> Any:
        """The body of that name, None where there is none."""
        return next((body for body in self.bodies if body.name == name), None)

    def geom(self, name: str) -> Any:
        """The geom of that name, None where there is none."""
        return next((geom for geom in self.geoms if geom.name == name), None)

    def delete(self, element: Any) -> None:
        """Nothing: the model's own actuators stay."""
        del element

    def add_sensor(self, **keys: Any) -> Any:
        """Refuses, naming the sensor that is wanted.

        Raises:
            UserError: always; a term does not ask for a sensor that the model has.
        """
        kind = mujoco.mjtSensor(keys["type"]).name.removeprefix("mjSENS_").lower()
        raise UserError(
            f"needs a {kind} sensor of '{keys.get('objname', '')}', which the MjModel of"
            f" get_mujoco_model lacks, and none can be added to it. {_INSTEAD}"
        )

    def add_actuator(self, name: str, target: str) -> Any:
        """Makes the motor of joint `target` take torques, N m or N.

        Raises:
            UserError: the joint has no actuator or several, or one that is no motor.
        """
        del name
        model = self._model
        own = self._pulling.get(int(model.joint(target).id), [])
        if len(own) != 1:
            raise UserError(f"joint '{target}' has {len(own)} motors, and needs one. {_INSTEAD}")
        (i,) = own
        kinds = (model.actuator_dyntype[i], model.actuator_gaintype[i], model.actuator_biastype[i])
        torque = model.actuator_gainprm[i, 0] * model.actuator_gear[i, 0]  # at ctrl = 1
        if any(kinds) or not torque:
            raise UserError(
                f"actuator '{model.actuator(i).name}' of joint '{target}' is no motor. {_INSTEAD},"
                " and a motor takes its place"
            )
        model.actuator_gainprm[i, 0] = 1.0 / model.actuator_gear[i, 0]
        model.actuator_ctrlrange[i] = np.sort(model.actuator_ctrlrange[i] * torque)
        model.key_ctrl[:, i] *= torque
        return SimpleNamespace()

    def apply(self, metadata: Mapping[str, JointMetadata]) -> None:
        """Writes armature, friction, damping, range and torque limit into the model.

        Args:
            metadata: joint name -> the values to write; None leaves the model's.
        """
        model = self._model
        for name, given in metadata.items():
            joint = model.joint(name)
            index = int(joint.id)
            for value, place in (
                (given.armature, joint.armature),
                (given.friction, joint.frictionloss),
                (given.damping, joint.damping),
                (given.range, joint.range),
            ):
                if value is not None:
                    place[:] = value
            if given.range is not None:
                model.jnt_limited[index] = True
            if given.torque_limit is not None:
                # It stands for all limits in the model.
                model.jnt_actfrcrange[index] = -given.torque_limit, given.torque_limit
                model.jnt_actfrclimited[index] = True
                own = self._pulling.get(index, [])
                model.actuator_ctrllimited[own] = model.actuator_forcelimited[own] = False

    def compile(self) -> mujoco.MjModel:
        """The model, with the constants that depend on what was written."""
        model = self._model
        wanted = np.array([body.simple for body in self.bodies])
        if (model.body_simple[~wanted] > 0).any():
            model.body_simple[~wanted] = 0
            model.dof_simplenum[:] = 0  # a shortcut through what is simple
        if not np.array_equal(model.dof_armature, self._nominal.dof_armature):
            mujoco.mj_setConst(model, mujoco.MjData(model))
            restore_frames(model, self._nominal)
        return model


def _elements(model: mujoco.MjModel, kind: str, **columns: Any) -> list[Any]:
    """An object with the values of each element of a kind, one array or list for each value."""
    names = object_names(model, kind)
    rows = zip(*columns.values(), strict=True)
    return [
        SimpleNamespace(name=name, **dict(zip(columns, row, strict=True)))
        for name, row in zip(names, rows, strict=True)
    ]


def _of(elements: list[Any], mask: np.ndarray) -> list[Any]:
    return [element for element, chosen in zip(elements, mask, strict=True) if chosen]
