"""One bad environment, by every kind of term: it is named, ends, and the others do not notice."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.term import Observation, Reset
from ksim_cli.quarantine import beyond, first_at_fault, reward_suspects, rewarded_badly
from ksim_cli.types import StepResult
from tests.injections import KINDS, VALUES, N, inject, play_unspoilt, played, terms
from tests.point import PlaceAt, at_fault, make


def test_what_is_beyond_a_limit():
    tree = {
        "a": jnp.array([[0.0, 1.0], [0.0, -2.0], [jnp.nan, 0.0], [jnp.inf, 0.0]]),
        "i": jnp.zeros((4, 2, 2), jnp.int32).at[0, 1, 1].set(3),
        "empty": jnp.zeros((4, 0)),
        "mask": jnp.ones(4, bool),
        "none": None,
    }
    assert beyond(tree, 4).tolist() == [False, False, True, True]
    assert beyond(tree, 4, 2.0).tolist() == [True, False, True, True]
    assert beyond({}, 2).tolist() == [False, False]


def test_the_first_of_the_suspects_is_at_fault_unless_one_was_before():
    bad = {"b": jnp.array([True, True, False, True]), "c": jnp.array([True, False, True, True])}
    before = jnp.array([0, 0, 0, 9])
    assert first_at_fault(("a", "b", "c"), bad, before).tolist() == [2, 2, 3, 9]
    assert reward_suspects({"up": 0, "alive": 0}) == ("rewards.alive", "rewards.up", "rewards")


def test_a_bad_reward_ends_the_episode_that_still_goes_on():
    def column(*cause, ends=()):
        ended = np.isin(np.arange(4), ends)
        return np.array(cause), ended

    cases = {
        0: column(0, 0, 0, 0),
        5: column(0, 5, 0, 0),
        6: column(0, 5, 6, 0),
        -1: column(0, 5, 0, 0, ends=[2]),  # over since
        -2: column(5, 0, 2, 0),  # quarantined since
        -3: column(0, 5, 0, 0, ends=[1]),  # it ended with it
    }
    cause, ended = (np.stack(x, axis=1) for x in zip(*cases.values(), strict=True))
    no = np.zeros_like(ended)
    results = StepResult(None, ended, no, jnp.asarray(cause), {}, None, {}, no)
    assert rewarded_badly(results, 4).tolist() == [max(0, n) for n in cases]


@dataclass(frozen=True, kw_only=True)
class BadReset(Reset):
    """Every other environment begins there."""

    value: float = 0.0

    def __call__(self, pose, key, level):
        lost = jax.random.bernoulli(key)
        return pose.replace(qpos=jnp.where(lost, self.value, pose.qpos))


@dataclass(frozen=True, kw_only=True)
class SeeReset(Observation):
    """Bad at the start of an episode only."""

    value: float = 0.0

    def __call__(self, step, carry, key):
        return jnp.where(step.time > 0, 0.0, jnp.full(1, self.value)), carry


@pytest.fixture(scope="module")
def clean():
    return play_unspoilt()


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_named_and_ends_and_the_others_do_not_notice(kind, value, clean):
    inject(kind, value, clean)


@pytest.mark.parametrize("value", VALUES)
def test_a_reset_that_is_bad_is_named_and_leaves_the_home_pose(value):
    resets = {"place": PlaceAt(at=(0.5, 0.0)), "lost": BadReset(value=value)}
    env = make(num_envs=16, resets=resets, observations={"position": JointPosition()})
    state = jax.jit(lambda key: env.begin_rollout(env.init(key)))(jax.random.key(0))
    lost = np.asarray(state.at_fault) > 0
    assert 0 < lost.sum() < 16
    assert {env.suspects[i - 1] for i in np.asarray(state.at_fault)[lost]} == {"resets.lost"}
    assert env.engine.view(state.physics).qpos[:, 0].tolist() == [0.5 * (not x) for x in lost]
    state, result = jax.jit(env.step)(state, jnp.zeros((16, 2)))
    np.testing.assert_array_equal(np.asarray(result.quarantined) > 0, lost)
    assert np.isfinite(state.obs["actor"]).all()


@pytest.mark.parametrize("value", VALUES)
def test_an_observation_that_is_bad_only_at_a_reset_spoils_the_step_that_saw_it(value):
    env = make(num_envs=2, observations={"first": SeeReset(value=value)})
    state = jax.jit(env.init)(jax.random.key(0))
    assert state.obs["actor"].tolist() == [[0.0], [0.0]]
    state, result = jax.jit(env.step)(state, jnp.zeros((2, 2)))
    assert at_fault(env, jax.tree.map(lambda x: x[None], result)) == [["observations.first"] * 2]


def test_what_is_large_but_within_the_limits_is_left_alone():
    env = make(num_envs=N, **terms("observations.imu", 9e5))
    _, experience = played(env)
    assert not experience.results.quarantined.any()
    assert experience.obs["actor"].max() == 9e5
