"""Where commands of how to move point, and how far a step is from them."""

import jax.numpy as jnp
import numpy as np
import pytest

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
    measured = {"linear_velocity", "angular_velocity", "base_height"}
    for kind in SECTIONS:
        assert (type(build(kind)[0]).error is not Command.error) == (kind in measured)
