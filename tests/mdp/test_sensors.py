import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.sensors import (
    FORCES,
    FOUND,
    TORQUES,
    add_contact_sensors,
    add_frame_sensor,
    bind_contacts,
    bodies_or_geoms,
    sensor_address,
)
from ksim_cli.physics.compiled_spec import CompiledSpec
from tests.legged import LEGGED, MASS, posed, stand, view_of

BODIES = ("world", "trunk", "left_foot", "right_foot")
RIGHT = ["right_foot"]
CONTACT = int(mujoco.mjtSensor.mjSENS_CONTACT)
GEOMS = ("floor", "left_toe", "right_toe", "trunk")


def test_names_are_bodies_first_and_patterns_keep_to_one_kind():
    assert bodies_or_geoms(["trunk"], BODIES, GEOMS) == [("body", "trunk")]
    assert bodies_or_geoms(["*_toe"], BODIES, GEOMS) == [
        ("geom", "left_toe"),
        ("geom", "right_toe"),
    ]
    assert bodies_or_geoms(["left_*"], BODIES, GEOMS) == [("body", "left_foot")]
    with pytest.raises(UserError, match=r"no body .or geom. 'world'"):
        bodies_or_geoms(["world"], BODIES, GEOMS)


def test_a_sensor_is_added_once():
    spec = mujoco.MjSpec.from_string(LEGGED)
    for _ in range(2):
        add_frame_sensor(spec, "framelinvel", "body", "left_foot")
        add_contact_sensors(spec, ["left_foot", "left_toe"], FOUND)
    # Toe and heel once each, whoever asks; what tells forces tells of touch as well.
    assert len(spec.sensors) == 1 + 1 + 2
    add_contact_sensors(spec, ["left_toe"], FORCES)
    assert len(spec.sensors) == 5
    add_contact_sensors(spec, ["left_toe"], TORQUES)
    assert len(spec.sensors) == 6
    model = spec.compile()
    assert sensor_address(model, "framelinvel", "body", "left_foot") == 3
    contacts = bind_contacts(model, ["left_foot", "left_toe"], FOUND)
    assert contacts.count == 2 and set(contacts.feet) == {0, 1}


def test_geoms_without_a_name_are_given_one():
    spec = mujoco.MjSpec.from_string(LEGGED.replace(' name="left_toe"', ""))
    add_contact_sensors(spec, ["left_foot"], FOUND)
    model = spec.compile()
    assert bind_contacts(model, ["left_foot"], FOUND).count == 1


def test_a_geom_of_an_explicit_pair_collides():
    paired = LEGGED.replace(
        "<sensor>",
        '<contact><pair geom1="shin" geom2="floor"/></contact><sensor>',
    ).replace(
        '<geom type="capsule" fromto="0 0 0 0 0 -0.24" size="0.02" mass="0.3"/>',
        '<geom name="shin" type="capsule" fromto="0 0 0 0 0 -0.24" size="0.02" mass="0.3"/>',
        1,
    )
    spec = mujoco.MjSpec.from_string(paired)
    add_contact_sensors(spec, ["left_shank"], FOUND)
    assert bind_contacts(spec.compile(), ["left_shank"], FOUND).count == 1
    with pytest.raises(UserError, match="no geom of 'left_shank' collides with anything"):
        add_contact_sensors(mujoco.MjSpec.from_string(LEGGED), ["left_shank"], FOUND)


def test_only_sensors_of_one_geom_with_anything_are_taken():
    others = """<contact name="pair" geom1="left_toe" geom2="right_toe" data="found force"
                         reduce="netforce"/>
                <contact name="body" body1="left_foot" data="found force" reduce="netforce"/>"""
    spec = mujoco.MjSpec.from_string(LEGGED.replace("<sensor>", f"<sensor>{others}"))
    add_contact_sensors(spec, ["left_toe"], FORCES)
    model = spec.compile()
    assert len(spec.sensors) == 1 + 2 + 1
    contacts = bind_contacts(model, ["left_toe"], FORCES)
    assert contacts.addresses[0][0] == int(model.sensor_adr[3])


def test_things_named_twice_count_once():
    assert bodies_or_geoms(["trunk", "tr*"], BODIES, GEOMS) == [("body", "trunk")]


