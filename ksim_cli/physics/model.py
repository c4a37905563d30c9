"""From a robot's file to the compiled model that is simulated."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.components import JointMetadata
from ksim_cli.config.schema import SimulationKeys
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.joint_metadata import write_metadata
from ksim_cli.physics.motors import Motor, restore_keys, write_motors
from ksim_cli.physics.robot import Robot, compiled

MODEL_SUFFIXES = (".xml", ".mjcf", ".urdf")
"""Endings of files that hold a model."""

SOLVERS = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "cg": mujoco.mjtSolver.mjSOL_CG}
INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
}

_OPTIONS = {
    "dt": None,
    "solver": SOLVERS,
    "integrator": INTEGRATORS,
    **dict.fromkeys(("iterations", "ls_iterations", "tolerance")),
}
"""Key of a physics option -> its choices; None: a number."""

_EULERDAMP = int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)


def load_spec(path: Path, key: str = "task.model") -> mujoco.MjSpec:
    """Reads an MJCF (`.xml`, `.mjcf`) or URDF file.

    Args:
        path: the file.
        key: what names it, for messages.

    Raises:
        UserError: the file is missing or malformed; the message is MuJoCo's, with element and line.
    """
    if not path.is_file():
        folder = path.parent.iterdir() if path.parent.is_dir() else ()
        there = [p.name for p in folder if p.suffix in MODEL_SUFFIXES]
        raise UserError(
            f"{key}: no file {path}.{nearest(path.name, there)} Files there: {listing(there)}"
        )
    try:
        if path.suffix == ".mjcf":
            # MuJoCo goes by the name's ending; what the file refers to is found beside it.
            alias = str(path.with_suffix(".xml"))
            return mujoco.MjSpec.from_file(alias, include={alias: path.read_bytes()})
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        hint = ""
        if "could not find decoder" in str(error):
            hint = '. Give the reference to that file content_type="text/xml", or name it .xml'
        raise UserError(f"{path.name}: {error}{hint}") from error


def editable(given: Any, own_file: Callable[[], mujoco.MjSpec]) -> tuple[Any, str]:
    """The spec behind what `get_mujoco_model` gave, and the engine it means; empty: any.

    An `MjSpec` is taken as it is, an `MjModel` is stood in for. An `mjx.Data` means the task's own
    file, with its `qpos` as the home pose.

    Args:
        given: what the method returned.
        own_file: reads the task's own file.

    Raises:
        UserError: it is something else.
    """
    if isinstance(given, mujoco.MjSpec):
        return given, ""
    if isinstance(given, mujoco.MjModel):
        return CompiledSpec(given), "mujoco"
    kind = type(given)
    name = f"mjx.{kind.__name__}" if kind.__module__.startswith("mujoco.mjx") else kind.__name__
    if name == "mjx.Data":
        spec = own_file()
        for key in [key for key in spec.keys if key.name == "home"]:
            spec.delete(key)
        spec.add_key(name="home", qpos=np.asarray(given.qpos, float))
        return spec, "mjx"
    more = ": it holds no way back to the model it was made of" if name == "mjx.Model" else ""
    raise UserError(
        f"get_mujoco_model: returned an object of type {name}{more}."
        " Return an MjSpec, an MjModel, or an mjx.Data of the task's own file"
    )


def compile_model(
    spec: mujoco.MjSpec | CompiledSpec,
    robot: Robot,
    keys: SimulationKeys,
    metadata: Mapping[str, JointMetadata],
    motors: Mapping[str, Motor],
) -> mujoco.MjModel:
    """Compiles an edited spec and writes into the model what the configuration says of it.

    Args:
        spec: the spec, after the terms' edits.
        robot: what was read of it before.
        keys: the run's physics options; one that is null leaves the file's.
        metadata: joint name -> armature, friction, damping, range.
        motors: joint name -> what acts on it.

    Raises:
        UserError: the model does not compile, or an option has no such choice.
    """
    model = compiled(spec)
    restore_keys(model, robot.model)
    write_metadata(model, metadata)
    write_motors(model, motors)
    for key, choices in _OPTIONS.items():
        value = getattr(keys, key)
        if value is not None:
            value = value if choices is None else _choice(key, value, choices)
            setattr(model.opt, _option_name(key), value)
    if keys.disable_euler_damping is not None:
        model.opt.disableflags &= ~_EULERDAMP
        model.opt.disableflags |= _EULERDAMP * keys.disable_euler_damping
    return model


def changed_options(file: mujoco.MjModel, model: mujoco.MjModel) -> list[str]:
    """Physics options that the configuration gives other values than the file, `name old -> new`.

    Args:
        file: as the robot's file compiles.
        model: as it is simulated.
    """
    changes = []
    for key, choices in _OPTIONS.items():
        name = _option_name(key)
        old, new = getattr(file.opt, name), getattr(model.opt, name)
        if old != new:
            words = {} if choices is None else {int(v): word for word, v in choices.items()}
            changes.append(f"{name} {words.get(old, f'{old:g}')} -> {words.get(new, f'{new:g}')}")
    old, new = (not m.opt.disableflags & _EULERDAMP for m in (file, model))
    if old != new:
        changes.append(f"eulerdamp {'on' if old else 'off'} -> {'on' if new else 'off'}")
    return changes


def _option_name(key: str) -> str:
    return "timestep" if key == "dt" else key


def _choice(key: str, name: str, choices: dict[str, int]) -> int:
    if name not in choices:
        raise UserError(
            f"{key}={name}: no such {key}.{nearest(name, choices)} One of {listing(choices)}"
        )
    return choices[name]
