"""Rewards of where things are, worked out by hand on the legged robot."""

import numpy as np

from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import bound, posed, step_of

register_terms()
S = np.sqrt(0.5)
LEFT = [1.0, 2.0, 0.5, S, 0, 0, S, 0, 0, 0, 0]  # at (1, 2), turned left by 90 degrees


def value(section, command, qpos=None):
    term, model = bound(REWARDS.build(section, "rewards.x"))
    return float(term(step_of(posed(model, qpos), {"point": command}), ())[0])


def test_a_point_in_the_bases_frame_or_in_the_world():
    # The left sole is at (0, 0.1, -0.5) of the trunk; told (0.3, 0.1, -0.1): off by 0.5.
    section = {"type": "position_tracking", "target": "left_sole", "command": "point"}
    np.testing.assert_allclose(value(section, [0.3, 0.1, -0.1], LEFT), np.exp(-1), rtol=1e-4)
    # In the world it is at (1 - 0.1, 2, 0).
    world = {**section, "in_robot_frame": False, "sigma": 1.0}
    np.testing.assert_allclose(value(world, [0.9, 2.0, 1.0], LEFT), np.exp(-1), rtol=1e-4)


def test_reach_is_measured_from_its_origin():
    # The thigh is at (0, 0.1, 0) of the trunk; the point (0.3, 0.1, 0.4) is 0.5 away.
    section = {"type": "reachability", "origin": "left_thigh", "command": "point", "radius": 0.3}
    np.testing.assert_allclose(value(section, [0.3, 0.1, 0.4], LEFT), 0.2, rtol=1e-4)
    assert value({**section, "radius": 0.6}, [0.3, 0.1, 0.4], LEFT) == 0.0


def test_things_that_come_too_near():
    # The soles are 0.2 apart.
    section = {"type": "intersection", "pairs": [["left_sole", "right_foot"]], "distance": 0.3}
    term, model = bound(REWARDS.build(section, "rewards.x"))
    # right_foot's frame is 0.02 above its sole: sqrt(0.2^2 + 0.02^2).
    apart = np.hypot(0.2, 0.02)
    np.testing.assert_allclose(term(step_of(posed(model)), ())[0], 0.3 - apart, rtol=1e-3)


def test_the_distance_may_be_the_sum_over_the_axes():
    # Off by 0.3 and 0.4: 0.7 in all.
    section = {"type": "position_tracking", "target": "left_sole", "command": "point"}
    section |= {"norm": "l1", "sigma": 0.7}
    np.testing.assert_allclose(value(section, [0.3, 0.1, -0.1], LEFT), np.exp(-1), rtol=1e-4)
