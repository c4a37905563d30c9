"""Observations of the task, worked out by hand on the legged robot."""

import jax.numpy as jnp

from tests.mdp.observations.worked import close, value


def test_the_task_itself():
    step = {
        "time": jnp.float32(1.5),
        "action": jnp.array([1.0, -2.0, 0.0, 0.5]),
        "commands": {"speed": jnp.array([0.5, 0.25])},
    }
    close(value("timestep", changes=step), [1.5])
    close(value("action_position", changes=step), [1, -2, 0, 0.5])
    close(value("command", changes=step, command="speed"), [0.5, 0.25])
    close(value("sensor", sensors=["gyro"]), [0.1, 0.2, 0.3])


def test_the_phase_of_a_gait():
    # An eighth of the cycle after its start, and the second foot half a cycle ahead.
    seen = value("gait_phase", changes={"time": jnp.float32(0.1)}, period=0.8)
    half = jnp.sqrt(0.5)
    close(seen, [half, -half, half, -half])
    one = value("gait_phase", changes={"time": jnp.float32(0.9)}, period=0.8, offsets=[0.125])
    close(one, [1.0, 0.0])
