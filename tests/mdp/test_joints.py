import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.joints import JointTerm
from tests.legged import LEGGED


def bound(*joints, xml=LEGGED):
    return JointTerm(joints=joints).bind(mujoco.MjModel.from_xml_string(xml))


def test_without_names_all_joints_but_the_free_one_in_the_models_order():
    term = bound()
    # The free joint has 7 positions and 6 velocities before them.
    assert term.qpos_addresses == (7, 8, 9, 10) and term.dof_addresses == (6, 7, 8, 9)


def test_names_keep_their_order_and_patterns_the_models():
    assert bound("right_knee", "left_hip").qpos_addresses == (10, 7)
    assert bound("right_knee", "*_hip", "*_knee").dof_addresses == (9, 6, 8, 7)


def test_home_is_that_of_the_keyframe():
    keyed = LEGGED.replace("1 0 0 0 0 0 0 0", "1 0 0 0 0.05 0.1 0.15 0.2")
    np.testing.assert_allclose(bound("right_knee", "left_hip", xml=keyed).home, (0.2, 0.05))


def test_the_free_joint_is_none_of_them():
    with pytest.raises(UserError, match=r"no hinge or slide joint 'root'.*left_hip"):
        bound("root")
