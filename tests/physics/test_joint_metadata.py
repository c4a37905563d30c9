import mujoco
import numpy as np
import pytest

from ksim_cli import registry
from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.physics.joint_metadata import joint_metadata, write_metadata
from tests.helpers import SMALL


def spec(xml=SMALL):
    return mujoco.MjSpec.from_string(xml)


def test_later_entries_win_field_by_field_and_patterns_fit_many():
    table = {
        "*": JointMetadata(kp=10.0, kd=1.0),
        "elbow": JointMetadata(kp=20.0, torque_limit=5.0),
    }
    known = joint_metadata(spec(), table)
    assert known == {
        "shoulder": JointMetadata(kp=10.0, kd=1.0),
        "elbow": JointMetadata(kp=20.0, kd=1.0, torque_limit=5.0),
    }


def test_an_entry_that_fits_no_joint_is_refused():
    with pytest.raises(UserError, match=r"joints.elbw: no hinge or slide joint.*'elbow'"):
        joint_metadata(spec(), {"elbw": JointMetadata(kp=1.0)})


DERIVED = ("dof_invweight0", "body_invweight0", "dof_M0", "body_sameframe", "geom_sameframe")


def test_numbers_are_those_that_a_compiler_would_have_written():
    model, edited = spec().compile(), spec()
    known = JointMetadata(armature=0.02, friction=0.3, damping=0.7, range=(-1.5, 0.5))
    write_metadata(model, {"elbow": known})
    joint = edited.joint("elbow")
    joint.armature, joint.frictionloss, joint.damping[0] = 0.02, 0.3, 0.7
    joint.range, joint.limited = np.rad2deg([-1.5, 0.5]), mujoco.mjtLimited.mjLIMITED_TRUE
    compiled = edited.compile()
    for name in (
        *("dof_armature", "dof_frictionloss", "dof_damping", "jnt_range", "jnt_limited"),
        *DERIVED,
    ):
        np.testing.assert_allclose(getattr(model, name), getattr(compiled, name), err_msg=name)
    assert compiled.dof_armature.any()


LEG = """<mujoco model="leg"><compiler angle="{}"/><worldbody><body name="thigh">
  <joint name="knee" axis="0 1 0" range="-0.2 0.3"/><geom size="0.1"/></body></worldbody></mujoco>"""
SCENE = """<mujoco><compiler angle="{}"/><worldbody><body name="stand"><frame name="at"/></body>
  </worldbody></mujoco>"""


@pytest.mark.parametrize("parent", ["degree", "radian"])
@pytest.mark.parametrize("child", ["degree", "radian"])
def test_ranges_are_in_radians_whatever_a_file_or_its_parts_count_in(parent, child):
    scene = mujoco.MjSpec.from_string(SCENE.format(parent))
    scene.frame("at").attach_body(
        mujoco.MjSpec.from_string(LEG.format(child)).body("thigh"), "l_", ""
    )
    model = scene.compile()
    write_metadata(model, {"l_knee": JointMetadata(range=(-1.0, 2.0))})
    np.testing.assert_allclose(model.joint("l_knee").range, [-1.0, 2.0])


@pytest.mark.parametrize("limit", [0.0, -3.0, [2.0, 1.0]])
def test_torque_limits_between_which_nothing_lies_are_refused(limit):
    with pytest.raises(UserError, match=r"joints.knee.*torque_limit.*must be above 0, or \[low"):
        registry.make(JointMetadata, {"torque_limit": limit}, "joints.knee")
