"""What is read of a robot's file."""

import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import JointMetadata, TaskConfig
from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.names import read_text
from ksim_cli.physics.robot import (
    BASE_TEXT,
    home_control,
    home_data,
    home_key,
    home_pose,
    home_velocity,
    read_robot,
)
from tests.helpers import SMALL

INF = np.inf
HINGE = """
<mujoco>
  <default>
    <default class="hip"><motor ctrlrange="-23.7 23.7"/></default>
    <default class="strong"><joint actuatorfrcrange="-88 60"/></default>
  </default>
  <worldbody><body name="b"><joint name="j" axis="0 1 0" {joint}/><geom size="0.1"/></body></worldbody>
  <tendon><fixed name="t"><joint joint="j" coef="1"/></fixed></tendon>
  <actuator>{actuator}</actuator>
</mujoco>
"""


@pytest.mark.parametrize(
    ("actuator", "joint", "limits"),
    [
        ("", "", (-INF, INF)),
        ("", 'class="strong"', (-88.0, 60.0)),
        ('<motor joint="j"/>', "", (-INF, INF)),
        ('<motor class="hip" joint="j"/>', "", (-23.7, 23.7)),
        ('<motor class="hip" joint="j" gear="-2"/>', "", (-47.4, 47.4)),
        ('<motor joint="j" gear="100" ctrlrange="-.4 .3"/>', "", (-40.0, 30.0)),
        ('<motor joint="j" gear="-100" ctrlrange="-.4 .3"/>', "", (-30.0, 40.0)),
        ('<motor joint="j" gear="100" ctrlrange="-.4 .3" forcerange="-.1 1"/>', "", (-10.0, 30.0)),
        ('<motor joint="j" ctrllimited="false" ctrlrange="-1 1"/>', "", (-INF, INF)),
        ('<general joint="j" gainprm="7" ctrlrange="-1 2" gear="2"/>', "", (-14.0, 28.0)),
        ('<general joint="j" gainprm="-7" ctrlrange="-1 2"/>', "", (-14.0, 7.0)),
        ('<general joint="j" dyntype="filter" ctrlrange="-1 2"/>', "", (-1.0, 2.0)),
        ('<general joint="j" dyntype="integrator" actrange="-3 4"/>', "", (-3.0, 4.0)),
        ('<general joint="j" dyntype="integrator" ctrlrange="-3 4"/>', "", (-INF, INF)),
        # The control of a servo is an angle, or a speed.
        ('<position joint="j" kp="60" ctrlrange="-1 1"/>', "", (-INF, INF)),
        ('<position joint="j" kp="60" forcerange="-35 35" gear="2"/>', "", (-70.0, 70.0)),
        ('<velocity joint="j" kv="2" ctrlrange="-1 1"/>', "", (-INF, INF)),
        ('<motor joint="j" gear="50" ctrlrange="-1 1"/>', 'class="strong"', (-50.0, 50.0)),
        ('<motor joint="j" gear="99" ctrlrange="-1 1"/>', 'class="strong"', (-88.0, 60.0)),
        # Two add up, each direction by itself: an agonist and its antagonist.
        (
            '<motor joint="j" gear="30" ctrlrange="0 1"/><motor joint="j" gear="-50" ctrlrange="0 1"/>',
            "",
            (-50.0, 30.0),
        ),
        ('<motor joint="j" ctrlrange="-1 1"/><motor joint="j"/>', "", (-INF, INF)),
        # What pulls at a tendon is no actuator of the joint, whatever its name.
        ('<motor name="j" tendon="t" ctrlrange="-1 1"/>', "", (-INF, INF)),
    ],
)
def test_a_joints_limit_is_what_its_actuators_can_give_it(actuator, joint, limits):
    xml = HINGE.format(actuator=actuator, joint=joint)
    robot = read_robot(mujoco.MjSpec.from_string(xml), TaskConfig())
    np.testing.assert_allclose(robot.torque_limits["j"], limits)
    compiled = CompiledSpec(mujoco.MjModel.from_xml_string(xml))
    assert read_robot(compiled, TaskConfig()).torque_limits == robot.torque_limits


