"""Robots that people bring, through `task=model`, beside native MuJoCo on their own file."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.load_task import make_task
from ksim_cli.mdp.action_manager import ActionManager
from ksim_cli.run.describe import joint_rows, robot_lines
from ksim_cli.task_model import TaskModel
from tests.helpers import run_config

ARM = """
<mujoco>
  <option integrator="implicitfast" timestep="0.002"/>
  <default><default class="hip"><motor ctrlrange="-23.7 23.7"/></default></default>
  <worldbody>
    <body name="upper" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0" damping=".2" {shoulder}/>
      <geom type="capsule" size=".03" fromto="0 0 0 .3 0 0" mass="1"/>
      <body name="lower" pos=".3 0 0">
        <joint name="elbow" axis="0 1 0" damping=".2"/>
        <geom type="capsule" size=".03" fromto="0 0 0 .3 0 0" mass="1"/>
      </body>
    </body>
  </worldbody>
  {rest}
</mujoco>
"""
MOTORS = ARM.format(
    shoulder="",
    rest="""<actuator><motor class="hip" name="m1" joint="shoulder"/>
      <motor name="m2" joint="elbow" gear="100" ctrlrange="-.4 .4"/></actuator>""",
)
SERVOS = ARM.format(
    shoulder="",
    rest="""<actuator><position name="leg" joint="shoulder" kp="300" kv="30"/>
      <position name="arm" joint="elbow" kp="300" kv="30"/></actuator>
      <keyframe><key name="home" qpos="0 -1.2" ctrl="0 -1.2"/></keyframe>""",
)
STRONG = ARM.format(shoulder='actuatorfrcrange="-88 88"', rest="")
DRONE = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody><body name="drone" pos="0 0 1"><freejoint/><geom type="box" size=".1 .1 .02" mass="1"/>
    <site name="left" pos="0 .1 0"/><site name="right" pos="0 -.1 0"/></body></worldbody>
  <actuator><motor name="l" site="left" gear="0 0 1 0 0 0" ctrlrange="0 13"/>
    <motor name="r" site="right" gear="0 0 1 0 0 0" ctrlrange="0 13"/></actuator>
  <keyframe><key name="hover" qpos="0 0 1 1 0 0 0" ctrl="4.905 4.905"/></keyframe>
</mujoco>
"""


def bring(tmp_path, xml, *overrides, **changes):
    """The task made of a file, and native MuJoCo's model of it."""
    file = tmp_path / "robot.xml"
    file.write_text(xml)
    config = run_config("task=model", f"task.model={file}", "engine=mujoco", *overrides)
    return TaskModel(
        make_task(dataclasses.replace(config, **changes))
    ), mujoco.MjModel.from_xml_path(str(file))


class Simulation:
    """One environment's physics and actuators, step by step."""

    def __init__(self, built):
        self.model, self.built = built.model, built
        config = built.config.engine
        self._manager = ActionManager(built.mdp.actuators, self.model, built.timing, config, 1)
        self._carry = self._manager.init(jax.random.key(0))
        self.data = mujoco.MjData(self.model)
        if self.model.nkey:
            mujoco.mj_resetDataKeyframe(self.model, self.data, 0)

    def step(self, action):
        """One control step."""
        timing, level = self.built.timing, jnp.ones(())
        qpos = jnp.array(self.data.qpos, jnp.float32)[None]
        carry = self._manager.receive(
            self._carry, jnp.array([action]), qpos, level, jax.random.key(1)
        )
        each = timing.num_substeps // self._manager.num_updates
        for i in range(self._manager.num_updates):
            state = (jnp.array(x, jnp.float32)[None] for x in (self.data.qpos, self.data.qvel))
            ctrl, carry = self._manager.torques(carry, jnp.int32(i), *state, level)
            self.data.ctrl[:] = np.asarray(ctrl[0])
            mujoco.mj_step(self.model, self.data, each)
        self._carry = self._manager.finish(carry)
        return self.data


def test_a_limit_that_the_file_says_as_a_motors_control_range_holds(tmp_path):
    built, _ = bring(tmp_path, MOTORS)
    np.testing.assert_allclose(
        Simulation(built).step([200.0, -200.0]).qfrc_actuator, [23.7, -40.0], rtol=1e-6
    )
    limits = {row[0]: row[4] for row in joint_rows(built)}
    assert limits == {"shoulder": "23.7", "elbow": "40"}


