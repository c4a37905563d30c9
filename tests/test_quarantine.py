"""One bad environment, by every kind of term: it is named, ends, and the others do not notice."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.observations.task import CommandObservation
from ksim_cli.mdp.term import Command, Disturbance, Event, Observation, Reset, Reward
from ksim_cli.models.policy import ActionSample, Policy
from ksim_cli.quarantine import beyond, first_at_fault, reward_suspects, rewarded_badly, zeroed
from ksim_cli.rl.rollout import Player, PolicyState, play
from ksim_cli.types import EpisodeStatistics, StepResult
from tests.point import PlaceAt, Spring, at_fault, make
from tests.rl.policies import PlainAdapter

N, T, BAD = 4, 6, 1
VALUES = (jnp.nan, jnp.inf, -jnp.inf, 1e30)


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


def test_what_is_zeroed():
    tree = {"a": jnp.full((3, 2), jnp.nan), "i": jnp.ones(3, jnp.int32), "flag": jnp.ones(3, bool)}
    clean = zeroed(jnp.array([True, False, True]), tree)
    assert np.isnan(clean["a"]).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert clean["i"].tolist() == [0, 1, 0] and clean["flag"].all()


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


def spoilt(x, value):
    """The number, but `value` right of x = 1, where only environment 1 gets to."""
    return jnp.where(x > 1.0, value, x)


@dataclass(frozen=True, kw_only=True)
class BadObservation(Observation):
    value: float = 0.0

    def __call__(self, step, carry, key):
        return spoilt(step.view.qpos[:1], self.value), carry


@dataclass(frozen=True, kw_only=True)
class BadCommand(Command):
    value: float = 0.0

    def __call__(self, step, carry, key):
        return spoilt(step.view.qpos[:1], self.value), carry


@dataclass(frozen=True, kw_only=True)
class BadEvent(Event):
    value: float = 0.0

    def __call__(self, step, carry, key):
        bad = step.view.qpos[0] > 1.0
        return Disturbance(velocity=jnp.where(bad, self.value, jnp.zeros(2))), carry


@dataclass(frozen=True, kw_only=True)
class BadSpring(Spring):
    value: float = 0.0

    def __call__(self, action, joints, carry):
        return jnp.where(joints.position[0] > 1.0, self.value, action), carry


@dataclass(frozen=True, kw_only=True)
class BadReward(Reward):
    value: float = 0.0

    def __call__(self, step, carry):
        return spoilt(step.view.qpos[0], self.value), carry


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


def terms(kind: str, value: float) -> dict[str, Any]:
    """A task of which one term is bad."""
    two: dict[str, Any] = {"position": JointPosition()}
    return {
        "none": {"observations": two},
        "action": {"observations": two},
        "observations.imu": {"observations": {**two, "imu": BadObservation(value=value)}},
        "commands.speed": {
            "commands": {"speed": BadCommand(value=value)},
            "observations": {**two, "told": CommandObservation(command="speed")},
        },
        "events.push": {"events": {"push": BadEvent(value=value)}, "observations": two},
        "actuators": {"actuators": {"all": BadSpring(value=value)}, "observations": two},
        "rewards.up": {"observations": two, "rewards": {"up": BadReward(value=value, weight=2.0)}},
    }[kind]


def policy(value: float) -> Policy:
    """Environment 1 goes right, the others left; at its fourth step it may do what is `value`."""

    def act(model, obs, carry, key, argmax):
        way = jnp.where(jnp.arange(N) == BAD, 1.0, -1.0)
        action = jnp.stack([way, jnp.zeros(N)], axis=1)
        bad = (carry == 3) & (jnp.arange(N) == BAD)
        action = jnp.where(bad[:, None], value, action)
        log_prob = jnp.where(bad, value, 0.0)
        return ActionSample(action=action, carry=carry + 1, log_prob=log_prob, value=way)

    return Policy(PlainAdapter(), act, None, lambda model, n: jnp.zeros(n))


def played(env, acts_badly=0.0):
    """The episodes after T steps, and what happened."""
    player = Player(env, policy(acts_badly), record=lambda v, o, c, sample, r: sample.log_prob)
    state = PolicyState(PlainAdapter().init(None), (), jnp.ones(()))

    def run(key):
        playing = player.start(key)
        playing = playing.replace(env=env.begin_rollout(playing.env))
        return play(player, state, playing, key, T)

    return jax.device_get(jax.jit(run)(jax.random.key(0)))


@pytest.fixture(scope="module")
def clean():
    return played(make(num_envs=N, **terms("none", 0.0)))[1]


KINDS = ("action", "observations.imu", "commands.speed", "events.push", "actuators", "rewards.up")


SEEN_ELSEWHERE = {
    "events.push": "physics",
    "actuators": "physics",
    "commands.speed": "observations.told",
}
"""Where 1e30 is noticed, which is a number that these may give."""


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_named_and_ends_and_the_others_do_not_notice(kind, value, clean):
    env = make(num_envs=N, **terms(kind, value))
    playing, experience = played(env, acts_badly=value if kind == "action" else 0.0)
    cause = experience.results.quarantined
    others = np.arange(N) != BAD
    assert not cause[:, others].any() and cause[:, BAD].any()
    named = SEEN_ELSEWHERE.get(kind, kind) if value == 1e30 else kind
    assert {experience.suspects[i - 1] for i in cause[:, BAD] if i} == {named}
    # Nothing that learning looks at is bad, at the bad steps neither.
    shown = (experience.obs, experience.last_obs, experience.action, experience.record)
    for leaf in jax.tree.leaves((*shown, experience.scores)):
        assert (np.abs(leaf) < 1e6).all()
    assert not experience.scores.total[cause > 0].any()
    for seen, wanted in (
        (experience.results.steps.view.qpos, clean.results.steps.view.qpos),
        (experience.obs["actor"][..., :2], clean.obs["actor"]),
    ):
        np.testing.assert_array_equal(seen[:, others], wanted[:, others])
    # A reward is known too late: its environment ends at the first step of the next rollout.
    by_reward = kind == "rewards.up"
    assert experience.was_reset[cause > 0].all() == (not by_reward)
    after = env.end_rollout(playing.env, experience.results, STATISTICS)
    assert [bool(x) for x in after.at_fault] == [by_reward and i == BAD for i in range(N)]
    _, result = jax.jit(env.step)(after, jnp.zeros((N, 2)))
    assert (np.asarray(result.done) == (np.asarray(after.at_fault) > 0)).all()


STATISTICS = EpisodeStatistics(*jnp.zeros(5))


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
