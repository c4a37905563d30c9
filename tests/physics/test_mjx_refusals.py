"""What MJX refuses or leaves out, each in a small model, and how a user is told."""

import itertools

import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_backends import make_backend
from ksim_cli.physics.mjx_import import mjx, mjx_warp
from ksim_cli.physics.mjx_refusals import in_words_of_mjcf, refuse_unsupported, unsupported
from tests.helpers import SMALL

HINGE = '<joint name="hinge" range="-1 1" limited="true"/><geom name="arm" size="0.1"/>'
MESH = '<mesh name="m" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/>'
FIELD = '<hfield name="h" nrow="2" ncol="2" size="1 1 1 1"/>'
WHEEL = '<geom name="wheel" type="cylinder" size="0.1 0.1"/>'
STEP = '<geom name="step" type="box" size="1 1 1" contype="{}"/>'


def mjcf(body=HINGE, world="", option="", assets="", more=""):
    return f"""
    <mujoco>{option}
      <asset>{assets}</asset>
      <worldbody>{world}<body name="body">{body}</body></worldbody>
      {more}
    </mujoco>"""


def motor(attributes, element="general"):
    return mjcf(more=f'<actuator><{element} name="pull" joint="hinge" {attributes}/></actuator>')


def sensor(element):
    site = '<site name="spot"/>'
    return mjcf(world=f'{site}<geom name="post" size="1"/>', more=f"<sensor>{element}</sensor>")


