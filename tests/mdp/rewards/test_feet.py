"""Rewards of feet, by hand and on a robot that really stands."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import LEGGED, MASS, bound, posed, stand, step_of

register_terms()
FEET = {"feet": ["left_foot", "right_foot"]}
DT = 0.02


def term_of(**section):
    return bound(REWARDS.build({**FEET, **section}, "rewards.x"))


def at(model, height, qvel=None, commands=None):
    """The robot with its soles that high above the ground (negative: pressed in)."""
    data = posed(model, [0, 0, 0.5 + height, 1, 0, 0, 0, 0, 0, 0, 0], qvel)
    return step_of(data, commands)


def test_air_time_is_paid_at_touch_down():
    term, model = term_of(type="feet_air_time", threshold=0.05, maximum=0.15)
    carry, values = term.init(None), []
    for height in [-0.001, *[0.02] * 5, -0.001, -0.001, *[0.02] * 20, -0.001]:
        value, carry = term(at(model, height), carry)
        values.append(float(value))
    # Both feet: five steps of 0.02 s in the air, then twenty, of which 0.15 s count.
    paid = np.zeros(len(values))
    paid[6], paid[-1] = 2 * (0.1 - 0.05), 2 * (0.15 - 0.05)
    np.testing.assert_allclose(values, paid, atol=1e-6)


def test_air_time_counts_only_when_told_to_move():
    term, model = term_of(type="feet_air_time", threshold=0.0, commands=["speed"])
    for told, wanted in (([0.0, 0.0], 0.0), ([0.5, 0.0], 2 * DT)):
        _, carry = term(at(model, 0.02, commands={"speed": told}), term.init(None))
        value, _ = term(at(model, -0.001, commands={"speed": told}), carry)
        np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_a_foot_in_the_air_does_not_slip():
    term, model = term_of(type="feet_slip")
    # The base moves at (0.3, 0.4) m/s, and the feet with it: 0.25 each; falling does not count.
    velocity = [0.3, 0.4, -1.0, 0, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(term(at(model, -0.001, velocity), ())[0], 0.5, rtol=1e-4)
    assert term(at(model, 0.02, velocity), ())[0] == 0.0
    # Turning about the hip: the left foot is 0.48 m away and moves at 0.48 m/s.
    turning = [0, 0, 0, 0, 0, 0, 1.0, 0, 0, 0]
    np.testing.assert_allclose(term(at(model, -0.001, turning), ())[0], 0.48**2, rtol=1e-4)


def test_clearance_by_hand():
    term, model = term_of(type="feet_clearance", height=0.1)
    # Feet frames 0.04 high (0.5 + 0.02 - 0.48): (0.04 - 0.1)^2 * 0.5 m/s for each of two.
    velocity = [0.3, 0.4, 0, 0, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(term(at(model, 0.02, velocity), ())[0], 2 * 0.06**2 * 0.5, rtol=1e-3)


def test_gait_heights_by_hand():
    term, model = term_of(type="sinusoidal_gait", ground=0.02, sigma=0.1)
    # Both feet 0.05 above standing; told 0.05 and 0: mean square 0.00125; exp(-0.125).
    told = {"sinusoidal_gait": [0.05, 0.0]}
    np.testing.assert_allclose(term(at(model, 0.05, None, told), ())[0], np.exp(-0.125), rtol=1e-3)


def test_forces_of_a_standing_robot_carry_its_weight():
    weight = MASS * 9.81
    term, model = term_of(type="force")
    data = stand(model)
    step = step_of(data)
    force = np.asarray(term.contacts.force(step.view))
    assert term.contacts.touching(step.view).tolist() == [True, True]
    np.testing.assert_allclose(force.sum(axis=0), [0, 0, weight], atol=0.02 * weight)
    np.testing.assert_allclose(force[:, 2], weight / 2, rtol=0.05)
    np.testing.assert_allclose(term(step, ())[0], weight, rtol=0.02)
    high, _ = term_of(type="force", threshold=weight / 4)
    np.testing.assert_allclose(high(step, ())[0], weight / 2, rtol=0.05)
    slip, model = term_of(type="feet_slip")
    np.testing.assert_allclose(slip(step_of(stand(model)), ())[0], 0.0, atol=1e-6)


def test_forces_are_those_of_mujocos_contacts():
    # Leaning against a wall as well: contact frames of all kinds.
    wall = """<geom name="wall" type="plane" pos="0.11 0 0" zaxis="-1 0.3 0.2" size="5 5 1"
                    contype="1" conaffinity="0"/>"""
    xml = LEGGED.replace("<worldbody>", "<worldbody>" + wall)
    section = {"type": "force", "feet": ["left_foot", "right_toe"]}
    term, model = bound(REWARDS.build(section, "rewards.x"), xml)
    data = posed(model, [0.011, 0, 0.499, 1, 0, 0, 0, 0, 0, 0, 0], [1, 2, -1, *[0] * 7])
    wanted = np.zeros((2, 3))
    groups = [{"left_toe", "left_heel"}, {"right_toe"}]
    for i in range(data.ncon):
        contact, force = data.contact[i], np.zeros(6)
        mujoco.mj_contactForce(model, data, i, force)
        world = contact.frame.reshape(3, 3).T @ force[:3]  # what the first does to the second
        for geom, sign in ((contact.geom1, -1), (contact.geom2, 1)):
            for foot, geoms in enumerate(groups):
                if model.geom(geom).name in geoms:
                    wanted[foot] += sign * world
    assert (np.abs(wanted).max(axis=1) > 1.0).all()
    got = term.contacts.force(step_of(data).view)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("feet", [["left_toe", "left_heel"], ["left_*"]])
def test_feet_are_bodies_or_geoms(feet):
    # A pattern that fits bodies means bodies: thigh, shank and foot, two of which touch nothing.
    if feet == ["left_*"]:
        with pytest.raises(UserError, match="no geom of 'left_thigh' collides"):
            term_of(type="feet_slip", feet=feet)
        return
    term, model = term_of(type="feet_slip", feet=feet)
    assert len(term.frames.ids) == 2
    step = step_of(stand(model))
    assert term.contacts.touching(step.view).tolist() == [True, True]
    toe = np.asarray(term.frames.position(step.view))[0]
    np.testing.assert_allclose(toe, step.view.geom_xpos[model.geom("left_toe").id], rtol=1e-6)


def test_sensors_of_the_mjcf_are_used_where_they_suffice():
    own = '<contact name="mine" geom1="left_toe" data="found force" reduce="netforce"/>'
    xml = LEGGED.replace("<sensor>", f"<sensor>{own}")
    _, model = bound(REWARDS.build({"type": "force", "feet": ["left_foot"]}, "r"), xml)
    contact = int(mujoco.mjtSensor.mjSENS_CONTACT)
    assert (model.sensor_type == contact).sum() == 2, "the heel's was added, the toe's is there"
    assert jnp.isfinite(step_of(stand(model)).view.sensordata).all()


def test_told_to_stand_nothing_slips_or_clears():
    velocity = [0.3, 0.4, 0, 0, 0, 0, 0, 0, 0, 0]
    for kind, height in (("feet_slip", -0.001), ("feet_clearance", 0.02)):
        term, model = term_of(type=kind, commands=["speed"])
        for told, paid in (([0.0, 0.0], False), ([0.5, 0.0], True)):
            value, _ = term(at(model, height, velocity, {"speed": told}), ())
            assert (value > 0) == paid, kind


def test_clearance_counts_from_the_ground():
    term, model = term_of(type="feet_clearance", height=0.1, ground=0.02)
    # Feet frames 0.02 above where they stand: (0.02 - 0.1)^2 * 0.5 m/s for each of two.
    velocity = [0.3, 0.4, 0, 0, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(term(at(model, 0.02, velocity), ())[0], 2 * 0.08**2 * 0.5, rtol=1e-3)


def test_what_touches_is_counted():
    standing = at(term_of(type="contact")[1], -0.001)
    for section, wanted in (
        ({"feet": ["*_foot", "trunk"]}, 2.0),
        ({"against": ["floor"]}, 2.0),
        ({"feet": ["left_foot"], "against": ["trunk"]}, 0.0),
        ({"threshold": 1e6}, 0.0),
    ):
        term, model = term_of(type="contact", **section)
        assert term(at(model, -0.001), ())[0] == wanted, section
    assert standing.view.sensordata.size > 0


def turned(yaw=0.0, left_knee=0.0):
    return [0, 0, 0.5, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2), 0, left_knee, 0, 0]


def test_feet_look_where_the_base_looks():
    term, model = term_of(type="feet_orientation", sigma=0.5)
    assert term(step_of(posed(model, turned(1.0))), ())[0] == pytest.approx(1.0, abs=1e-6)
    # The left knee, and so its foot, is bent by 0.5 rad: a mean square of 0.125.
    bent = term(step_of(posed(model, turned(1.0, 0.5))), ())[0]
    np.testing.assert_allclose(bent, np.exp(-0.125 / 0.25), rtol=1e-4)
    # A base that leans over feet which it carries with it: 0.5 rad each.
    leaning = [0, 0, 0.5, np.cos(0.25), 0, np.sin(0.25), 0, 0, 0, 0, 0]
    np.testing.assert_allclose(term(step_of(posed(model, leaning)), ())[0], np.exp(-1), rtol=1e-4)
    # A foot that is mounted askew is to stay so.
    askew = LEGGED.replace(
        '"left_foot" pos="0 0 -0.24"', '"left_foot" pos="0 0 -0.24" euler="0 0 1"'
    )
    term, model = bound(REWARDS.build({"type": "feet_orientation", **FEET}, "rewards.x"), askew)
    assert term(step_of(posed(model, turned(2.0))), ())[0] == pytest.approx(1.0, abs=1e-6)


def test_the_centre_of_mass_is_over_the_middle_of_the_feet():
    term, model = term_of(type="center_of_mass", sigma=0.1)
    assert term(step_of(posed(model)), ())[0] == pytest.approx(1.0, abs=1e-6)
    data = posed(model, [0, 0, 0.5, 1, 0, 0, 0, 0.4, 0, 0.4, 0])
    feet = 0.5 * (data.body("left_foot").xpos + data.body("right_foot").xpos)
    masses = model.body_mass[1:, None]
    centre = (masses * data.xipos[1:]).sum(0) / masses.sum()
    error = np.square((centre - feet)[:2]).sum()
    assert error > 0.01
    np.testing.assert_allclose(term(step_of(data), ())[0], np.exp(-error / 0.01), rtol=1e-3)
