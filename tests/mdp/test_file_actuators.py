"""Actions that are controls of the file's own actuators."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.file_actuators import Control
from ksim_cli.mdp.term import JointState
from ksim_cli.registry import ACTUATORS

GRIPPER = """
<mujoco>
  <worldbody>
    <body name="left"><joint name="left" type="slide" range="0 0.04"/><geom size="0.01"/></body>
    <body name="right" pos="0 1 0"><joint name="right" type="slide" range="0 0.04"/>
      <geom size="0.01"/><site name="nozzle"/></body>
  </worldbody>
  <tendon><fixed name="width"><joint joint="left" coef="0.5"/><joint joint="right" coef="0.5"/>
  </fixed></tendon>
  <actuator>
    <position name="grip" tendon="width" kp="400" ctrlrange="0 0.04"/>
    <general name="jet" site="nozzle" gear="0 0 1 0 0 0" ctrlrange="-1 3"/>
    <motor name="free" joint="left" gear="2"/>
  </actuator>
  <keyframe><key name="home" qpos="0.03 0.03" ctrl="0.03 0 5"/></keyframe>
</mujoco>
"""
NOTHING = JointState(position=jnp.zeros(0), velocity=jnp.zeros(0))


def bound(**fields):
    spec = mujoco.MjSpec.from_string(GRIPPER)
    term = Control(**fields).resolve(spec, {})
    term.edit(spec)
    return term.bind(spec.compile())


def test_an_action_spans_the_control_range_and_is_the_control_where_there_is_none():
    term = bound()
    assert term.actuators == ("grip", "jet", "free") and term.action_size == 3
    for action, ctrl in (
        ([-1.0, -1.0, -7.0], [0.0, -1.0, -7.0]),
        ([0.5, 0.0, 0.5], [0.03, 1.0, 0.5]),
        ([9.0, 9.0, 9.0], [0.04, 3.0, 9.0]),
    ):
        given, carry = term(jnp.array(action), NOTHING, ())
        np.testing.assert_allclose(given, ctrl, rtol=1e-6)
        assert carry == ()


def test_the_rest_action_is_the_home_poses_control():
    term = bound(actuators=("free", "gr*"))
    assert term.ctrl_addresses == (2, 0)
    rest = term.rest_action(jnp.zeros(0))
    np.testing.assert_allclose(rest, [5.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(term(rest, NOTHING, ())[0], [5.0, 0.03], rtol=1e-6)


def test_what_it_cannot_drive_is_refused():
    with pytest.raises(UserError, match=r"no actuator 'grp' in the model. Did you mean 'grip'"):
        bound(actuators=("grp",))
    with pytest.raises(UserError, match=r"actuators.all: no parameter 'joints'"):
        ACTUATORS.build({"type": "ctrl", "joints": ["left"]}, "actuators.all")
