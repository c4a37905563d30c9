"""What a term mixes is of one moment: a view's state is new, all else one physics step old."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.mdp import maths
from ksim_cli.mdp.manager import blank_step
from ksim_cli.physics.engine import fields_read
from tests.mdp.every_term import COMMANDS, SCENE, sections_of
from tests.motion.motions import swaying
from tests.robot import make_env, make_mdp, rollout

STATE = {"time", "qpos", "qvel", "act"}
"""Fields of a view that are those after the step; all others are of the step before."""

MIXED = {"rewards.energy_0": {"qvel", "qfrc_actuator"}}
"""The torque of the last physics step and the velocity that it ends with: that step's work."""

SIZES = {"height": 1, "angular": 1, "angular_velocity": 1, "point": 3, "joint_position": 4}
KEY = jax.random.key(0)


def fields_of_each():
    """Path of a term -> fields of the view that it reads."""
    kinds = ("observations", "rewards", "terminations", "events", "commands")
    spec = mujoco.MjSpec.from_string(SCENE)
    mdp = make_mdp(**{kind: sections_of(kind) for kind in kinds}).edit(spec, {})
    model = spec.compile()
    mdp = mdp.bind(model, swaying(model, 0.02))
    told = {name: jnp.zeros(SIZES.get(name, 2)) for name in COMMANDS}
    blank = blank_step(model.nu, jnp.zeros(()), jnp.ones(()))
    blank = blank.replace(commands=told, zero_offset=jnp.zeros(model.nq))

    def call(kind, term, view):
        step, carry = blank.replace(view=view), term.init(KEY)
        given = (KEY,) if kind in ("observations", "events", "commands") else ()
        value, _ = term(step, carry, *given)
        if kind == "commands" and term.is_measured:
            return value, term.error(step, value)
        return value

    read = {}
    for kind in kinds:
        for name, term in getattr(mdp, kind).items():
            read[f"{kind}.{name}"] = fields_read(
                model, lambda view, k=kind, t=term: jax.tree.leaves(call(k, t, view))
            )
    return read


def test_no_term_mixes_the_state_with_what_is_older():
    read = fields_of_each()
    mixed = {where: fields for where, fields in read.items() if STATE & fields and fields - STATE}
    assert mixed == MIXED
    # It is seen where it would be.
    assert read["observations.base_linear_velocity_0"] == {"qpos", "qvel"}
    assert read["observations.base_linear_acceleration_0"] == {"xquat", "sensordata"}
    assert read["observations.feet_position_0"] == {"xpos", "xquat"}
    assert read["observations.projected_gravity_1"] == {"site_xmat"}
    assert read["rewards.position_tracking_0"] == {"xpos", "xquat", "site_xpos"}
    assert read["commands.linear_velocity_0"] == {"qpos", "qvel"}


HOPPER = """
<mujoco>
  <option timestep="0.004" integrator="implicitfast"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 0.1"/>
    <body name="trunk" pos="0 0 0.44">
      <freejoint/>
      <geom type="box" size="0.1 0.2 0.05" mass="2" contype="0" conaffinity="0"/>
      <site name="imu"/>
      <body name="leg" pos="0.05 0.02 0">
        <joint name="hip" axis="0 1 0" damping="0.1"/>
        <geom name="foot" size="0.04" pos="0 0 -0.4" mass="0.5"/>
        <site name="sole" pos="0 0 -0.44"/>
      </body>
    </body>
  </worldbody>
  <sensor>
    <accelerometer name="acceleration" site="imu"/>
    <frameangacc name="angular" objtype="xbody" objname="trunk"/>
    <framequat name="trunk" objtype="xbody" objname="trunk"/>
    <framepos name="foot" objtype="geom" objname="foot" reftype="xbody" refname="trunk"/>
    <framepos name="sole" objtype="site" objname="sole" reftype="xbody" refname="trunk"/>
    <contact name="force" geom1="foot" data="found force" reduce="netforce"/>
  </sensor>
</mujoco>
"""
SENSED = ("acceleration", "angular", "trunk", "foot", "sole", "force")
POINT = {
    "type": "cartesian_coordinate",
    "x_range": [0.1, 0.1],
    "y_range": [0.1, 0.1],
    "z_range": [-0.4, -0.4],
}


@pytest.fixture(params=["mujoco", pytest.param("mjx", marks=pytest.mark.slow)])
def tumbling(request):
    """What terms say of a robot that is thrown about, and MuJoCo's own sensors `[T, N, ...]`."""
    in_frame = {"feet": ["foot"], "in_robot_frame": True}
    observations = {
        "base_linear_acceleration": {"type": "base_linear_acceleration"},
        "base_angular_acceleration": {"type": "base_angular_acceleration"},
        "feet_position": {"type": "feet_position", **in_frame},
        "feet_force": {"type": "feet_force", **in_frame},
        **{name: {"type": "sensor", "sensors": [name]} for name in SENSED},
    }
    env = make_env(
        HOPPER,
        engine=request.param,
        num_envs=4,
        observations=observations,
        commands={"point": POINT},
        rewards={
            "position_tracking": {
                "type": "position_tracking",
                "target": "sole",
                "command": "point",
                "sigma": 0.3,
            }
        },
        resets={"fast": {"type": "base_xy_velocity", "x_range": 2.0, "y_range": 2.0}},
        events={
            "spin": {"type": "angular_push", "interval": [0.01, 0.02], "speed": [2.0, 5.0]},
            "push": {"type": "linear_push", "interval": [0.01, 0.05], "speed": [0.5, 1.0]},
        },
    )
    obs, _, scores = rollout(env, steps=12, size=2.0)
    sizes = env.observation_layout["critic"]
    ends = np.cumsum(list(sizes.values()))[:-1]
    seen = dict(zip(sizes, np.split(obs["critic"][1:], ends, axis=-1), strict=True))
    return {**seen, **scores.components}


def test_terms_agree_with_mujocos_sensors_while_the_base_tumbles(tumbling):
    seen = tumbling
    turn = seen["trunk"]
    force = -np.asarray(maths.unrotate(seen["force"][..., 1:], turn))
    missed = np.linalg.norm(seen["sole"] - [0.1, 0.1, -0.4], axis=-1)
    wanted = {
        "base_linear_acceleration": seen["acceleration"],
        "base_angular_acceleration": np.asarray(maths.unrotate(seen["angular"], turn)),
        "feet_position": seen["foot"],
        "feet_force": force,
        "position_tracking": np.exp(-((missed / 0.3) ** 2)),
    }
    assert (force[..., 2] > 1.0).any() and np.abs(seen["angular"]).max() > 100.0
    for name, value in wanted.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(seen[name] / scale, value / scale, atol=1e-5, err_msg=name)
