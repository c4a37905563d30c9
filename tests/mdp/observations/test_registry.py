"""What holds for every registered observation, on real states of the legged robot."""

import dataclasses

import jax
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import OBSERVATIONS
from tests.legged import LEGGED, bound, step_of
from tests.mdp.observations.sections import COMMANDS, SECTIONS
from tests.motion.motions import of_motions

register_terms()
KEY = jax.random.key(0)
FIXED = LEGGED.replace('<freejoint name="root"/>', "").replace("0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0 0")


def build(kind, xml=LEGGED, **changes):
    section = {"type": kind, **SECTIONS[kind][0], **changes}
    return bound(OBSERVATIONS.build(section, "observations.x"), xml)


def test_every_observation_is_tried_here():
    assert set(OBSERVATIONS.names()) - of_motions(OBSERVATIONS) == set(SECTIONS)


@pytest.mark.parametrize("kind", sorted(SECTIONS))
@pytest.mark.parametrize("xml", [LEGGED, FIXED], ids=["floating", "fixed"])
def test_values_are_vectors_of_their_size_finite_and_the_same_again(kind, xml):
    term, model = build(kind, xml)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    rng = np.random.default_rng(0)
    first = []
    for _ in range(2):
        carry, values = term.init(KEY), []
        for _ in range(5):
            data.qfrc_applied[:] = rng.normal(size=model.nv)
            mujoco.mj_step(model, data, 10)
            value, carry = term(step_of(data, COMMANDS), carry, KEY)
            values.append(np.asarray(value))
        assert np.isfinite(values).all()
        assert np.shape(values) == (5, SECTIONS[kind][1])
        first.append(values)
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        rng = np.random.default_rng(0)
    np.testing.assert_array_equal(first[0], first[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delay": -0.1}, "delay=-0.1: must be seconds"),
        ({"delay": [0.2, 0.1]}, "must be seconds, or a range"),
        ({"history": 0}, "history=0: must be at least 1"),
        ({"joints": ["knee"]}, "no hinge or slide joint 'knee'"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        build("joint_position", **changes)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("body_position", {"bodies": ["knee"]}, "no body 'knee'"),
        ("site_orientation", {"sites": ["head"]}, "no site 'head'"),
        ("sensor", {"sensors": ["gyr"]}, "no sensor 'gyr'.*Did you mean 'gyro'"),
        ("feet_contact", {"feet": ["hand"]}, "no body .or geom. 'hand'"),
        ("projected_gravity", {"lag": 1.0}, "lag=1.0: must be in"),
        ("delayed_joint_position", {"delay_steps": -1}, "delay_steps=-1"),
    ],
)
def test_unknown_names_and_wrong_values_are_refused(kind, changes, message):
    with pytest.raises(UserError, match=message):
        build(kind, **changes)


def test_terms_are_frozen():
    term, _ = build("timestep")
    with pytest.raises(dataclasses.FrozenInstanceError):
        term.history = 2
