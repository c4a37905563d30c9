"""A small legged robot: a floating trunk, two legs of two hinges, feet that touch the floor."""

import jax.numpy as jnp
import mujoco

from ksim_cli.physics.engine import View
from ksim_cli.types import Step

LEGGED = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.002" integrator="implicitfast" iterations="50" tolerance="1e-10"/>
  <default>
    <geom contype="0" conaffinity="0"/>
    <joint damping="0.5" armature="0.01"/>
    <default class="touches"><geom contype="0" conaffinity="1"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 0.1" contype="1" conaffinity="0"/>
    <body name="trunk" pos="0 0 0.5">
      <freejoint name="root"/>
      <geom name="trunk" class="touches" type="box" size="0.15 0.12 0.05" mass="3"/>
      <site name="imu"/>
      <body name="left_thigh" pos="0 0.1 0">
        <joint name="left_hip" axis="0 1 0" range="-1 1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.24" size="0.03" mass="0.6"/>
        <body name="left_shank" pos="0 0 -0.24">
          <joint name="left_knee" axis="0 1 0" range="-0.5 1.5"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.24" size="0.02" mass="0.3"/>
          <body name="left_foot" pos="0 0 -0.24">
            <geom name="left_toe" class="touches" type="sphere" size="0.02" pos="0.08 0 0" mass="0.05"/>
            <geom name="left_heel" class="touches" type="sphere" size="0.02" pos="-0.08 0 0" mass="0.05"/>
            <site name="left_sole" pos="0 0 -0.02"/>
          </body>
        </body>
      </body>
      <body name="right_thigh" pos="0 -0.1 0">
        <joint name="right_hip" axis="0 1 0" range="-1 1"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.24" size="0.03" mass="0.6"/>
        <body name="right_shank" pos="0 0 -0.24">
          <joint name="right_knee" axis="0 1 0" range="-0.5 1.5"/>
          <geom type="capsule" fromto="0 0 0 0 0 -0.24" size="0.02" mass="0.3"/>
          <body name="right_foot" pos="0 0 -0.24">
            <geom name="right_toe" class="touches" type="sphere" size="0.02" pos="0.08 0 0" mass="0.05"/>
            <geom name="right_heel" class="touches" type="sphere" size="0.02" pos="-0.08 0 0" mass="0.05"/>
            <site name="right_sole" pos="0 0 -0.02"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <sensor><gyro name="gyro" site="imu"/></sensor>
  <keyframe><key name="home" qpos="0 0 0.5 1 0 0 0 0 0 0 0"/></keyframe>
</mujoco>
"""
MASS = 3 + 2 * (0.6 + 0.3 + 2 * 0.05)


def bound(term, xml=LEGGED):
    """A term bound to the robot it edited, and the robot's model."""
    spec = mujoco.MjSpec.from_string(xml)
    term.edit(spec)
    model = spec.compile()
    return term.bind(model), model


def stand(model, seconds=2.0, kp=60.0, kd=2.0):
    """The robot after standing for a while, its legs held by stiff springs and a weak hand."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    for _ in range(round(seconds / model.opt.timestep)):
        data.qfrc_applied[6:] = -kp * data.qpos[7:] - kd * data.qvel[6:]
        # The hand keeps the trunk from toppling: it gives no force along z.
        data.qfrc_applied[3:6] = -200.0 * data.qpos[4:7] - 10.0 * data.qvel[3:6]
        mujoco.mj_step(model, data)
    return data


FIELDS = (
    *("time", "qpos", "qvel", "qacc", "xpos", "xquat", "xmat", "geom_xpos", "geom_xmat"),
    *("site_xpos", "site_xmat", "sensordata", "qfrc_actuator", "cinert", "cvel", "subtree_com"),
)


def view_of(data):
    """What terms may read of an `MjData`, as a view of one environment."""
    return View({name: jnp.asarray(getattr(data, name), jnp.float32) for name in FIELDS})


def step_of(data, commands=None, **changes):
    """A step of the robot as terms see it."""
    zero = jnp.zeros(())
    step = Step(
        view=view_of(data),
        action=jnp.zeros(4),
        commands={k: jnp.asarray(v, jnp.float32) for k, v in (commands or {}).items()},
        time=jnp.float32(0.02),
        termination=jnp.int32(0),
        truncated=jnp.array(False),
        level=zero + 1.0,
        ctrl_dt=0.02,
        zero_offset=jnp.zeros(data.model.nq),
    )
    return step.replace(**changes)


def posed(model, qpos=None, qvel=None):
    """The robot at a pose, after a full forward pass."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    if qpos is not None:
        data.qpos[:] = qpos
    if qvel is not None:
        data.qvel[:] = qvel
    mujoco.mj_forward(model, data)
    return data


__all__ = ["LEGGED", "MASS", "bound", "posed", "stand", "step_of", "view_of"]