def test_native_torques_reach_the_limits_and_no_further():
    xml = HINGE.format(
        actuator='<motor joint="j" gear="100" ctrlrange="-.4 .3" forcerange="-.1 1"/>', joint=""
    )
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    for ctrl, torque in ((-9.0, -10.0), (9.0, 30.0)):
        data.ctrl[:] = ctrl
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(data.qfrc_actuator, [torque])


def test_the_files_limit_holds_where_none_is_given():
    xml = HINGE.format(actuator='<motor class="hip" joint="j"/>', joint="")
    robot = read_robot(mujoco.MjSpec.from_string(xml), TaskConfig())
    assert robot.with_limits({})["j"].torque_range == (-23.7, 23.7)
    given = robot.with_limits({"j": JointMetadata(kp=3.0)})["j"]
    assert (given.kp, given.torque_range) == (3.0, (-23.7, 23.7))
    typed = robot.with_limits({"j": JointMetadata(torque_limit=139.0)})["j"]
    assert typed.torque_range == (-139.0, 139.0)


def keyed(*keys):
    xml = "".join(f"<key {key}/>" for key in keys)
    return SMALL.replace("</mujoco>", f"<keyframe>{xml}</keyframe></mujoco>")


POSE = 'qpos="0 0 {} 1 0 0 0 0.3 -0.4"'


@pytest.mark.parametrize(
    ("keys", "wanted", "height", "note"),
    [
        ((), "", 0.099, ""),
        ((f'name="home" {POSE.format(0.2)}',), "", 0.2, ""),
        ((f'name="other" {POSE.format(0.1)}', f'name="home" {POSE.format(0.2)}'), "", 0.2, ""),
        ((f'name="stand" {POSE.format(0.3)}',), "", 0.3, "home: the only keyframe 'stand'"),
        ((POSE.format(0.3),), "", 0.3, "home: the only keyframe"),
        (
            (f'name="a" {POSE.format(0.3)}', f'name="b" {POSE.format(0.4)}'),
            "",
            0.099,
            "home: the default pose. task.home=… takes a keyframe: a, b",
        ),
        ((f'name="a" {POSE.format(0.3)}', f'name="home" {POSE.format(0.4)}'), "a", 0.3, ""),
    ],
)
def test_home_is_the_keyframe_named_or_home_or_the_only_one(keys, wanted, height, note):
    spec = mujoco.MjSpec.from_string(keyed(*keys))
    robot = read_robot(spec, TaskConfig(home=wanted))
    model = spec.compile()
    assert home_pose(model)[2] == height
    assert robot.notes == ((note,) if note else ())
    assert (home_key(model) is None) == (height == 0.099)


@pytest.mark.parametrize("given", [mujoco.MjSpec.from_string, mujoco.MjModel.from_xml_string])
def test_a_keyframe_that_is_not_there_is_named_with_the_nearest(given):
    spec = given(keyed(f'name="stand" {POSE.format(0.3)}'))
    spec = spec if isinstance(spec, mujoco.MjSpec) else CompiledSpec(spec)
    message = r"task.home=stnd: no keyframe of that name.*Did you mean 'stand'"
    with pytest.raises(UserError, match=message):
        read_robot(spec, TaskConfig(home="stnd"))


def test_a_task_that_says_something_of_a_joint_that_is_not_there_is_refused():
    robot = read_robot(mujoco.MjSpec.from_string(SMALL), TaskConfig())
    message = r"get_mujoco_model_metadata: no hinge or slide joint 'elbw'.*Did you mean 'elbow'"
    with pytest.raises(UserError, match=message):
        robot.with_limits({"elbw": JointMetadata(kp=1.0)})