def test_the_order_of_sensors_does_not_hang_on_hashes():
    # What is saved by one process is read by another: `sensordata` must have one layout.
    spec = mujoco.MjSpec.from_string(LEGGED)
    add_contact_sensors(spec, ["right_foot", "trunk", "left_foot"], FOUND)
    names = [sensor.objname for sensor in spec.sensors][1:]
    assert names == ["right_toe", "right_heel", "trunk", "left_toe", "left_heel"]


def test_the_force_of_some_contacts_is_not_the_net_force():
    some = '<contact name="own" geom1="left_toe" data="found force" reduce="{}" num="{}"/>'
    for reduction, num, added in (("mindist", 8, 1), ("none", 3, 1), ("netforce", 1, 0)):
        sensors = f"<sensor>{some.format(reduction, num)}"
        spec = mujoco.MjSpec.from_string(LEGGED.replace("<sensor>", sensors))
        add_contact_sensors(spec, ["left_toe"], FORCES)
        assert len(spec.sensors) == 2 + added
        # Whether there is contact at all, each of them tells.
        add_contact_sensors(spec, ["left_toe"], FOUND)
        assert len(spec.sensors) == 2 + added


def test_a_compiled_model_has_the_sensors_or_is_told_which():
    given = '<contact name="own" geom1="left_toe" data="{}" reduce="{}"/>'
    for data, reduction, wanted, suits in (
        ("found force torque pos", "netforce", TORQUES, True),
        ("found force torque pos normal tangent", "netforce", TORQUES, True),
        ("found force", "netforce", FORCES, True),
        ("found", "mindist", FOUND, True),
        ("found force torque pos", "mindist", TORQUES, False),
        ("found force", "netforce", TORQUES, False),
    ):
        own = f"<sensor>{given.format(data, reduction)}"
        model = mujoco.MjModel.from_xml_string(LEGGED.replace("<sensor>", own))
        if suits:
            add_contact_sensors(CompiledSpec(model), ["left_toe"], wanted)
            assert bind_contacts(model, ["left_toe"], wanted).addresses[0][0] == 0
            continue
        message = (
            'or have <contact geom1="left_toe" data="found force torque pos" reduce="netforce"/>'
        )
        with pytest.raises(UserError, match=f"^needs a contact sensor of 'left_toe'.*{message}"):
            add_contact_sensors(CompiledSpec(model), ["left_toe"], wanted)


WAVES = """<asset><hfield name="h" nrow="30" ncol="30" size="1.5 1.5 0.2 0.1"/></asset>"""
FLAT = '<geom name="ground" type="plane" size="2 2 0.1"/>'
FIELD = '<geom name="ground" type="hfield" hfield="h"/>'
STEPS = """<geom name="left" type="box" size="0.1 0.5 0.1" pos="-0.25 0 0"/>
           <geom name="right" type="box" size="0.1 0.5 0.1" pos="0.25 0 0"/>"""
SHAPES = {"box": "0.3 0.2 0.1", "sphere": "0.1", "capsule": "0.1 0.2"}
LYING = {"box": "1 0 0 0", "sphere": "1 0 0 0", "capsule": "1 0 1 0"}


def resting(ground, shape, heights=0.0, seconds=3.0):
    """10 kg that lie on the ground, and what its net contact sensor tells."""
    spec = mujoco.MjSpec.from_string(f"""
        <mujoco><option timestep="0.002" integrator="implicitfast" tolerance="1e-10"/>{WAVES}
        <worldbody>{ground}<body name="it" pos="0.03 0.02 0.22" quat="{LYING[shape]}"><freejoint/>
          <geom name="it" type="{shape}" size="{SHAPES[shape]}" mass="10" friction="1 0.1 0.1"
                condim="6"/></body></worldbody></mujoco>""")
    add_contact_sensors(spec, ["it"], TORQUES)
    model = spec.compile()
    x, y = np.meshgrid(np.linspace(0, 9, 30), np.linspace(0, 7, 30))
    model.hfield_data[:] = (heights * (1 + np.sin(x) * np.cos(y)) / 2).ravel()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, round(seconds / 0.002))
    return model, data, bind_contacts(model, ["it"], TORQUES)


