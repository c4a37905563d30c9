"""Where commands of how to move point, and how far a step is from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.term import Command
from tests.legged import posed, step_of
from tests.mdp.commands.test_sampled import RANGES, SECTIONS, build


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_markers_are_where_the_command_points(kind):
    term, model = build(kind)
    data = posed(model, qpos=[0.4, -0.3, 0.5, 1, 0, 0, 0, 0, 0, 0, 0])
    value = jnp.array([0.5 * (low + high) for low, high in RANGES[kind]])
    markers = term.markers(step_of(data), value)
    wanted = {"float_vector", "int_vector", "joint_position", "sinusoidal_gait"}
    assert (markers == ()) == (kind in wanted)
    for marker in markers:
        assert marker.shape in ("sphere", "box", "arrow")
        assert marker.position.shape == marker.size.shape == (3,)
        np.testing.assert_allclose(jnp.linalg.norm(marker.quaternion), 1.0, rtol=1e-5)
    if kind == "cartesian_coordinate":
        np.testing.assert_allclose(markers[0].position, [0.9, -0.8, 0.75], rtol=1e-5)


def test_errors_are_in_the_commands_unit():
    # Turned left by 90 degrees and moving along world y at 0.8 m/s: forward at 0.8 m/s.
    half = np.sqrt(0.5)
    velocity = [0, 0.8, 0, 0, 0, 0.4, 0, 0, 0, 0]

    def error(kind, value):
        term, model = build(kind)
        data = posed(model, [0, 0, 0.5, half, 0, 0, half, 0, 0, 0, 0], velocity)
        return float(term.error(step_of(data), jnp.array(value)))

    np.testing.assert_allclose(error("linear_velocity", [0.5, 0.4]), 0.5, rtol=1e-5)
    np.testing.assert_allclose(error("angular_velocity", [0.1]), 0.3, rtol=1e-5)
    np.testing.assert_allclose(error("base_height", [0.3]), 0.2, rtol=1e-5)
    np.testing.assert_allclose(error("heading", [0.1]), 0.3, rtol=1e-5)
    measured = {"linear_velocity", "angular_velocity", "heading", "base_height"}
    for kind in SECTIONS:
        assert (type(build(kind)[0]).error is not Command.error) == (kind in measured)


def played(kind, steps, yaw=0.0, **section):
    """Values of one episode; the base looks along `yaw`."""
    term, model = build(kind, **section)
    data = posed(model, [0, 0, 0.5, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2), 0, 0, 0, 0])
    carry, values = term.init(jax.random.key(0)), []
    for i in range(steps):
        value, carry = term(step_of(data), carry, jax.random.key(i))
        values.append(np.asarray(value))
    return np.array(values)


def test_a_command_approaches_what_was_drawn_in_a_straight_line():
    drawn = {"x_range": [0.6, 0.6], "y_range": [-0.8, -0.8]}
    assert (played("linear_velocity", 3, **drawn) == np.float32([0.6, -0.8])).all()
    # A speed of 1 m/s at 20 m/s^2: 0.4 m/s a step of 0.02 s, from rest.
    values = played("linear_velocity", 4, acceleration=20.0, **drawn)
    along = np.array([0.4, 0.8, 1.0, 1.0])[:, None]
    np.testing.assert_allclose(values, along * [0.6, -0.8], rtol=1e-5)
    slower = played("angular_velocity", 3, acceleration=5.0, range=[-0.15, -0.15])
    np.testing.assert_allclose(slower[:, 0], [-0.1, -0.15, -0.15], rtol=1e-5)
    with pytest.raises(UserError, match=r"acceleration=0\.0: must be positive"):
        build("linear_velocity", acceleration=0.0)


@pytest.mark.parametrize(
    ("yaw", "heading", "wanted"),
    [(0.0, 0.4, 0.2), (0.5, 0.1, -0.2), (3.0, -3.0, 0.5 * (2 * np.pi - 6.0)), (0.0, 3.0, 0.9)],
)
def test_a_heading_is_turned_to_the_shorter_way(yaw, heading, wanted):
    section = {"heading_range": [heading, heading], "stiffness": 0.5, "range": [-1.0, 0.9]}
    np.testing.assert_allclose(played("heading", 2, yaw, **section)[:, 0], [wanted] * 2, rtol=1e-4)


def test_a_share_of_the_headings_are_yaw_rates_and_zero_is_to_stand():
    section = {"heading_range": [2.0, 2.0], "range": [0.25, 0.25]}
    rate = played("heading", 1, heading_probability=0.0, **section)
    assert rate[0, 0] == np.float32(0.25)
    stand = played("heading", 1, zero_probability=1.0, **{**section, "range": [-1.0, 1.0]})
    assert stand[0, 0] == 0.0
    term, _ = build("heading", heading_probability=0.3)
    keys = jax.random.split(jax.random.key(0), 2000)
    counts = np.asarray(jax.vmap(lambda key: term.draw(key, None))(keys))[:, 2]
    assert set(counts) == {0.0, 1.0} and abs(counts.mean() - 0.3) < 0.04
    with pytest.raises(UserError, match=r"heading_probability=1.5: must be in \[0, 1\]"):
        build("heading", heading_probability=1.5)
