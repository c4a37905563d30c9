"""Every registered observation, reset, reward, termination, noise and curriculum."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import scipy.stats

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.term import Pose
from ksim_cli.physics.engine import View
from ksim_cli.registry import CURRICULA, NOISES, OBSERVATIONS, RESETS, REWARDS, TERMINATIONS
from ksim_cli.types import EpisodeStatistics, Step
from tests.helpers import SMALL

register_terms()
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


def step(model, **changes):
    qpos = jnp.arange(model.nq, dtype=jnp.float32) / 10
    qvel = -jnp.arange(model.nv, dtype=jnp.float32)
    zero = jnp.zeros(())
    return Step(
        view=View({"qpos": qpos, "qvel": qvel, "time": zero}),
        action=jnp.zeros(2),
        commands={},
        time=zero,
        termination=jnp.int32(0),
        truncated=jnp.array(False),
        level=jnp.ones(()),
    ).replace(**changes)


def observe(model, **section):
    term = OBSERVATIONS.build(section, "observations.x").bind(model)
    return np.asarray(term(step(model), term.init(KEY), KEY)[0])


def test_joint_observations_skip_the_free_joint(model):
    # Seven coordinates of the free joint stand before shoulder and elbow in qpos, six in qvel.
    np.testing.assert_allclose(observe(model, type="joint_position"), [0.7, 0.8])
    np.testing.assert_allclose(observe(model, type="joint_velocity"), [-6.0, -7.0])
    np.testing.assert_allclose(observe(model, type="joint_velocity", joints=["elbow"]), [-7.0])
    swapped = observe(model, type="joint_position", joints=["elbow", "shoulder"])
    np.testing.assert_allclose(swapped, [0.8, 0.7])
    np.testing.assert_allclose(
        observe(model, type="joint_angle_cos_sin"),
        [np.cos(0.7), np.cos(0.8), np.sin(0.7), np.sin(0.8)],
        rtol=1e-6,
    )


@pytest.mark.parametrize("kind", ["joint_position", "joint_velocity", "joint_angle_cos_sin"])
def test_an_observation_of_an_unknown_joint_lists_those_there_are(model, kind):
    with pytest.raises(UserError, match=r"no hinge or slide joint 'knee'.*elbow, shoulder"):
        observe(model, type=kind, joints=["knee"])


@pytest.mark.parametrize("kind", ["random_joint_position", "random_joint_velocity"])
def test_a_reset_of_an_unknown_joint_lists_those_there_are(model, kind):
    term = RESETS.build({"type": kind, "scale": 0.1, "joints": ["knee"]}, "resets.x")
    with pytest.raises(UserError, match=r"no hinge or slide joint 'knee'.*elbow, shoulder"):
        term.bind(model)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize(("kind", "field"), [("position", "qpos"), ("velocity", "qvel")])
def test_joint_resets_move_what_they_say_and_nothing_else(model, kind, field, distribution):
    term = RESETS.build(
        {
            "type": f"random_joint_{kind}",
            "scale": 0.3,
            "distribution": distribution,
            "joints": ["elbow"],
        },
        "resets.x",
    ).bind(model)
    start = Pose(qpos=jnp.asarray(model.qpos0, jnp.float32), qvel=jnp.ones(model.nv))
    keys = jax.random.split(KEY, 4000)
    pose = jax.vmap(lambda k: term(start, k, jnp.ones(())))(keys)
    moved = np.asarray(getattr(pose, field) - getattr(start, field))
    address = {"qpos": 8, "qvel": 7}[field]
    assert not np.delete(moved, address, axis=1).any()
    other = "qvel" if field == "qpos" else "qpos"
    assert (np.asarray(getattr(pose, other)) == np.asarray(getattr(start, other))).all()
    drawn = moved[:, address]
    std = 0.3 if distribution == "normal" else 0.3 / np.sqrt(3)
    np.testing.assert_allclose(drawn.std(), std, rtol=0.05)
    assert abs(drawn.mean()) < 0.02
    if distribution == "uniform":
        assert np.abs(drawn).max() <= 0.3


def test_an_unknown_distribution_is_refused():
    section = {"type": "random_joint_position", "scale": 0.1, "distribution": "gauss"}
    with pytest.raises(
        UserError, match=r"resets.x.distribution=gauss: is not one of uniform, norm"
    ):
        RESETS.build(section, "resets.x")


def test_an_episode_is_cut_at_its_first_step_at_or_after_the_limit(model):
    term = TERMINATIONS.build({"type": "episode_length", "max_length_seconds": 10.0}, "t")
    assert term.truncates and term.longest_episode() == 10.0
    times = jnp.array([999, 1000, 1001]) * jnp.float32(0.01)
    fired = [int(term(step(model, time=t), ())[0]) for t in times]
    assert fired == [0, 1, 1]
    with pytest.raises(UserError, match=r"must be positive"):
        TERMINATIONS.build({"type": "episode_length", "max_length_seconds": 0.0}, "t")


@pytest.mark.parametrize("ctrl_dt", [0.002, 0.01, 0.02, 1 / 30])
def test_an_episode_has_as_many_steps_as_fit(model, ctrl_dt):
    # Times are multiples of the step in float32, as the environments count them.
    times = jnp.arange(1, 20_001) * jnp.float32(ctrl_dt)
    for steps in (1, 3, 7, 500, 3000, 20_000):
        section = {"type": "episode_length", "max_length_seconds": steps * ctrl_dt}
        fired = TERMINATIONS.build(section, "t")(step(model, time=times), ())[0]
        assert int(jnp.argmax(fired)) + 1 == steps


@pytest.mark.parametrize(("code", "wanted"), [(-1, 0.0), (0, 1.0), (1, 1.0)])
def test_staying_alive(model, code, wanted):
    term = REWARDS.build({"type": "stay_alive"}, "rewards.x")
    assert term(step(model, termination=jnp.int32(code)), ())[0] == wanted


@pytest.mark.parametrize(
    ("section", "std", "distribution"),
    [
        ({"type": "additive_gaussian", "std": 0.2}, 0.2, scipy.stats.norm(0, 0.2)),
        (
            {"type": "additive_uniform", "magnitude": 0.3},
            0.3 / np.sqrt(3),
            scipy.stats.uniform(-0.3, 0.6),
        ),
    ],
)
def test_noise_has_the_declared_distribution(section, std, distribution):
    noise = NOISES.build(section, "noise")
    value = jnp.full((50_000, 2), 2.0)
    drawn = np.asarray(noise(value, KEY, jnp.float32(1.0)), np.float64) - 2.0
    # The standard errors of mean and deviation are below 0.001.
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.005)
    np.testing.assert_allclose(drawn.std(0), std, rtol=0.02)
    assert scipy.stats.kstest(drawn[:, 0], distribution.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03, "elements draw independently"
    half = np.asarray(noise(value, KEY, jnp.float32(0.5))) - 2.0
    np.testing.assert_allclose(half, 0.5 * drawn, atol=1e-6)
    np.testing.assert_array_equal(noise(value, KEY, jnp.float32(0.0)), value)


def test_a_constant_level_stays():
    term = CURRICULA.build({"type": "constant", "level": 0.3}, "curriculum")
    assert term.initial_level() == 0.3
    bad = EpisodeStatistics(*(jnp.array(jnp.nan),) * 5)
    assert term(jnp.float32(0.3), bad, ())[0] == jnp.float32(0.3)
    with pytest.raises(UserError, match=r"level=2.0: must be in \[0, 1\]"):
        CURRICULA.build({"type": "constant", "level": 2.0}, "curriculum")
