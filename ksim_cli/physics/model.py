"""From an MJCF file to a compiled model with the run's physics options."""

from pathlib import Path

import mujoco

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


def scalar_joints(model: mujoco.MjModel) -> list[str]:
    """Names of the hinge and slide joints, in model order: the ones an actuator can drive."""
    kinds = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    return [model.joint(i).name for i in range(model.njnt) if model.jnt_type[i] in kinds]


def joint_addresses(
    model: mujoco.MjModel, joints: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where hinge and slide joints stand in `qpos` and in `qvel`.

    Args:
        model: the compiled model.
        joints: joint names; empty for all hinge and slide joints.

    Returns:
        Addresses in `qpos` and addresses in `qvel`, one each per joint.

    Raises:
        UserError: a joint that does not exist or has more than one coordinate.
    """
    available = scalar_joints(model)
    for name in joints:
        if name not in available:
            raise UserError(
                f"no hinge or slide joint '{name}' in the model.{nearest(name, available)}"
                f" Available: {listing(available)}"
            )
    ids = [model.joint(name).id for name in (joints or available)]
    return (
        tuple(int(model.jnt_qposadr[i]) for i in ids),
        tuple(int(model.jnt_dofadr[i]) for i in ids),
    )
