"""Net contact forces of MJX in JAX against MuJoCo's own."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_contacts import net_force_sensors, without_net_forces
from ksim_cli.physics.mjx_engine import MjxEngine

# A box and a sphere on a plane, and every kind of sensor of theirs.
SCENE = """
<mujoco>
  <option timestep="0.004" integrator="implicitfast" tolerance="1e-10"/>
  <default><geom contype="0"/></default>
  <worldbody>
    <geom name="floor" type="plane" size="3 3 0.1" contype="1"/>
    <body name="box" pos="0 0 0.098"><freejoint/>
      <geom name="box" type="box" size="0.3 0.2 0.1" mass="10" condim="6" friction="1 0.1 0.1"/>
    </body>
    <body name="ball" pos="2 0 0.3"><freejoint/><geom name="ball" size="0.1" mass="1"/></body>
  </worldbody>
  <sensor>
    <contact name="box" geom1="box" data="found force torque dist pos normal tangent"
             reduce="netforce"/>
    <contact name="floor" geom1="floor" geom2="box" data="force pos" reduce="netforce"/>
    <contact name="other" geom2="box" data="found torque" reduce="netforce"/>
    <contact name="all" data="found force torque pos" reduce="netforce"/>
    <contact name="ball" geom1="floor" geom2="ball" data="found force pos" reduce="netforce"/>
    <contact name="touch" geom1="ball" data="found"/>
    <contact name="some" geom1="box" data="found dist" reduce="mindist" num="2"/>
  </sensor>
</mujoco>
"""


@pytest.fixture(scope="module")
def sensed():
    """A model, and a function of its state to the numbers of its sensors, name -> `[D]`."""
    model = mujoco.MjModel.from_xml_string(SCENE)
    engine = MjxEngine(EngineSpec(model, 2, frozenset({"sensordata"}), impl="jax"))
    prepare = jax.jit(engine.prepare)

    def measure(data):
        qpos, qvel = (np.stack([x, x]).astype(np.float32) for x in (data.qpos, data.qvel))
        prepared = prepare(jnp.asarray(qpos), jnp.asarray(qvel), jnp.zeros(2, jnp.int32))
        return by_name(model, engine.view(prepared).sensordata[1])

    return model, measure


def by_name(model, sensordata):
    names = [model.sensor(i).name for i in range(model.nsensor)]
    parts = np.split(np.asarray(sensordata), model.sensor_adr[1:])
    return dict(zip(names, parts, strict=True))


@pytest.mark.parametrize("ball", ["in the air", "on the floor"])
def test_they_are_mujocos_own_whatever_the_sensor_names(sensed, ball):
    model, measure = sensed
    data = mujoco.MjData(model)
    data.qvel[:6] = [0.5, -0.3, -0.2, 0.2, 0.1, 1.0]
    data.qvel[6:] = [0.2, 0.1, -0.1, 1.0, 2.0, 3.0]
    data.qpos[9] = 0.3 if ball == "in the air" else 0.099
    mujoco.mj_forward(model, data)
    got, wanted = measure(data), by_name(model, data.sensordata)
    assert wanted["box"][0] == 4
    assert wanted["ball"].any() == (ball == "on the floor")
    for name in wanted:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-3, atol=2e-3, err_msg=name)


def test_the_floor_carries_a_box_at_rest(sensed):
    model, measure = sensed
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1000)
    np.testing.assert_allclose(measure(data)["box"][1:4], [0, 0, -98.1], atol=0.1)


def test_a_model_has_its_net_forces_again_afterwards():
    model = mujoco.MjModel.from_xml_string(SCENE)
    assert net_force_sensors(model) == [0, 1, 2, 3, 4]
    with without_net_forces(model):
        assert net_force_sensors(model) == []
    assert net_force_sensors(model) == [0, 1, 2, 3, 4]
