import mujoco
import numpy as np
import pytest

from ksim_cli.config.schema import RenderKeys
from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.view.scene import GRID, Camera, drawable, ground
from tests.helpers import SMALL

FLOATS = """
<mujoco>
  <worldbody>
    {scene}
    <body name="base" pos="0 0 {height}">
      <freejoint/>
      <geom type="box" size="{size} {size} {size}"/>
      <body pos="{size} 0 0"><joint name="leg" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 -{size}" size="0.01"/></body>
    </body>
  </worldbody>
  <actuator><motor joint="leg"/></actuator>
</mujoco>
"""
FLOOR = '<geom name="floor" type="plane" size="0 0 1"/>'
ARM = """
<mujoco>
  <worldbody>
    <body><geom type="cylinder" size=".1 .05"/>
      <body pos="0 0 .05"><joint name="turn" axis="0 0 1"/>
        <geom type="capsule" fromto="0 0 0 0.5 0 .4" size=".04"/></body></body>
  </worldbody>
  <actuator><motor joint="turn"/></actuator>
</mujoco>
"""
COMPLETE = """
<mujoco>
  <asset>
    <texture type="skybox" builtin="gradient" width="8" height="8"/>
    <material name="own"/>
  </asset>
  <worldbody><light/><geom type="plane" size="1 1 1" material="own"/><body><geom size=".1"/></body></worldbody>
</mujoco>
"""


def floating(size=0.1, scene=FLOOR):
    return FLOATS.format(size=size, height=3 * size, scene=scene)


def both(xml):
    """A spec and its model."""
    spec = mujoco.MjSpec.from_string(xml)
    return spec, spec.compile()


def after(model, steps=50):
    data = mujoco.MjData(model)
    data.qvel[:] = 0.1
    for _ in range(steps):
        mujoco.mj_step(model, data)
    return np.concatenate([data.qpos, data.qvel, data.xpos.ravel(), data.geom_xpos.ravel()])


@pytest.mark.parametrize("xml", [SMALL, floating(), floating(scene=""), ARM])
def test_what_is_missing_is_added_and_nothing_of_the_physics_changes(xml):
    spec, model = both(xml)
    model.opt.timestep, model.dof_damping[:] = 0.003, 0.7  # written after it was compiled
    before = spec.to_xml()
    drawn = drawable(spec, model)
    assert drawn.nlight == 1 and (drawn.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).sum() == 1
    assert mujoco.mj_name2id(drawn, mujoco.mjtObj.mjOBJ_MATERIAL, GRID) >= 0
    np.testing.assert_array_equal(after(model), after(drawn))
    for kind, count in (("body", model.nbody), ("geom", model.ngeom), ("joint", model.njnt)):
        names = [[getattr(each, kind)(i).name for i in range(count)] for each in (model, drawn)]
        assert names[0] == names[1]
    assert spec.to_xml() == before and model.nlight == 0 and model.ntex == 0


def test_a_model_that_lacks_nothing_is_left_alone():
    spec, model = both(COMPLETE)
    assert drawable(spec, model) is model


@pytest.mark.parametrize(
    ("own", "lights", "colour"),
    [
        ("<light/><light/>" + FLOOR, 2, [0.5, 0.5, 0.5, 1]),
        ('<geom type="plane" size="1 1 1" rgba="1 0 0 1"/>', 1, [1, 0, 0, 1]),
    ],
)
def test_only_what_is_missing_is_added(own, lights, colour):
    spec, model = both(floating(scene=own))
    drawn = drawable(spec, model)
    assert drawn.nlight == lights
    np.testing.assert_allclose(drawn.geom_rgba[0], colour)
    bright = drawn.vis.headlight.ambient[0] > model.vis.headlight.ambient[0]
    assert bright == (lights == 1), "who has lights has chosen how bright it is"


def test_a_headlight_that_was_chosen_stays():
    visual = '<mujoco><visual><headlight ambient="0.2 0.2 0.2"/></visual>'
    spec, model = both(floating().replace("<mujoco>", visual))
    assert drawable(spec, model).vis.headlight.ambient[0] == pytest.approx(0.2)


def test_a_floor_with_a_material_keeps_it():
    spec, model = both(COMPLETE.replace("<light/>", ""))
    assert drawable(spec, model).geom_matid[0] == model.geom_matid[0] >= 0


