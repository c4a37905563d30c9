"""A compiled model taken as it is: beside native MuJoCo on the same model, untouched."""

import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.motors import Motor, write_motors

ARM = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <body name="upper" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0" damping="0.1" actuatorfrcrange="-3 4"/>
      <geom name="bone" type="capsule" fromto="0 0 0 0.3 0 0" size="0.03" mass="0.3"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.2"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="big" joint="shoulder" gear="{gear}" ctrlrange="-0.5 0.25" ctrllimited="true"/>
    {elbow}
  </actuator>
  <sensor>
    <actuatorfrc name="force" actuator="big"/>
    <framelinvel name="tip" objtype="xbody" objname="lower"/>
  </sensor>
  <keyframe><key name="home" qpos="0.1 0.2" ctrl="0.25"/></keyframe>
</mujoco>
"""


def arm(gear=4.0, elbow=""):
    return mujoco.MjModel.from_xml_string(ARM.format(gear=gear, elbow=elbow))


def stepped(model, ctrl, steps=50):
    data = mujoco.MjData(model)
    data.ctrl[:] = ctrl
    mujoco.mj_step(model, data, steps)
    return data


@pytest.mark.parametrize("gear", [4.0, -4.0])
@pytest.mark.parametrize("torque", [0.5, -0.9])
def test_a_motor_takes_torques_and_acts_as_the_models_own(gear, torque):
    model = arm(gear)
    before = model.actuator_gainprm.copy()
    spec = CompiledSpec(model)
    spec.require_motor("shoulder")
    driven = spec.compile()
    write_motors(driven, {"shoulder": Motor()})
    ours, native = stepped(driven, torque), stepped(model, torque / gear)
    np.testing.assert_allclose(ours.qpos, native.qpos, rtol=1e-12)
    np.testing.assert_allclose(ours.sensordata, native.sensordata, rtol=1e-12)
    np.testing.assert_array_equal(model.actuator_gainprm, before)


SERVO = '<intvelocity name="servo" joint="elbow" kp="5" actrange="-1 1"/>'


@pytest.mark.parametrize(
    ("elbow", "message"),
    [
        ("", "joint 'elbow' has no actuator in the MjModel. Return the MjSpec"),
        (SERVO, "actuator 'servo' of joint 'elbow' has a state of its own"),
    ],
)
def test_what_cannot_be_driven_by_torque_is_refused(elbow, message):
    model = mujoco.MjModel.from_xml_string(
        ARM.format(gear=4.0, elbow=elbow).replace('ctrl="0.25"', "")
    )
    with pytest.raises(UserError, match=message):
        CompiledSpec(model).require_motor("elbow")


def test_it_reads_like_the_spec_it_was_compiled_from():
    spec = CompiledSpec(arm(elbow='<motor name="elbow" joint="elbow"/>'))
    other = mujoco.MjSpec.from_string(ARM.format(gear=4.0, elbow=""))
    assert [j.name for j in spec.joints] == [j.name for j in other.joints]
    assert [b.name for b in spec.bodies] == [b.name for b in other.bodies]
    assert [(a.name, a.target) for a in spec.actuators] == [("big", "shoulder"), ("elbow", "elbow")]
    for ours, theirs in zip(spec.sensors, other.sensors, strict=True):
        for name in ("name", "type", "objtype", "objname", "reftype", "cutoff"):
            assert getattr(ours, name) == getattr(theirs, name), name
    assert spec.geom("bone").contype == 1 and [g.name for g in spec.body("upper").geoms] == ["bone"]
    assert [j.name for j in spec.body("lower").joints] == ["elbow"]
    with pytest.raises(UserError, match=r"spec.add_mesh: an MjModel has none to edit. Return the"):
        spec.add_mesh(name="x")


def test_a_body_that_is_said_not_to_be_simple_is_none():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body name='ball'><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
    )
    assert model.body_simple[1]
    spec = CompiledSpec(model)
    assert spec.compile().body_simple[1] and spec.compile().dof_simplenum.any()
    spec.body("ball").simple = False
    assert not spec.compile().body_simple[1] and not spec.compile().dof_simplenum.any()
