import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.names import (
    joint_addresses,
    match_names,
    object_ids,
    scalar_joints,
)
from tests.helpers import SMALL

NAMES = ("left_knee", "right_knee", "left_hip")


def test_patterns_give_names_in_model_order_and_each_once():
    assert match_names(["*_knee", "left_*"], NAMES, "joint") == NAMES
    assert match_names(["left_hip", "*knee"], NAMES, "joint") == (
        "left_hip",
        "left_knee",
        "right_knee",
    )
    assert match_names([], NAMES, "joint") == ()


def test_a_pattern_that_fits_nothing_lists_what_there_is():
    with pytest.raises(UserError, match=r"no joint 'lef_knee'.*Did you mean 'left_knee'"):
        match_names(["lef_knee"], NAMES, "joint")


def test_objects_by_name_and_pattern():
    model = mujoco.MjModel.from_xml_string(SMALL)
    assert object_ids(model, "body", ["lower", "u*"]) == (3, 2)
    assert object_ids(model, "sensor", ["elbow_rate"]) == (1,)
    with pytest.raises(UserError, match=r"no site 'skim'.*Did you mean 'skin'"):
        object_ids(model, "site", ["skim"])


def test_a_model_without_such_joints_is_told():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"
    )
    with pytest.raises(UserError, match=r"no hinge or slide joint"):
        joint_addresses(model, ())


def test_joints_are_addressed_behind_a_free_joint():
    model = mujoco.MjModel.from_xml_string(SMALL)
    assert scalar_joints(model) == ["shoulder", "elbow"]
    # The free joint takes 7 positions and 6 velocities before them.
    assert joint_addresses(model, ()) == ((7, 8), (6, 7))
    assert joint_addresses(model, ("elbow",)) == ((8,), (7,))


def test_a_joint_without_a_single_coordinate_is_refused():
    model = mujoco.MjModel.from_xml_string(SMALL)
    with pytest.raises(UserError, match=r"no hinge or slide joint 'root'.*elbow, shoulder"):
        joint_addresses(model, ("root",))
