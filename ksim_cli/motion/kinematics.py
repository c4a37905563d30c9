"""What MuJoCo derives from the frames of a motion: bodies, sites, sensors."""

from collections.abc import Collection

import mujoco
import numpy as np

STATE = ("qpos", "qvel", "time")
"""Fields that are the state itself."""


def derived_fields(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    qvel: np.ndarray,
    fields: Collection[str],
    age: float = 0.0,
) -> dict[str, np.ndarray]:
    """Fields of `mjData` at every frame, under no control, as a view holds them.

    A view's derived fields are one physics step older than its `qpos`: with `age` = dt they are of
    the state that MuJoCo's semi-implicit integrators came from, q - dt v, exactly.

    Args:
        model: the robot.
        qpos: `[F, nq]`.
        qvel: `[F, nv]`.
        fields: names, as `xpos`; the state's own are given back as they are.
        age: s, by how much the derived fields are older.

    Returns:
        name -> `[F, ...]` float32.
    """
    data = mujoco.MjData(model)
    wanted = [name for name in fields if name not in STATE]
    found: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for position, velocity in zip(qpos, qvel, strict=True):
        data.qpos[:], data.qvel[:] = position, velocity
        if age:
            mujoco.mj_integratePos(model, data.qpos, velocity, -age)
        mujoco.mj_forward(model, data)
        for name in wanted:
            found[name].append(np.array(getattr(data, name), np.float32))
    arrays = {name: np.stack(values) for name, values in found.items()}
    given = {"qpos": qpos, "qvel": qvel, "time": np.zeros(len(qpos))}
    return {**arrays, **{k: np.asarray(v, np.float32) for k, v in given.items() if k in fields}}
