import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import JointMetadata
from ksim_cli.errors import UserError
from ksim_cli.physics.joint_metadata import apply_metadata, joint_metadata
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


def test_the_torque_limit_of_the_mjcf_holds_where_none_is_given():
    limited = SMALL.replace(
        '<motor name="shoulder" joint="shoulder"/>',
        '<motor name="shoulder" joint="shoulder" gear="3" forcerange="-2 2"/>',
    ).replace('<joint name="elbow"', '<joint name="elbow" actuatorfrcrange="-7 7"')
    known = joint_metadata(spec(limited), {"elbow": JointMetadata(torque_limit=4.0)})
    assert known["shoulder"].torque_limit == 6.0
    assert known["elbow"].torque_limit == 4.0
    assert joint_metadata(spec(limited), {})["elbow"].torque_limit == 7.0


def test_an_entry_that_fits_no_joint_is_refused():
    with pytest.raises(UserError, match=r"joints.elbw: no hinge or slide joint.*'elbow'"):
        joint_metadata(spec(), {"elbw": JointMetadata(kp=1.0)})


def test_numbers_of_the_model_are_changed_before_it_is_compiled():
    edited = spec()
    known = JointMetadata(armature=0.02, friction=0.3, damping=0.7, range=(-1.5, 0.5))
    apply_metadata(edited, {"elbow": known})
    model = edited.compile()
    joint, dof = model.joint("elbow"), model.joint("elbow").dofadr[0]
    assert (model.dof_armature[dof], model.dof_frictionloss[dof]) == (0.02, 0.3)
    assert model.dof_damping[dof] == 0.7
    np.testing.assert_allclose(joint.range, [-1.5, 0.5])
    assert model.jnt_limited[joint.id]
    shoulder = model.joint("shoulder").dofadr[0]
    assert (model.dof_armature[shoulder], model.dof_damping[shoulder]) == (0.0, 0.1)


@pytest.mark.parametrize("angle", ["degree", "radian"])
def test_ranges_are_in_radians_whatever_the_mjcf_counts_in(angle):
    edited = spec(SMALL.replace("<mujoco>", f'<mujoco><compiler angle="{angle}"/>'))
    apply_metadata(edited, {"elbow": JointMetadata(range=(-1.0, 2.0))})
    np.testing.assert_allclose(edited.compile().joint("elbow").range, [-1.0, 2.0])
