"""The file's actuators made motors: beside native MuJoCo on the file, untouched."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.physics.mjx_import import mjx
from ksim_cli.physics.motors import Motor, add_motors, restore_keys, write_motors

ACTUATORS = {
    "none": "",
    "plain": '<motor name="m" joint="{}"/>',
    "control_range": '<motor class="unit" joint="{}"/>',
    "gear": '<motor class="geared" joint="{}"/>',
    "negative_gear": '<motor joint="{}" gear="-3"/>',
    "zero_gear": '<motor joint="{}" gear="0"/>',
    "gain": '<general joint="{}" gainprm="7" ctrllimited="true" ctrlrange="-1 1"/>',
    "position": '<position class="servo" joint="{}"/>',
    "velocity": '<velocity joint="{}" kv="4"/>',
    "damper": '<damper joint="{}" kv="4" ctrlrange="0 1"/>',
    "affine": '<general joint="{}" gaintype="affine" gainprm="2 1 1" biastype="affine" biasprm="5 -3 -1"/>',
    "filtered": '<general joint="{}" dyntype="filter" dynprm="0.1"/>',
    "integrated": '<intvelocity joint="{}" kp="40" actrange="-1 1"/>',
    "cylinder": '<cylinder joint="{}" timeconst="0.2" bias="1 2 3"/>',
    "muscle": '<muscle joint="{}" force="30" lengthrange="-1 1" ctrllimited="true" ctrlrange="0 1"/>',
    "early": '<general joint="{}" dyntype="filterexact" dynprm="0.1" actearly="true" actlimited="true" actrange="-2 2"/>',
    "force_range": '<motor class="weak" joint="{}"/>',
    "two": '<position joint="{0}" kp="60"/><velocity joint="{0}" kv="4"/>',
    "joint_range": '<motor joint="{}"/>',
}
"""What drives a hinge in a file; each hangs in a class, or a child class, of its own."""

DEFAULTS = """
<default>
  <motor ctrlrange="-1 1" ctrllimited="true" gear="11"/><general forcerange="-2 2" forcelimited="true"/>
  <default class="unit"><motor ctrlrange="-1 1" gear="1"/></default>
  <default class="geared"><motor gear="100" ctrlrange="-0.4 0.4"/></default>
  <default class="servo"><position kp="985" kv="3" inheritrange="1"/></default>
  <default class="weak"><motor forcerange="-3 3" gear="2"/></default>
  <default class="hung"><joint actuatorfrcrange="-5 5" damping="0.1"/></default>
</default>
"""


def museum():
    """A file with a hinge for each entry of `ACTUATORS`, all driven in another way."""
    bodies, actuators = "", ""
    for i, (name, xml) in enumerate(ACTUATORS.items()):
        hung = 'childclass="hung"' if name == "joint_range" else ""
        bodies += (
            f'<body name="{name}" pos="0 {i} 0" {hung}>'
            f'<joint name="{name}" axis="0 1 0" range="-90 90"/><geom size="0.1"/></body>'
        )
        actuators += xml.format(name)
    option = '<option><flag contact="disable" gravity="disable"/></option>'
    return f"<mujoco>{option}{DEFAULTS}<worldbody>{bodies}</worldbody><actuator>{actuators}</actuator></mujoco>"


def motors(xml, laws):
    """The model of a file with these laws: joint -> `Motor`."""
    spec = mujoco.MjSpec.from_string(xml)
    nominal = spec.compile()
    add_motors(spec, laws)
    model = spec.compile()
    restore_keys(model, nominal)
    write_motors(model, laws)
    return model


def ask(model, joints, torque):
    """`qfrc_actuator` after a step in which every motor is asked for one torque."""
    data = mujoco.MjData(model)
    driven = {model.actuator_trnid[i, 0]: i for i in reversed(range(model.nu))}
    data.ctrl[[driven[model.joint(name).id] for name in joints]] = torque
    mujoco.mj_step(model, data)
    return data.qfrc_actuator


@pytest.mark.parametrize("torque", [20.0, -20.0])
def test_what_is_asked_arrives_whatever_the_file_and_its_defaults_say(torque):
    model = motors(museum(), dict.fromkeys(ACTUATORS, Motor(-20.0, 20.0)))
    assert model.na == 0
    np.testing.assert_allclose(ask(model, ACTUATORS, torque), torque, rtol=1e-12)


def test_it_arrives_on_mjx_too():
    model = motors(museum(), dict.fromkeys(ACTUATORS, Motor(-20.0, 20.0)))
    driven = {model.actuator_trnid[i, 0]: i for i in reversed(range(model.nu))}
    ctrl = np.zeros(model.nu)
    ctrl[[driven[model.joint(name).id] for name in ACTUATORS]] = 20.0
    data = mjx.make_data(model, impl="jax").replace(ctrl=jnp.array(ctrl))

    @jax.jit
    def actuate(model, data):
        # Of a step only what actuators have to do with, which compiles in no time.
        with jax.numpy_rank_promotion("allow"):
            for part in (mjx.kinematics, mjx.com_pos, mjx.transmission, mjx.fwd_actuation):
                data = part(model, data)
        return data.qfrc_actuator

    torques = actuate(mjx.put_model(model, impl="jax"), data)
    np.testing.assert_allclose(torques, 20.0, rtol=1e-6)


def test_the_museum_would_not_give_it():
    native = mujoco.MjModel.from_xml_string(museum())
    data = mujoco.MjData(native)
    data.ctrl[:] = 20.0
    mujoco.mj_step(native, data)
    assert (np.abs(data.qfrc_actuator - 20.0) > 1.0).all()


def test_a_range_of_the_joint_gives_way_to_a_larger_limit_and_bounds_others():
    hinges = museum()
    wide = motors(hinges, dict.fromkeys(ACTUATORS, Motor(-9.0, 2.0)))
    joint = wide.joint("joint_range").id
    np.testing.assert_array_equal(wide.jnt_actfrcrange[joint], [-9.0, 5.0])


KEYED = """
<mujoco>
  <worldbody>
    <body name="a"><joint name="a" axis="0 1 0"/><geom size="0.1"/></body>
    <body name="b" pos="0 1 0"><joint name="b" axis="0 1 0"/><geom size="0.1"/></body>
    <body name="c" pos="0 2 0"><joint name="c" axis="0 1 0"/><geom size="0.1"/></body>
  </worldbody>
  <tendon><fixed name="t"><joint joint="b" coef="1"/></fixed></tendon>
  <actuator>
    <general name="first" joint="a" dyntype="filter" dynprm="0.1" gear="25"/>
    <general name="c" tendon="t" dyntype="filter" dynprm="0.1"/>
    <motor name="load" joint="b" gear="10"/>
  </actuator>
  <sensor>
    <actuatorpos name="place" actuator="first"/><actuatorvel actuator="first"/>
    <actuatorfrc name="force" actuator="load"/><actuatorfrc actuator="c"/>
  </sensor>
  <keyframe><key name="home" qpos="0.2 0 0" ctrl="1 2 3" act="0.4 0.5"/><key ctrl="4 5 6"/></keyframe>
