import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.action_filters import ActionFilter
from ksim_cli.registry import ACTUATORS, FILTERS
from tests.robot import make_env

register_terms()
DT = 0.1


def run(section, actions, rest=0.0):
    term = FILTERS.build(section, "filter")
    carry, out = term.init(1), []
    for action in actions:
        value, carry = term(jnp.array([action]), jnp.array([rest]), DT, carry)
        out.append(float(value[0]))
    return out


def test_clip_and_tanh_keep_within_the_range():
    assert run({"type": "clip_positions", "low": -0.5, "high": 2.0}, [-3, 1, 9]) == [-0.5, 1, 2]
    tanh = {"type": "tanh_positions", "low": -0.5, "high": 2.0}
    # The middle of the range at 0, its ends at infinity: -0.5 + 1.25 (1 + tanh a).
    np.testing.assert_allclose(run(tanh, [0, -50, 50, 1]), [0.75, -0.5, 2.0, 1.70199], rtol=1e-5)


def test_integrated_velocity_and_acceleration_by_hand():
    velocity = {"type": "integrate_velocity", "scale": 2.0, "high": 1.35}
    # From 1: + 2 * 1 * 0.1 each, up to the end of the range.
    np.testing.assert_allclose(run(velocity, [1, 1, -1], rest=1.0), [1.2, 1.35, 1.15], rtol=1e-5)
    acceleration = {"type": "integrate_acceleration"}
    # v = 0.1, 0.2, 0.1; x = 0.01, 0.03, 0.04.
    np.testing.assert_allclose(run(acceleration, [1, 1, -1]), [0.01, 0.03, 0.04], rtol=1e-5)


def test_an_end_of_the_range_stops_the_velocity():
    section = {"type": "integrate_acceleration", "high": 0.015}
    # x = 0.01, then stopped at 0.015 with v = 0.05; -1: v = -0.05, x = 0.01.
    np.testing.assert_allclose(run(section, [1, 1, -1]), [0.01, 0.015, 0.01], rtol=1e-5)


def test_low_pass_by_hand():
    alpha = 1 - np.exp(-2 * np.pi * 0.5 * DT)
    wanted = [alpha, alpha + (1 - alpha) * alpha]
    section = {"type": "low_pass", "cutoff_frequency": 0.5}
    np.testing.assert_allclose(run(section, [1, 1]), wanted, rtol=1e-5)
    np.testing.assert_allclose(run(section, [1.0], rest=1.0), [1.0], rtol=1e-6)


def test_a_limited_acceleration_reaches_its_target_slowly():
    # Velocity grows by at most 1 * 0.1: x = 0.01, 0.03, 0.06.
    section = {"type": "clip_acceleration", "limit": 1.0}
    np.testing.assert_allclose(run(section, [1, 1, 1]), [0.01, 0.03, 0.06], rtol=1e-5)
    loose = {"type": "clip_acceleration", "limit": 1e6}
    np.testing.assert_allclose(run(loose, [1, -2, 3]), [1, -2, 3], rtol=1e-5)


def test_filters_stand_in_an_actuators_section():
    section = {
        "type": "torque",
        "filters": ["tanh_positions", {"type": "low_pass", "cutoff_frequency": 5.0}],
    }
    filters = ACTUATORS.build(section, "actuators.all").filters
    assert [FILTERS.name_of(type(f)) for f in filters] == ["tanh_positions", "low_pass"]
    with pytest.raises(UserError, match=r"actuators.all.filters.type.*'low_pass'"):
        ACTUATORS.build({"type": "torque", "filters": {"type": "lowpass"}}, "actuators.all")


@pytest.mark.parametrize("name", FILTERS.names())
def test_every_filter_keeps_shapes(name):
    needed = {"clip_acceleration": {"limit": 1.0}, "low_pass": {"cutoff_frequency": 1.0}}
    term = FILTERS.build({"type": name, **needed.get(name, {})}, "filter")
    assert isinstance(term, ActionFilter)
    value, carry = term(jnp.ones(3), jnp.zeros(3), DT, term.init(3))
    again, _ = term(jnp.ones(3), jnp.zeros(3), DT, carry)
    assert value.shape == again.shape == (3,)
    assert np.isfinite(value).all()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "clip_positions", "low": 1.0, "high": 1.0}, r"must be below high"),
        ({"type": "low_pass", "cutoff_frequency": 0.0}, r"must be positive"),
    ],
)
def test_wrong_parameters_are_refused(section, message):
    with pytest.raises(UserError, match=message):
        FILTERS.build(section, "filter")


NAMES = ("left_hip", "left_knee", "right_hip")


def bound(section):
    return FILTERS.build(section, "filter").bind(NAMES)


def test_ranges_by_joint():
    clip = bound({"type": "clip_positions", "low": {"left_*": -0.5}, "high": {"*_hip": 0.25}})
    ends = [clip(jnp.full(3, x), jnp.zeros(3), DT, ())[0].tolist() for x in (-9.0, 9.0)]
    assert ends == [[-0.5, -0.5, -1.0], [0.25, 1.0, 0.25]], "-1 and 1 where nothing is said"
    tanh = bound({"type": "tanh_positions", "low": {"left_*": -0.5}})
    assert tanh(jnp.full(3, -99.0), jnp.zeros(3), DT, ())[0].tolist() == [-0.5, -0.5, -1.0]
    integrator = bound({"type": "integrate_velocity", "high": {"left_hip": 0.05}})
    value, _ = integrator(jnp.ones(3), jnp.zeros(3), DT, integrator.init(3))
    np.testing.assert_allclose(value, [0.05, 0.1, 0.1], rtol=1e-6)
    slow = bound({"type": "clip_acceleration", "limit": {"left_*": 1.0, "right_hip": 2.0}})
    value, _ = slow(jnp.ones(3), jnp.zeros(3), DT, slow.init(3))
    np.testing.assert_allclose(value, [0.01, 0.01, 0.02], rtol=1e-6)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "clip_positions", "low": {"ankle": 0.0}}, "no joint of this actuator 'ankle'"),
        ({"type": "clip_acceleration", "limit": {"left_*": 1.0}}, "a number for 'right_hip', too"),
    ],
)
def test_tables_that_do_not_fit_the_joints_are_refused(section, message):
    with pytest.raises(UserError, match=message):
        bound(section)
    env = {"all": {"type": "torque", "filters": [section]}}
    if "ankle" in message:
        with pytest.raises(UserError, match=rf"actuators\.all\.filters: {message}"):
            make_env(actuators=env)


def test_a_table_without_width_is_refused():
    with pytest.raises(UserError, match="must be below high"):
        bound({"type": "clip_positions", "low": {"left_hip": 2.0}})
