"""One nonsense in each robot or configuration; what makes sense is silent."""

import numpy as np
import pytest

from ksim_cli.load_task import make_task
from ksim_cli.run.sanity import sanity
from ksim_cli.task_model import TaskModel
from tests.helpers import TINY, run_config

FLOOR = '<geom name="floor" type="plane" size="1 1 1"/>'
LEG = """
<body name="leg" pos="0 0 -0.1">
  <joint name="hip" axis="0 1 0" range="-60 60" {hip}/>
  <geom name="leg" type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02" mass="0.2"/>
  <body name="foot" pos="0 0 -0.2">
    <joint name="knee" axis="0 1 0" {knee}/>
    <geom name="foot" type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02" mass="0.1"/>
  </body>
</body>"""
ROBOT = """
<mujoco>
  <option timestep="0.004">{flags}</option>
  <worldbody>
    {world}
    <body name="trunk" pos="0 0 {height}">
      {base}<geom name="trunk" type="box" size="0.1 0.1 0.1" mass="1"/>
      {leg}
    </body>
  </worldbody>
  <actuator><motor name="hip" joint="hip" {motor}/><motor name="knee" joint="knee"/></actuator>
  <keyframe>{key}</keyframe>
</mujoco>"""
SOUND = (
    "~rewards.alive",
    "rewards.upright={type: upright, weight: 1.0}",
    "observations.q={type: joint_position}",
)


def findings(tmp_path, *overrides, hip="", knee="", **parts):
    """What is said of a one-legged robot, changed in one place."""
    changed = {
        "flags": "",
        "world": FLOOR,
        "base": "<freejoint/>",
        "height": "0.55",
        "motor": 'ctrlrange="-10 10"',
        "key": "",
        "leg": LEG.format(hip=hip, knee=knee),
        **parts,
    }
    file = tmp_path / "robot.xml"
    file.write_text(ROBOT.format(**changed))
    terms = [text if text[0] == "~" else f"++{text}" for text in (*SOUND, *overrides)]
    config = run_config("task=model", f"task.model={file}", *TINY, *terms)
    return sanity(TaskModel(make_task(config)))


def test_what_makes_sense_is_silent(tmp_path):
    assert findings(tmp_path) == []