</mujoco>
"""


def test_what_refers_to_an_actuator_goes_on_to_refer_to_it():
    model = motors(KEYED, {"a": Motor(), "c": Motor(), "b": Motor()})
    names = [model.actuator(i).name for i in range(model.nu)]
    assert names == ["first", "c", "load", "c/motor"]
    # Controls of what nobody drives, and activations, are the file's, by actuator.
    np.testing.assert_array_equal(model.key_ctrl, [[0, 2, 0, 0], [0, 5, 0, 0]])
    np.testing.assert_array_equal(model.key_act, [[0.5], [0.0]])
    native = mujoco.MjModel.from_xml_string(KEYED)
    ours, theirs = mujoco.MjData(model), mujoco.MjData(native)
    for data in (ours, theirs):
        mujoco.mj_resetDataKeyframe(data.model, data, 0)
        data.act[:] = 0.0
    theirs.ctrl[:], ours.ctrl[:] = [0.0, 0.0, 0.3], [0.0, 0.0, 3.0, 0.0]  # 3 N m at b
    for data in (ours, theirs):
        mujoco.mj_forward(data.model, data)
    np.testing.assert_allclose(ours.sensordata, theirs.sensordata)
    np.testing.assert_allclose(ours.sensordata[[0, 2]], [25 * 0.2, 0.3])


def test_activations_are_mapped_where_one_before_them_is_gone():
    model = motors(KEYED, {"a": Motor()})
    assert model.na == 1
    np.testing.assert_array_equal(model.key_act[0], [0.5])


WRIST = """
<mujoco>
  <compiler angle="radian"/><option timestep="0.005" integrator="implicitfast"/>
  <worldbody>
    <body><joint name="wrist" axis="0 1 0" range="-1 1"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0.08 0 0" mass="0.1"/></body>
  </worldbody>
  <actuator><position name="wrist" joint="wrist" kp="{kp}" kv="{kv}" gear="{gear}"/></actuator>
</mujoco>
"""


@pytest.mark.parametrize("gear", [1.0, 5.0])
def test_a_servo_moves_as_the_files_own(gear):
    law = Motor(kp=20.0, kd=2.0)
    ours = motors(WRIST.format(kp=1, kv=0, gear=gear), {"wrist": law})
    native = mujoco.MjModel.from_xml_string(WRIST.format(kp=20, kv=2, gear=1))
    places = []
    for model, ctrl in ((ours, 20.0 * 0.5), (native, 0.5)):
        data = mujoco.MjData(model)
        data.ctrl[:] = ctrl
        places.append([])
        for _ in range(200):
            mujoco.mj_step(model, data)
            places[-1].append(data.qpos[0])
    np.testing.assert_allclose(*places, atol=1e-9)
    assert 0.45 < places[0][-1] < 0.55, "it settles"