def test_a_compiled_model_is_brightened_and_left_as_it_is():
    _, model = both(floating())
    drawn = drawable(CompiledSpec(model), model)
    assert drawn is not model and drawn.nlight == 0
    assert drawn.vis.headlight.diffuse[0] > model.vis.headlight.diffuse[0] == pytest.approx(0.4)
    np.testing.assert_array_equal(after(model), after(drawn))


def test_a_ground_is_drawn_below_what_has_no_floor():
    assert ground(both(floating())[1]) is None
    assert ground(both(ARM)[1]) == pytest.approx(-np.hypot(0.1, 0.05), abs=0.01)
    hfield = floating(scene='<geom type="hfield" hfield="h"/>').replace(
        "<worldbody>",
        '<asset><hfield name="h" nrow="2" ncol="2" size="1 1 1 1"/></asset><worldbody>',
        1,
    )
    assert ground(both(hfield)[1]) is None


def camera(xml, typed=(), say=lambda text: None, **keys):
    model = both(xml)[1]
    return model, Camera(model, RenderKeys(**keys), typed, say)


@pytest.mark.parametrize("size", [0.02, 0.1, 3.0])
def test_the_camera_is_as_far_away_as_fits_the_robot(size):
    model, near = camera(floating(size))
    visible = near.view.distance * np.sin(np.radians(model.vis.global_.fovy / 2))
    assert 1.5 * size < visible < 4 * size


def test_the_camera_follows_what_floats_and_not_what_stands():
    model, moving = camera(floating())
    data = mujoco.MjData(model)
    data.qpos[:3] = (5, 6, 7)
    mujoco.mj_forward(model, data)
    moving.follow(data)
    np.testing.assert_allclose(moving.view.lookat, data.subtree_com[1])
    assert moving.view.lookat[0] > 4
    model, still = camera(ARM)
    data, before = mujoco.MjData(model), still.view.lookat.copy()
    data.qpos[:] = 2.0
    mujoco.mj_forward(model, data)
    still.follow(data)
    np.testing.assert_array_equal(still.view.lookat, before)


def test_a_slide_is_seen_from_end_to_end():
    with open("tasks/cartpole/cartpole.xml", encoding="utf-8") as file:
        model, seen = camera(file.read())
    wide = seen.view.distance * np.tan(np.radians(model.vis.global_.fovy / 2))
    assert wide > 1.8


def test_the_keys_come_before_what_fits():
    model, chosen = camera(
        floating(),
        render_distance=9.0,
        render_azimuth=12.0,
        render_elevation=-34.0,
        render_lookat=[1.0, 2.0, 3.0],
    )
    data = mujoco.MjData(model)
    chosen.follow(data)
    assert (chosen.view.distance, chosen.view.azimuth, chosen.view.elevation) == (9.0, 12.0, -34.0)
    assert chosen.view.lookat.tolist() == [1.0, 2.0, 3.0]
    _, tracking = camera(floating(), render_track_body_id=2, render_lookat=[0.0, 0.0, 0.5])
    data.subtree_com[2] = (1, 1, 1)
    tracking.follow(data)
    assert tracking.view.lookat.tolist() == [1.0, 1.0, 1.5]


def test_a_camera_that_a_task_names_and_the_model_lacks_is_said_and_replaced():
    said = []
    model, free = camera(floating(), ("render_fps",), said.append, render_camera_name="side")
    assert free.view.type == mujoco.mjtCamera.mjCAMERA_FREE and free.view.distance > 0
    assert len(said) == 1 and "render_camera_name=side" in said[0]
    with pytest.raises(UserError, match="no such camera"):
        Camera(model, RenderKeys(render_camera_name="side"), ("render_camera_name",))
    own = floating(scene='<camera name="side" pos="0 -1 1"/>')
    _, fixed = camera(own, render_camera_name="side", render_distance=3.0)
    assert fixed.view.type == mujoco.mjtCamera.mjCAMERA_FIXED and fixed.view.fixedcamid == 0


def test_several_possible_bases_are_all_looked_at():
    two = SMALL.replace("<actuator>", "<!--").replace("</actuator>", "-->")
    _, seen = camera(two)
    assert seen.view.distance > 0
