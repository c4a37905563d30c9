import mujoco
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
from tests.legged import LEGGED

BODIES = ("world", "trunk", "left_foot", "right_foot")
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
    others = """<contact name="pair" geom1="left_toe" geom2="right_toe"
                         data="found force normal tangent" reduce="mindist"/>
                <contact name="body" body1="left_foot" data="found force normal tangent"/>"""
    spec = mujoco.MjSpec.from_string(LEGGED.replace("<sensor>", f"<sensor>{others}"))
    add_contact_sensors(spec, ["left_toe"], FORCES)
    model = spec.compile()
    assert len(spec.sensors) == 1 + 2 + 1
    contacts = bind_contacts(model, ["left_toe"], FORCES)
    assert contacts.slots[0] == int(model.sensor_adr[3])


def test_things_named_twice_count_once():
    assert bodies_or_geoms(["trunk", "tr*"], BODIES, GEOMS) == [("body", "trunk")]


def test_the_order_of_sensors_does_not_hang_on_hashes():
    # What is saved by one process is read by another: `sensordata` must have one layout.
    spec = mujoco.MjSpec.from_string(LEGGED)
    add_contact_sensors(spec, ["right_foot", "trunk", "left_foot"], FOUND)
    names = [sensor.objname for sensor in spec.sensors][1:]
    assert names == ["right_toe", "right_heel", "trunk", "left_toe", "left_heel"]
