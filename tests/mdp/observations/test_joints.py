"""Observations of joints, worked out by hand on the legged robot."""

import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.registry import OBSERVATIONS
from tests.legged import LEGGED, bound, posed, step_of
from tests.mdp.observations.worked import KEY, LEFT, MOVING, close, value


def test_joints():
    close(value("joint_position"), [0.1, 0.2, 0.3, 0.4])
    close(value("joint_position", joints=["right_knee", "left_hip"]), [0.4, 0.1])
    close(value("joint_velocity"), [5, 6, 7, 8])
    close(value("joint_angle_cos_sin", joints=["left_hip"]), [np.cos(0.1), np.sin(0.1)])
    keyed = LEGGED.replace("1 0 0 0 0 0 0 0", "1 0 0 0 0.05 0 0 0")
    close(value("joint_position", xml=keyed, relative=True), [0.05, 0.2, 0.3, 0.4])
    offset = {"zero_offset": jnp.zeros(11).at[8].set(0.15)}
    close(value("joint_position", changes=offset), [0.1, 0.05, 0.3, 0.4])
    both = value("joint_angle_cos_sin", joints=["left_knee"], changes=offset)
    close(both, [np.cos(0.05), np.sin(0.05)])


def test_what_comes_some_steps_late():
    for kind, at in (("delayed_joint_position", 7), ("delayed_joint_velocity", 6)):
        section = {"type": kind, "delay_steps": 2, "joints": ["left_hip"]}
        term, model = bound(OBSERVATIONS.build(section, "observations.x"))
        carry, seen = term.init(KEY), []
        for x in (0.1, 0.2, 0.3, 0.4):
            qpos, qvel = np.array(LEFT), np.array(MOVING)
            (qpos if at == 7 else qvel)[at] = x
            out, carry = term(step_of(posed(model, qpos, qvel)), carry, KEY)
            seen.append(float(out[0]))
        close(seen, [0.1, 0.1, 0.1, 0.2])


def test_forces_and_accelerations_of_joints():
    driven = LEGGED.replace(
        "<sensor>",
        '<actuator><motor joint="right_knee"/><motor joint="left_hip"/></actuator><sensor>',
    )

    def data(model):
        data = posed(model)
        data.ctrl[:] = [4.0, -2.0]
        mujoco.mj_forward(model, data)
        return data

    close(value("actuator_force", xml=driven, data=data), [-2, 0, 0, 4])
    acceleration = value("actuator_acceleration", xml=driven, data=data)
    assert acceleration[0] < 0 < acceleration[3]
