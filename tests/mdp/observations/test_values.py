"""Observations worked out by hand on the legged robot."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.mdp import maths, register_terms
from ksim_cli.registry import OBSERVATIONS
from tests.legged import LEGGED, MASS, bound, posed, stand, step_of

register_terms()
KEY = jax.random.key(0)
S = np.sqrt(0.5)
LEFT = [1.0, 2.0, 0.5, S, 0, 0, S, 0.1, 0.2, 0.3, 0.4]  # turned left by 90 degrees
MOVING = [1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 5, 6, 7, 8]


def value(kind, qpos=LEFT, qvel=MOVING, data=None, xml=LEGGED, steps=1, changes=None, **section):
    term, model = bound(OBSERVATIONS.build({"type": kind, **section}, "observations.x"), xml)
    data = posed(model, qpos, qvel) if data is None else data(model)
    carry, seen = term.init(KEY), None
    for _ in range(steps):
        seen, carry = term(step_of(data, **(changes or {})), carry, KEY)
    return np.asarray(seen)


def close(got, wanted, tolerance=1e-5):
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def test_the_base():
    close(value("base_position"), [1, 2, 0.5])
    close(value("base_height"), [0.5])
    close(value("base_orientation"), [S, 0, 0, S])
    close(value("base_orientation", [0, 0, 1, -S, 0, 0, -S, 0, 0, 0, 0]), [S, 0, 0, S])
    # World velocity (1, 2, 3) seen by one who looks along y: forward 2, left -1.
    close(value("base_linear_velocity"), [2, -1, 3])
    close(value("base_linear_velocity", in_robot_frame=False), [1, 2, 3])
    # qvel holds the body's own rates: they are not turned again.
    close(value("base_angular_velocity"), [0.1, 0.2, 0.3])
    close(value("base_angular_velocity", in_robot_frame=False), [-0.2, 0.1, 0.3])


def test_gravity_as_the_body_sees_it():
    close(value("projected_gravity"), [0, 0, -1])
    nose_down = [0, 0, 0.5, np.cos(np.pi / 12), 0, np.sin(np.pi / 12), 0, 0, 0, 0, 0]
    # Pitched forward by 30 degrees: gravity leans to the front, sin 30.
    close(value("projected_gravity", nose_down), [0.5, 0, -np.cos(np.pi / 6)])


def test_a_lag_follows_slowly():
    term, model = bound(
        OBSERVATIONS.build({"type": "projected_gravity", "lag": 0.8}, "observations.x")
    )
    upright, fallen = posed(model), posed(model, [0, 0, 0.5, S, 0, S, 0, 0, 0, 0, 0])
    seen, carry = term(step_of(upright), term.init(KEY), KEY)
    close(seen, [0, 0, -1])
    seen, _ = term(step_of(fallen), carry, KEY)
    # A fifth of the way to (1, 0, 0).
    close(seen, [0.2, 0, -0.8])


def test_a_sensor_mounted_askew():
    section = {"type": "projected_gravity", "tilt": 0.1}
    term, model = bound(OBSERVATIONS.build(section, "observations.x"))
    step = step_of(posed(model))
    seen = jax.vmap(lambda k: term(step, term.init(k), k)[0])(jax.random.split(KEY, 2000))
    close(jnp.linalg.norm(seen, axis=1), 1.0)
    # Uniform in +-0.1 rad about each axis.
    np.testing.assert_allclose(np.std(seen[:, :2], axis=0), 0.1 / np.sqrt(3), rtol=0.05)
    assert np.abs(seen[:, :2]).max() < 0.101


def test_accelerations_of_a_body_that_falls_and_of_one_that_stands():
    # An IMU in free fall feels nothing.
    still = [0] * 10
    fall = value("base_linear_acceleration", [0, 0, 2.0, 1, 0, 0, 0, 0, 0, 0, 0], still)
    close(fall, [0, 0, 0], 1e-3)
    close(value("base_linear_acceleration", data=stand), [0, 0, 9.81], 0.02)
    close(value("base_angular_acceleration", data=stand), [0, 0, 0], 0.05)


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


def test_bodies_and_sites():
    straight = [1.0, 2.0, 0.5, S, 0, 0, S, 0, 0, 0, 0]
    still = [1.0, 2.0, 3.0, 0, 0, 0, 0, 0, 0, 0]
    # 0.1 m to the left of one who looks along y is -0.1 along x; 0.24 m below the trunk.
    close(value("body_position", straight, bodies=["left_shank"]), [0.9, 2.0, 0.26])
    close(value("body_orientation", straight, bodies=["left_foot"]), [S, 0, 0, S])
    close(value("site_orientation", straight, sites=["imu"]), [S, 0, 0, S])
    close(value("body_velocity", straight, still, bodies=["left_foot"]), [1, 2, 3])
    # The hip turns at 1 rad/s about y: the foot, 0.48 m below, moves along -x, its own frame's.
    turning = [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    home = [0, 0, 0.5, 1, 0, 0, 0, 0, 0, 0, 0]
    close(value("body_velocity", home, turning, bodies=["left_foot"]), [-0.48, 0, 0])


@pytest.mark.parametrize("turn", [0.3, 1.5, 3.1, -2.5])
@pytest.mark.parametrize("axis", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0, 0.8]])
def test_orientations_of_sites_from_any_side(turn, axis):
    quaternion = np.array([np.cos(turn / 2), *(np.sin(turn / 2) * np.array(axis))])
    got = value("site_orientation", [0, 0, 0.5, *quaternion, 0, 0, 0, 0], sites=["imu"])
    close(got, maths.positive(jnp.array(quaternion)), 1e-4)


def test_centre_of_mass_numbers_are_mujocos():
    _, model = bound(OBSERVATIONS.build({"type": "timestep"}, "x"))
    data = posed(model, LEFT, MOVING)
    close(value("center_of_mass_inertia"), data.cinert[1:].reshape(-1), 1e-4)
    close(value("center_of_mass_velocity"), data.cvel[1:].reshape(-1), 1e-4)


def test_feet():
    feet = {"feet": ["left_foot", "right_foot"]}
    assert value("feet_contact", data=stand, **feet).tolist() == [1.0, 1.0]
    air = [0, 0, 1.0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert value("feet_contact", air, **feet).tolist() == [0.0, 0.0]
    assert value("contact", data=stand, feet=["trunk", "left_toe"]).tolist() == [0.0, 1.0]
    straight = [1.0, 2.0, 0.5, S, 0, 0, S, 0, 0, 0, 0]
    close(value("feet_position", straight, **feet), [0.9, 2, 0.02, 1.1, 2, 0.02])
    own = value("feet_position", straight, in_robot_frame=True, **feet)
    close(own, [0, 0.1, -0.48, 0, -0.1, -0.48])
    close(value("feet_orientation", straight, feet=["left_toe"]), [S, 0, 0, S])
    half = MASS * 9.81 / 2
    close(value("feet_force", data=stand, **feet)[[2, 5]] / half, [1, 1], 0.05)


def test_the_torque_on_a_foot_is_about_its_frame():
    # Standing on toe and heel, 0.08 m before and behind the foot's frame: half the weight each.
    force = value("feet_force", data=stand, feet=["left_toe", "left_heel", "left_foot"])
    toe, heel = force[0:3], force[3:6]
    arms = np.array([[0.08, 0, -0.02], [-0.08, 0, -0.02]])
    wanted = np.cross(arms[0], toe) + np.cross(arms[1], heel)
    got = value("feet_torque", data=stand, feet=["left_foot"])
    close(got, wanted, 0.02)
    # About the toe's own centre, its force has a lever of its radius only.
    toe_torque = value("feet_torque", data=stand, feet=["left_toe"])
    close(toe_torque, np.cross([0, 0, -0.02], toe), 0.01)


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