FREE = "<freejoint/>"
NOT_JAX = {
    "cylinder and box": (
        mjcf(FREE + WHEEL, STEP.format(1)),
        "collisions of cylinder with box: geom 'wheel' with 'step'. Replace one of the two"
        " (a capsule or a sphere collides with all but sdf), or keep them apart: contype and"
        " conaffinity, or <contact><exclude/></contact>",
    ),
    "unnamed geoms": (
        mjcf(
            FREE + '<geom size="1"/><geom type="ellipsoid" size="1 1 1"/>',
            5 * '<geom type="box" size="1 1 1"/>',
        ),
        "ellipsoid with box: geom 'body/geom 1' with 'world/geom 0', 'body/geom 1' with"
        " 'world/geom 1', 'body/geom 1' with 'world/geom 2', 'body/geom 1' with 'world/geom 3'"
        " and 1 more",
    ),
    "a named pair": (
        mjcf(
            FREE + '<geom name="wheel" type="cylinder" size="1 1" contype="0" conaffinity="0"/>',
            STEP.format(0),
            more='<contact><pair geom1="wheel" geom2="step"/></contact>',
        ),
        "collisions of cylinder with box: geom 'wheel' with 'step'",
    ),
    "hfield and cylinder": (
        mjcf(FREE + WHEEL, '<geom name="hill" type="hfield" hfield="h"/>', assets=FIELD),
        "collisions of hfield with cylinder: geom 'hill' with 'wheel'",
    ),
    "margin of a mesh": (
        mjcf(
            FREE + '<geom name="hull" type="mesh" mesh="m" margin="0.01"/>',
            '<geom name="floor" type="plane" size="1 1 1"/>',
            assets=MESH,
        ),
        "margin of a mesh or hfield: geom 'floor' with 'hull'. Set margin to 0",
    ),
    "condim 1 in elliptic cones": (
        mjcf(
            FREE + '<geom name="ball" size="1" condim="1"/>',
            '<geom name="floor" type="plane" size="1 1 1" condim="1"/>',
            option='<option cone="elliptic"/>',
        ),
        "condim=\"1\" beside <option cone=\"elliptic\"/>: geom 'floor', 'ball'",
    ),
    "integrator": (
        mjcf(option='<option integrator="implicit"/>'),
        '<option integrator="implicit"/>. Type integrator=implicitfast',
    ),
    "integrator that is only traced": (
        mjcf(option='<option integrator="discrete"/>'),
        '<option integrator="discrete"/>. Type integrator=implicitfast',
    ),
    "solver": (mjcf(option='<option solver="PGS"/>'), '<option solver="pgs"/>. Type solver=newton'),
    "flag": (
        mjcf(option='<option><flag energy="enable"/></option>'),
        '<flag energy="enable"/>. Leave it out',
    ),
    "drag": (
        mjcf(option='<option integrator="implicitfast" density="1.2"/>'),
        "density, viscosity or wind beside integrator implicitfast. Type integrator=euler",
    ),
    "drag of ellipsoids": (
        mjcf(
            '<freejoint/><geom name="fin" size="1 1 1" type="ellipsoid" fluidshape="ellipsoid"/>',
            option='<option density="1.2"/>',
        ),
        "fluidshape=\"ellipsoid\" of geom 'fin'",
    ),
    "transmission": (
        mjcf(more='<actuator><adhesion name="suction" body="body" ctrlrange="0 1"/></actuator>'),
        "transmission body of actuator 'suction'",
    ),
    "dyntype": (motor('dyntype="user" actdim="1"'), "dyntype user of actuator 'pull'"),
    "gaintype": (motor('gaintype="user"'), "gaintype user of actuator 'pull'"),
    "biastype": (motor('biastype="user"'), "biastype user of actuator 'pull'"),
    "delay": (motor('delay="0.01" nsample="5"', "motor"), "delay of actuator 'pull'"),
    "armature of a motor": (
        motor('armature="0.1"', "motor"),
        "armature of actuator 'pull'. Give it, times gear squared, to the joint",
    ),
    "damping of a motor": (motor('damping="1"', "motor"), "damping of actuator 'pull'"),
    "damping in powers": (
        mjcf('<joint name="hinge" damping="1 2 3"/><geom size="1"/>'),
        "stiffness or damping of several numbers of joint 'hinge'. Give one",
    ),
    "sensor": (
        sensor('<jointlimitfrc name="stop" joint="hinge"/><jointlimitfrc joint="hinge"/>'),
        "type jointlimitfrc of sensor 'stop', number 1",
    ),
    "sensor of another word": (
        sensor('<distance name="gap" geom1="arm" geom2="post" cutoff="1"/>'),
        "type distance of sensor 'gap'",
    ),
    "sensor that is only traced": (
        mjcf(assets=MESH, more='<sensor><tactile name="skin" geom="arm" mesh="m"/></sensor>'),
        "type tactile of sensor 'skin'",
    ),
    "contact sensor of a body": (
        sensor('<contact name="hit" body1="body"/>'),
        "a body in contact sensor 'hit'. Name geoms instead",
    ),
    "contact sensor of a site": (
        sensor('<contact name="hit" site="spot"/>'),
        "a site in contact sensor 'hit'",
    ),
    "contact sensor of a subtree": (
        sensor('<contact name="hit" subtree1="body"/>'),
        "a subtree in contact sensor 'hit'",
    ),
    "flex": (
        mjcf(
            more="",
            world='<flexcomp name="cloth" type="grid" count="3 3 1" spacing=".1 .1 .1" dim="2" radius=".01"/>',
        ),
        "flex 'cloth'",
    ),
}
NOT_WARP = {
    "midphase": (
        mjcf(option='<option><flag midphase="disable"/></option>'),
        '<flag midphase="disable"/>. Leave it out',
    ),
    "velocities of contacts": (
        sensor('<contact name="hit" geom1="arm" data="linvel"/>'),
        "linvel and angvel of contact sensor 'hit'",
    ),
    "solver": NOT_JAX["solver"],
    "armature of a motor": NOT_JAX["armature of a motor"],
}


@pytest.mark.parametrize("case", NOT_JAX)
def test_jax_refuses_by_the_words_of_the_file(case):
    text, words = NOT_JAX[case]
    model = mujoco.MjModel.from_xml_string(text)
    with pytest.raises(UserError) as refusal:
        make_backend("jax", EngineSpec(model, 1))
    message = str(refusal.value)
    assert words in message and "Use engine=mujoco" in message
    assert len([*unsupported(model, "jax")]) == 1
    assert "mj" not in message.replace("mjx", "") and "NotImplemented" not in message


