"""Gains that a simulation in steps cannot hold."""

from collections.abc import Mapping

import mujoco
import numpy as np

from ksim_cli.mdp.actuators import Actuator, Position
from ksim_cli.physics.robot import home_data


def mobility(model: mujoco.MjModel) -> np.ndarray:
    """`[nv]` acceleration of each degree of freedom per unit of its own force, at the home pose."""
    data = home_data(model)
    mujoco.mj_forward(model, data)
    inverse = np.zeros((model.nv, model.nv))
    mujoco.mj_solveM(model, data, inverse, np.eye(model.nv))
    return np.diag(inverse)


def excessive_damping(
    model: mujoco.MjModel, actuators: Mapping[str, Actuator], update_dt: float
) -> dict[str, tuple[float, float]]:
    """Joints whose velocity gain is larger than explicit steps can hold.

    A torque -kd dq that is held for h moves the velocity by -kd h / I, with I the inertia that the
    joint feels: beyond 2 the velocity grows from step to step (the stability limit of the explicit
    Euler method). A servo in the engine under `implicitfast` has no such limit.

    Args:
        model: the compiled model; the inertia is that of the home pose.
        actuators: name -> actuator, bound.
        update_dt: s between two updates of the torques.

    Returns:
        joint -> its kd and the largest that holds, N m s/rad or N s/m.
    """
    moves = mobility(model)
    implicit = model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    found: dict[str, tuple[float, float]] = {}
    for actuator in actuators.values():
        if not isinstance(actuator, Position):
            continue
        step = model.opt.timestep if actuator.servo else update_dt
        if actuator.servo and implicit:
            continue
        for joint, dof, kd in zip(
            actuator.joints, actuator.dof_addresses, actuator.gains()[1], strict=True
        ):
            most = 2.0 / (step * moves[dof])
            if kd > most:
                found[joint] = (float(kd), float(most))
    return found
