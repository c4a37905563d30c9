"""Observations of bodies, worked out by hand on the legged robot."""

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp import maths
from ksim_cli.registry import OBSERVATIONS
from tests.legged import bound, posed
from tests.mdp.observations.worked import LEFT, MOVING, S, close, value


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