@pytest.mark.parametrize(("xml", "file"), [(MOTORS, 23.7), (STRONG, 88.0)])
def test_a_limit_that_is_typed_replaces_the_files_and_is_shown_beside_it(tmp_path, xml, file):
    built, _ = bring(tmp_path, xml, joints={"shoulder": {"torque_limit": 139.0}})
    data = Simulation(built).step([200.0, 0.0])
    np.testing.assert_allclose(data.qfrc_actuator[0], 139.0, rtol=1e-6)
    assert joint_rows(built)[0][4] == f"139 (file: {file:g})"


def test_what_no_action_reaches_keeps_the_home_poses_control(tmp_path):
    built, native = bring(
        tmp_path,
        SERVOS,
        actuators={"legs": {"type": "position", "joints": ["shoulder"]}},
        joints={"shoulder": {"kp": 300.0, "kd": 30.0}},
    )
    ours, data = Simulation(built), mujoco.MjData(native)
    mujoco.mj_resetDataKeyframe(native, data, 0)
    for _ in range(50):
        ours.step([0.0])
        mujoco.mj_step(native, data, 10)
    np.testing.assert_allclose(ours.data.qpos, data.qpos, atol=1e-4)
    assert abs(data.qpos[1] + 1.2) < 0.05, "the arm is held"
    held = "actuators that no action reaches, held at the home pose's control: 'arm'"
    assert robot_lines(built) == [held]


WRIST = """
<mujoco>
  <compiler angle="radian"/><option timestep=".005" integrator="implicitfast"/>
  <worldbody><body name="hand" pos="0 0 1"><joint name="wrist" axis="0 1 0" range="-1 1"/>
    <geom type="capsule" size=".02" fromto="0 0 0 .08 0 0" mass=".1"/></body></worldbody>
  <actuator><position name="wrist" joint="wrist" kp="20" kv="2" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


@pytest.mark.parametrize("latency", ["[0.0,0.0]", "[0.01,0.01]"])
def test_stiff_gains_on_a_light_link_are_as_stable_as_the_files_servo(tmp_path, latency):
    built, native = bring(
        tmp_path,
        WRIST,
        f"engine.action_latency_range={latency}",
        actuators={"all": {"type": "position"}},
        joints={"wrist": {"kp": 20.0, "kd": 2.0}},
    )
    ours, data = Simulation(built), mujoco.MjData(native)
    data.ctrl[:] = 0.5
    for _ in range(50):
        ours.step([0.5])
        mujoco.mj_step(native, data, 4)
    assert abs(ours.data.qpos[0] - data.qpos[0]) < (1e-4 if latency == "[0.0,0.0]" else 0.01)


def test_a_file_whose_actuators_drive_no_joint_is_driven_through_them(tmp_path):
    built, native = bring(tmp_path, DRONE)
    assert built.action_size == 2 and built.observation_sizes["actor"] == 9
    ours, data = Simulation(built), mujoco.MjData(native)
    mujoco.mj_resetDataKeyframe(native, data, 0)
    data.ctrl[:] = [13.0 * 0.75, 13.0 * 0.5]
    for _ in range(5):
        ours.step([0.5, 0.0])
        mujoco.mj_step(native, data, 2)
    np.testing.assert_allclose(ours.data.qpos, data.qpos, rtol=1e-6)
    assert robot_lines(built) == ["home: the only keyframe 'hover'"]


STIFF = """
<mujoco>
  <option timestep=".0005" integrator="RK4" iterations="100" gravity="0 0 -3.71" impratio="10"/>
  <worldbody><body name="bar" pos="0 0 1">
    <joint name="flex" axis="0 1 0" stiffness="40" damping="0.002"/>
    <geom type="capsule" size=".01" fromto="0 0 0 .1 0 0" mass=".02"/></body></worldbody>
  <actuator><motor name="flex" joint="flex"/></actuator>
</mujoco>
"""


def test_options_of_the_file_hold_and_what_overrides_them_is_told(tmp_path):
    built, native = bring(tmp_path, STIFF)
    assert built.timing.num_substeps == 40 and robot_lines(built) == []
    ours, data = Simulation(built), mujoco.MjData(native)
    for simulated in (ours.data, data):
        simulated.qpos[0] = 0.3
    for _ in range(20):
        ours.step([0.01])
        data.ctrl[:] = 0.01
        mujoco.mj_step(native, data, 40)
    np.testing.assert_allclose(ours.data.qpos, data.qpos, rtol=1e-6)
    changed, _ = bring(tmp_path, STIFF, "dt=0.004", "iterations=5")
    assert robot_lines(changed) == [
        "physics options: timestep 0.0005 -> 0.004, iterations 100 -> 5"
    ]