def summed(model, data, about):
    """Force and torque about a point on the geom `it`, of all of MuJoCo's contacts."""
    total, count = np.zeros(6), 0
    for i, contact in enumerate(data.contact):
        if model.geom("it").id not in contact.geom:
            continue
        local = np.zeros(6)
        mujoco.mj_contactForce(model, data, i, local)
        sign = 1 if contact.geom[1] == model.geom("it").id else -1  # it tells what the second feels
        force, torque = sign * (local.reshape(2, 3) @ contact.frame.reshape(3, 3))
        total += [*force, *(torque + np.cross(contact.pos - about, force))]
        count += 1
    return total[:3], total[3:], count


@pytest.mark.parametrize(
    ("ground", "shape", "contacts"),
    [
        (FLAT, "box", 4),
        (FIELD, "box", 9),
        (STEPS, "box", 5),
        (FLAT, "sphere", 1),
        (FIELD, "sphere", 1),
        (FLAT, "capsule", 2),
        (FIELD, "capsule", 5),
    ],
)
def test_the_ground_carries_what_lies_on_it(ground, shape, contacts):
    model, data, sensed = resting(ground, shape)
    assert summed(model, data, np.zeros(3))[2] >= contacts
    force = np.asarray(sensed.force(view_of(data)))[0]
    np.testing.assert_allclose(force, [0, 0, 98.1], atol=0.1)
    assert sensed.touching(view_of(data)).tolist() == [True]


@pytest.mark.parametrize(("ground", "seconds"), [(FIELD, 0.3), (STEPS, 0.15), (FLAT, 0.15)])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_forces_and_torques_are_those_of_all_contacts(ground, shape, seconds):
    """Not at rest: everything slides, rolls and bumps."""
    model, data, sensed = resting(ground, shape, heights=1.0, seconds=0)
    data.qvel[:] = [0.5, -0.3, -1.0, 1.0, 2.0, -1.0]
    seen = 0
    for _ in range(round(seconds / 0.002)):
        mujoco.mj_step(model, data)
        about = data.body("it").xpos + np.array([0.1, 0.2, -0.3])
        force, torque, count = summed(model, data, about)
        got = sensed.force(view_of(data))[0], sensed.torque(view_of(data), about[None])[0]
        scale = max(1.0, np.abs([*force, *torque]).max())
        np.testing.assert_allclose(
            np.array(got) / scale, np.array([force, torque]) / scale, atol=2e-6
        )
        assert sensed.touching(view_of(data)).tolist() == [count > 0]
        seen = max(seen, count)
    assert seen


def test_contacts_with_named_things_only():
    spec = mujoco.MjSpec.from_string(LEGGED)
    sides = (["left_foot", "right_toe"], FORCES, ["floor"])
    for _ in range(2):
        add_contact_sensors(spec, *sides)
    add_contact_sensors(spec, ["left_toe"], FORCES)
    add_contact_sensors(spec, ["left_foot"], FOUND, RIGHT)
    model = spec.compile()
    assert (model.sensor_type == CONTACT).sum() == 3 + 1 + 4, "two by two geoms of the feet"
    data = stand(model)
    floor, feet = bind_contacts(model, *sides), bind_contacts(model, ["left_foot"], FOUND, RIGHT)
    anything = bind_contacts(model, ["left_toe"], FORCES)
    view = view_of(data)
    assert floor.touching(view).tolist() == [True, True] and feet.touching(view).tolist() == [False]
    force = np.asarray(floor.force(view))
    assert force[0, 2] > anything.force(view)[0, 2] > 0.1 * MASS * 9.81, "toe and heel, and the toe"
    with pytest.raises(UserError, match="'left_toe' and left_foot are one body"):
        add_contact_sensors(spec, ["left_toe"], FOUND, ["left_foot"])


def test_legs_that_cross_touch_each_other():
    crossing = LEGGED.replace('contype="0" conaffinity="1"', 'contype="1" conaffinity="1"')
    crossing = crossing.replace('"right_thigh" pos="0 -0.1 0"', '"right_thigh" pos="0 0.065 0"')
    spec = mujoco.MjSpec.from_string(crossing)
    sides = (["left_foot", "trunk"], FORCES, ["right_foot"])
    add_contact_sensors(spec, *sides)
    model = spec.compile()
    contacts, view = bind_contacts(model, *sides), view_of(posed(model))
    assert contacts.touching(view).tolist() == [True, False]
    force = np.asarray(contacts.force(view))
    # The right feet press the left ones to the left, y.
    assert force[0, 1] > 1.0 and not force[1].any()
