"""Observations of the floating base, worked out by hand on the legged robot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.registry import OBSERVATIONS, RANDOMIZERS
from tests.legged import LEGGED, bound, posed, stand, step_of
from tests.mdp.observations.worked import KEY, S, close, value


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


def test_gravity_as_an_imu_sees_it():
    turned = LEGGED.replace('<site name="imu"/>', '<site name="imu" euler="0.3 -0.2 0.5"/>')
    for name, xml in (("imu", turned), ("left_sole", LEGGED)):
        term, model = bound(
            OBSERVATIONS.build({"type": "projected_gravity", "site": name}, "x"), xml
        )
        qpos = [1.0, 2.0, 0.5, 0.7, -0.1, 0.5, 0.3, 0.1, 0.2, 0.3, 0.4]
        data = posed(model, qpos)
        wanted = data.site(name).xmat.reshape(3, 3).T @ [0, 0, -1]
        close(term(step_of(data), term.init(KEY), KEY)[0], wanted, 1e-6)
    with pytest.raises(UserError, match=r"no site 'imv'.*Did you mean 'imu'"):
        bound(OBSERVATIONS.build({"type": "projected_gravity", "site": "imv"}, "x"))
    with pytest.raises(UserError, match="site=imu, body=trunk: give one of them"):
        OBSERVATIONS.build({"type": "projected_gravity", "site": "imu", "body": "trunk"}, "x")


def test_a_randomly_mounted_imu_sees_another_gravity():
    section = {"type": "projected_gravity", "site": "imu"}
    term, model = bound(OBSERVATIONS.build(section, "x"))
    turn = {"type": "imu_alignment", "site": "imu", "max_angle": 0.2}
    RANDOMIZERS.build(turn, "x").bind(model)(model, np.random.default_rng(0))
    data = posed(model)
    wanted = data.site("imu").xmat.reshape(3, 3).T @ [0, 0, -1]
    assert wanted[2] > -0.9999
    close(term(step_of(data), (), KEY)[0], wanted, 1e-6)


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