def test_a_choice_that_is_the_models_own_needs_not_be_held():
    spec = CompiledSpec(mujoco.MjModel.from_xml_string(keyed(f'name="stand" {POSE.format(0.3)}')))
    assert read_robot(spec, TaskConfig(home="stand")).notes == ()


def test_a_compiled_model_cannot_hold_a_choice():
    keys = (f'name="home" {POSE.format(0.2)}', f'name="stand" {POSE.format(0.3)}')
    spec = CompiledSpec(mujoco.MjModel.from_xml_string(keyed(*keys)))
    with pytest.raises(UserError, match=r"task.home=stand: an MjModel cannot hold .*Return the"):
        read_robot(spec, TaskConfig(home="stand"))


def test_the_base_that_is_named_goes_with_the_model():
    spec = mujoco.MjSpec.from_string(SMALL)
    read_robot(spec, TaskConfig(base="upper"))
    assert read_text(spec.compile(), BASE_TEXT) == "upper"
    assert read_text(spec.compile(), "ksim/none") is None
    with pytest.raises(UserError, match=r"task.base=uper: no body .*Did you mean 'upper'"):
        read_robot(mujoco.MjSpec.from_string(SMALL), TaskConfig(base="uper"))


HELD = """
<mujoco>
  <worldbody>
    <body name="a"><joint name="a" axis="0 1 0"/><geom size="0.1"/></body>
    <body name="m" mocap="true"><geom size="0.1" contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator>
    <position name="p" joint="a" kp="9" ctrlrange="-1 1"/>
    <intvelocity name="v" joint="a" kp="4" actrange="-3 3"/>
  </actuator>
  <keyframe><key name="home" qpos="0.3" qvel="0.1" ctrl="-7 0.5" act="0.25" mpos="1 2 3"/></keyframe>
</mujoco>
"""


def test_the_home_keyframe_is_taken_whole():
    model = mujoco.MjModel.from_xml_string(HELD)
    np.testing.assert_array_equal(home_control(model), [-1.0, 0.5])  # within its range
    np.testing.assert_array_equal(home_velocity(model), [0.1])
    data = home_data(model)
    assert data.act[0] == 0.25 and data.mocap_pos[0].tolist() == [1, 2, 3]
    bare = mujoco.MjModel.from_xml_string(HELD[: HELD.index("<keyframe>")] + "</mujoco>")
    assert not home_control(bare).any() and not home_velocity(bare).any()


NAMELESS = """
<mujoco>
  <worldbody>
    <body name="base"><freejoint/><geom size="0.1"/>
      <body name="lower"><joint axis="0 1 0"/><geom size="0.1"/></body>
      <body><joint axis="0 1 0"/><joint axis="1 0 0"/><geom size="0.1"/>
        <body><joint name="lower/2" axis="0 1 0"/><geom size="0.1"/></body></body>
      <body><joint type="ball"/><geom size="0.1"/></body>
    </body>
    <body name="taken"><joint name="other" axis="0 1 0"/><geom size="0.1"/></body>
    <body name="other"><joint axis="0 1 0"/><geom size="0.1"/></body>
  </worldbody>
  <actuator><motor joint="lower/2"/><motor joint="lower/2" gear="2"/></actuator>
</mujoco>
"""


def test_what_has_no_name_is_named_after_where_it_is():
    spec = mujoco.MjSpec.from_string(NAMELESS)
    model = read_robot(spec, TaskConfig()).model
    bodies = [model.body(i).name for i in range(1, model.nbody)]
    assert bodies == ["base", "lower", "base/1", "base/1/0", "base/2", "taken", "other"]
    scalar = [model.joint(i).name for i in range(model.njnt) if model.jnt_type[i] == 3]
    assert scalar == ["lower", "base/1/0", "base/1/1", "lower/2", "other", "other/2"]
    assert [model.actuator(i).name for i in range(2)] == ["lower/2", "lower/2/2"]
