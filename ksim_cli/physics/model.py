"""From an MJCF file to a compiled model with the run's physics options."""

from pathlib import Path

import mujoco
import numpy as np

from ksim_cli.config.schema import SimulationKeys
from ksim_cli.errors import UserError, listing, nearest

SOLVERS = {"newton": mujoco.mjtSolver.mjSOL_NEWTON, "cg": mujoco.mjtSolver.mjSOL_CG}
INTEGRATORS = {
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
}


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


def compile_model(spec: mujoco.MjSpec, keys: SimulationKeys) -> mujoco.MjModel:
    """Compiles a spec and applies the run's physics options.

    Raises:
        UserError: the model does not compile, or an option has no such choice.
    """
    try:
        model = spec.compile()
    except ValueError as error:
        raise UserError(f"the model does not compile: {error}") from error
    option = model.opt
    option.timestep = keys.dt
    option.solver = _choice("solver", keys.solver, SOLVERS)
    option.integrator = _choice("integrator", keys.integrator, INTEGRATORS)
    option.iterations = keys.iterations
    option.ls_iterations = keys.ls_iterations
    option.tolerance = keys.tolerance
    if keys.disable_euler_damping:
        option.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
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
