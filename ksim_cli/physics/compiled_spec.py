"""A compiled model where terms expect an `MjSpec`: readable like one, and taken as it is."""

import copy
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.names import joint_actuators, object_names

_INSTEAD = "Return the MjSpec (MjSpec.from_file) instead of the MjModel that it compiles to"


class CompiledSpec:
    """Stand-in of an `MjModel` for its `MjSpec`, which cannot be had back.

    Joints, actuators, bodies, geoms, sensors and pairs are read under the names of an `MjSpec`.
    Nothing can be added: a joint is driven by its own actuator, a term reads the model's sensors.

    Attributes:
        model: the compiled model; not to be changed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self.joints = _elements(model, "joint", type=model.jnt_type)
        pulling = joint_actuators(model)
        targets = {i: self.joints[j].name for j, own in pulling.items() for i in own}
        self.actuators = _elements(
            model,
            "actuator",
            trntype=model.actuator_trntype,
            target=[targets.get(i, "") for i in range(model.nu)],
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
        objects, references = (
            zip(kinds.tolist(), ids.tolist(), strict=True)
            for kinds, ids in (
                (model.sensor_objtype, model.sensor_objid),
                (model.sensor_reftype, model.sensor_refid),
            )
        )
        self.sensors = _elements(
            model,
            "sensor",
            type=model.sensor_type,
            intprm=model.sensor_intprm,
            objtype=model.sensor_objtype,
            objname=[mujoco.mj_id2name(model, kind, i) for kind, i in objects],
            reftype=model.sensor_reftype,
            refname=[mujoco.mj_id2name(model, kind, i) or "" for kind, i in references],
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

    def add_text(self, name: str, data: str) -> Any:
        """Refuses: a choice that is kept in the model needs its spec.

        Raises:
            UserError: always.
        """
        key = name.replace("ksim/", "task.")
        raise UserError(f"{key}={data}: an MjModel cannot hold that choice. {_INSTEAD}")

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

    def require_motor(self, joint: str) -> None:
        """Refuses a joint without an actuator that can be made a motor: one without a state.

        Raises:
            UserError: it has none, or one with a state.
        """
        model = self.model
        own = joint_actuators(model).get(int(model.joint(joint).id), [])
        if not own:
            raise UserError(f"joint '{joint}' has no actuator in the MjModel. {_INSTEAD}")
        for i in own:
            if model.actuator_dyntype[i] != mujoco.mjtDyn.mjDYN_NONE:
                raise UserError(
                    f"actuator '{model.actuator(i).name}' of joint '{joint}' has a state of its"
                    f" own. {_INSTEAD}, and a motor takes its place"
                )

    def compile(self) -> mujoco.MjModel:
        """A copy of the model, with the flags of bodies that were said not to be simple."""
        model = copy.copy(self.model)
        wanted = np.array([body.simple for body in self.bodies])
        if (model.body_simple[~wanted] > 0).any():
            model.body_simple[~wanted] = 0
            model.dof_simplenum[:] = 0  # a shortcut through what is simple
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
