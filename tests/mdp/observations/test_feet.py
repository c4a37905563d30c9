"""Observations of feet, worked out by hand on the legged robot."""

import numpy as np

from tests.legged import MASS, stand
from tests.mdp.observations.worked import S, close, value


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


def test_heights_above_the_ground_and_times_in_the_air():
    feet = {"feet": ["left_foot", "right_foot"]}
    high = [0, 0, 1.0, 1, 0, 0, 0, 0, 0, 0, 0]
    close(value("feet_height", high, ground=0.02, **feet), [0.5, 0.5])
    close(value("feet_height", high, **feet), [0.52, 0.52])
    # An episode that begins in the air begins with no time there; then two steps of 0.02 s.
    close(value("feet_air_time", high, steps=1, **feet), [0.0, 0.0])
    close(value("feet_air_time", high, steps=3, **feet), [0.04, 0.04])
    close(value("feet_air_time", data=stand, steps=3, **feet), [0.0, 0.0])
    close(
        value("feet_air_time", data=stand, steps=3, against=["trunk"], feet=["left_foot"]), [0.04]
    )
    close(value("base_height", high, above=["left_sole"]), [0.5])
