"""A term, or a policy, that gives one number which is none: what must come of it, on any engine."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.observations.task import CommandObservation
from ksim_cli.mdp.term import Command, Disturbance, Event, Observation, Reward, Termination
from ksim_cli.models.policy import ActionSample, Policy
from ksim_cli.rl.rollout import Player, PolicyState, play
from ksim_cli.types import EpisodeStatistics
from tests.point import Spring, make
from tests.rl.policies import PlainAdapter

N, T, BAD = 4, 6, 1
VALUES = (jnp.nan, jnp.inf, -jnp.inf, 1e30)
STATISTICS = EpisodeStatistics(*jnp.zeros(5))
KINDS = (
    *("action", "observations.imu", "commands.speed", "events.push", "actuators.all"),
    *("rewards.up", "terminations.end"),
)


SEEN_ELSEWHERE = {
    "events.push": "physics",
    "actuators.all": "physics",
    "commands.speed": "observations.told",
}
"""Where 1e30 is noticed, which is a number that these may give."""


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
class BadEnd(Termination):
    value: float = 0.0

    def __call__(self, step, carry):
        return jnp.where(step.view.qpos[0] > 1.0, self.value, 0.0), carry


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
        "actuators.all": {"actuators": {"all": BadSpring(value=value)}, "observations": two},
        "terminations.end": {"terminations": {"end": BadEnd(value=value)}, "observations": two},
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


def play_unspoilt(physics="mujoco"):
    """What happens where nothing is bad."""
    return played(make(num_envs=N, physics=physics, **terms("none", 0.0)))[1]


def inject(kind, value, clean, physics="mujoco"):
    """Raises AssertionError unless it is named and ends, and the others do not notice."""
    env = make(num_envs=N, physics=physics, **terms(kind, value))
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