PENALTY = "rewards.effort={type: torque, weight: 0.1}"
HIGH = "terminations.low={type: minimum_height, height: 1.0}"
FIXED = {"base": "", "world": "", "height": "1"}
SERVO = "actuators.all={type: position, kp: {hip: 1e6, knee: 1.0}, kd: 0.1}"
NOISE = "{type: additive_gaussian, std: 0.1}"
DAMPER = (
    f"actuators.all={{type: position, kp: 1.0, kd: {{hip: 1e4, knee: 0.1}}, torque_noise: {NOISE}}}"
)
NONSENSE = {
    "no floor": ((), {"world": ""}, "nothing holds up 'trunk'", "<geom"),
    "a floor that lets through": (
        (),
        {"world": FLOOR.replace("/>", ' contype="2" conaffinity="2"/>')},
        "nothing holds up 'trunk'",
        "<geom",
    ),
    "contacts are off": (
        (),
        {"flags": '<flag contact="disable"/>'},
        "nothing holds up 'trunk'",
        "<geom",
    ),
    "tilt of what cannot tilt": (
        (
            "observations.gravity={type: projected_gravity}",
            "~rewards.upright",
            "rewards.effort={type: torque, weight: -0.1}",
        ),
        FIXED,
        "observations.gravity looks at body 'trunk', which cannot move",
        "observations.gravity=null",
    ),
    "tilt of what only slides": (
        (
            "observations.gravity={type: projected_gravity}",
            "~rewards.upright",
            "rewards.effort={type: torque, weight: -0.1}",
        ),
        {**FIXED, "base": '<joint name="rail" type="slide" axis="1 0 0"/>'},
        "observations.gravity looks at body 'trunk', which cannot turn",
        "observations.gravity.body=",
    ),
    "a start out of range": (
        (),
        {"key": '<key name="home" qpos="0 0 .55 1 0 0 0 2 0"/>'},
        "joint 'hip' starts at 2, outside of -1.05 … 1.05",
        "task.home=",
    ),
    "a start in the floor": (
        (),
        {"height": "0.4"},
        "'foot' starts 0.12 m inside of floor",
        "raise",
    ),
    "a motor without gear": (
        (),
        {"motor": 'gear="0"'},
        "the action of 'hip' moves nothing",
        "actuators.all.joints=",
    ),
    "a limit below the friction": (
        (),
        {"hip": 'frictionloss="20"'},
        "the action of 'hip' moves nothing: its torque limit 10 does not overcome the friction 20",
        "raise its limit",
    ),
    "a limit of 0": (
        ("actuators.all={type: torque, limit: {knee: 0.0}}",),
        {},
        "the action of 'knee' moves nothing: its torque limit is 0",
        "raise its limit",
    ),
    "a servo too stiff": (
        (SERVO,),
        {},
        "joint 'hip': kp=1e+06 is more than steps",
        "joints.hip.kp=",
    ),
    "a damper too strong": (
        (DAMPER,),
        {},
        "joint 'hip': kd=1e+04 is more than steps of this length hold",
        "joints.hip.kd=",
    ),
    "a spring too stiff": (
        (),
        {"knee": 'stiffness="1e5"'},
        "joint 'knee': its spring, stiffness 1e+05",
        "a shorter dt",
    ),
    "a motor that is switched off": (
        (),
        {"flags": '<flag actuation="disable"/>'},
        "the action of 'hip' moves nothing: no control of it accelerates anything; and 1 more",
        "raise its limit",
    ),
    "no reward": (("~rewards.upright",), {}, "nothing to learn: there is no reward", "rewards="),
    "a weight of 0": (
        ("rewards.upright.weight=0.0",),
        {},
        "nothing to learn: there is no reward",
        "rewards=",
    ),
    "a reward for being there": (
        ("~rewards.upright", "rewards.alive={type: stay_alive, weight: 1.0}"),
        {},
        "nothing to learn: each step is worth the same",
        "rewards=",
    ),
    "a penalty that is paid out": (
        (PENALTY,),
        {},
        "rewards.effort is a penalty and has a positive weight",
        "rewards.effort.weight=-0.1",
    ),
    "no end": (("~terminations.time_limit",), {}, "nothing ends an episode", "terminations."),
    "a short end": (
        ("terminations.time_limit.max_length_seconds=0.02",),
        {},
        "terminations.time_limit ends every episode after 0.02 s, which is 1 control steps",
        "terminations.time_limit.max_length_seconds=",
    ),
    "an end at the start": (
        (HIGH,),
        {},
        "terminations.low applies in the home pose",
        "terminations.low=null",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_found_and_alone(tmp_path, case):
    overrides, parts, what, todo = NONSENSE[case]
    (found,) = findings(tmp_path, *overrides, **parts)
    assert what in found.what and todo in found.todo


def test_a_motion_that_nothing_follows_is_found(tmp_path):
    home = [0, 0, 0.55, 1, 0, 0, 0, 0, 0]
    np.savez(tmp_path / "clip.npz", qpos=np.tile(home, (9, 1)).astype(float), fps=50.0)
    motion = f"motion.files=[{tmp_path / 'clip.npz'}]"
    (found,) = findings(tmp_path, motion)
    assert "nothing follows it" in found.what and "rewards=tracking" in found.todo
    follows = "rewards.swing={type: motion_joint_position}", "commands.motion={type: motion}"
    assert findings(tmp_path, motion, *follows) == []


@pytest.mark.parametrize(
    "task", ["cartpole", "cartpole_swingup", "quadruped", "humanoid", "humanoid_stand"]
)
def test_built_in_tasks_are_silent(task):
    assert sanity(TaskModel(make_task(run_config(f"task={task}", *TINY)))) == []


def test_a_motor_that_every_other_robot_has_is_not_suspicious(tmp_path):
    # A servo whose target at the home pose is far: its force is at the limit on both sides of it.
    servo = "actuators.all={type: position, kp: 50, kd: 0.1, limit: 0.5}"
    key = '<key name="home" qpos="0 0 .55 1 0 0 0 .9 0"/>'
    assert findings(tmp_path, servo, key=key) == []