@pytest.mark.parametrize("case", NOT_WARP)
def test_warp_refuses_by_the_words_of_the_file(case):
    pytest.importorskip("warp")
    text, words = NOT_WARP[case]
    model = mujoco.MjModel.from_xml_string(text)
    with pytest.raises(UserError) as refusal:
        make_backend("warp", EngineSpec(model, 1))
    assert words in str(refusal.value)


def test_every_reason_is_given_at_once():
    text = mjcf(FREE + WHEEL, STEP.format(1), option='<option solver="PGS"/>')
    with pytest.raises(UserError) as refusal:
        refuse_unsupported(mujoco.MjModel.from_xml_string(text), "jax")
    assert len(str(refusal.value).splitlines()) == 4


@pytest.mark.skipif(not mjx_warp.WARP_INSTALLED, reason="MuJoCo Warp is not installed")
def test_warp_is_offered_where_it_has_what_jax_lacks():
    for case, offered in (("cylinder and box", True), ("solver", False)):
        with pytest.raises(UserError) as refusal:
            refuse_unsupported(mujoco.MjModel.from_xml_string(NOT_JAX[case][0]), "jax")
        assert ("engine.impl=warp" in str(refusal.value)) == offered


def test_what_is_fine_is_silent():
    model = mujoco.MjModel.from_xml_string(SMALL)
    assert not [*unsupported(model, "jax")]


def test_what_mjx_may_say_beyond_that_has_no_enumerations_in_it():
    said = "(mjtGeom.mjGEOM_BOX, mjtGeom.mjGEOM_SDF) collisions not implemented."
    assert in_words_of_mjcf(said) == "(box, sdf) collisions not implemented"
    assert in_words_of_mjcf("[<mjtSensor.mjSENS_USER: 48>] not supported") == "[user] not supported"


APART = {
    "a mask": mjcf(FREE + WHEEL, STEP.format(2)),
    "an exclusion": mjcf(
        WHEEL,
        f'<body name="other"><freejoint/>{STEP.format(1)}</body>',
        more='<contact><exclude body1="body" body2="other"/></contact>',
    ),
    "a weld": mjcf(WHEEL, STEP.format(1)),
    "parent and child": mjcf(f"{FREE}{WHEEL}<body>{HINGE.replace('arm', 'far')}</body>").replace(
        '<geom name="far" size="0.1"/>', STEP.format(1)
    ),
}


@pytest.mark.parametrize("how", APART)
def test_shapes_that_are_kept_apart_need_not_collide(how):
    model = mujoco.MjModel.from_xml_string(
        APART[how].replace('contype="2"', 'contype="2" conaffinity="2"')
    )
    assert not [*unsupported(model, "jax")]
    mjx.put_model(model, impl="jax")


SHAPES = {
    "plane": 'type="plane" size="1 1 1"',
    "hfield": 'type="hfield" hfield="h"',
    "sphere": 'type="sphere" size="1"',
    "capsule": 'type="capsule" size="1 1"',
    "ellipsoid": 'type="ellipsoid" size="1 1 1"',
    "cylinder": 'type="cylinder" size="1 1"',
    "box": 'type="box" size="1 1 1"',
    "mesh": 'type="mesh" mesh="m"',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_mjx_agrees_on_what_collides(shape):
    for other in itertools.islice(SHAPES, list(SHAPES).index(shape), None):
        if other in ("plane", "hfield"):
            continue  # only what cannot move is one of these
        still, moving = (f"<geom {SHAPES[each]}/>" for each in (shape, other))
        model = mujoco.MjModel.from_xml_string(mjcf(FREE + moving, still, assets=MESH + FIELD))
        try:
            mjx.put_model(model, impl="jax")
            refused = False
        except NotImplementedError:
            refused = True
        assert bool([*unsupported(model, "jax")]) == refused, (shape, other)
