"""From an MJCF file to a compiled model with the run's physics options."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ksim_cli.config.schema import PHYSICS_DEFAULTS, SimulationKeys
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.physics.compiled_spec import CompiledSpec

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


def load_spec(path: Path) -> mujoco.MjSpec:
    """Reads an MJCF file.

    Raises:
        UserError: the file is missing or malformed; the message is MuJoCo's, with element and line.
    """
    if not path.is_file():
        there = [p.name for p in path.parent.glob("*.xml")] if path.parent.is_dir() else []
        raise UserError(
            f"task.model: no file {path}.{nearest(path.name, there)} Files there: {listing(there)}"
        )
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UserError(f"{path.name}: {error}") from error


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


def compile_model(spec: mujoco.MjSpec | CompiledSpec, keys: SimulationKeys) -> mujoco.MjModel:
    """Compiles a spec and applies the run's physics options.

    Of a model that was compiled already the options that no key gives stay as they are.

    Raises:
        UserError: the model does not compile, or an option has no such choice.
    """
    try:
        model = spec.compile()
    except ValueError as error:
        raise UserError(f"the model does not compile: {error}") from error
    defaults: dict[str, Any] = {} if isinstance(spec, CompiledSpec) else PHYSICS_DEFAULTS
    for key, choices in _OPTIONS.items():
        value = getattr(keys, key)
        value = defaults.get(key) if value is None else value
        if value is not None:
            option = "timestep" if key == "dt" else key
            setattr(model.opt, option, value if choices is None else _choice(key, value, choices))
    undamped = keys.disable_euler_damping
    undamped = defaults.get("disable_euler_damping") if undamped is None else undamped
    if undamped is not None:
        model.opt.disableflags &= ~_EULERDAMP
        model.opt.disableflags |= _EULERDAMP * undamped
    return model


def _choice(key: str, name: str, choices: dict[str, int]) -> int:
    if name not in choices:
        raise UserError(
            f"{key}={name}: no such {key}.{nearest(name, choices)} One of {listing(choices)}"
        )
    return choices[name]


def home_pose(model: mujoco.MjModel) -> np.ndarray:
    """`[nq]` the pose resets start from: the keyframe named `home`, else the model's default."""
    for i in range(model.nkey):
        if model.key(i).name == "home":
            return np.array(model.key_qpos[i])
    return np.array(model.qpos0)
