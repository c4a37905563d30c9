"""What holds for one reward or several; every registered one: tests/mdp/rewards."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.level_schedules import LinearScale
from ksim_cli.mdp.reward_manager import RewardManager
from ksim_cli.mdp.term import Command, Reward
from ksim_cli.types import StepResult
from tests.point import steps_of

T, N = 4, 2


@dataclass(frozen=True, kw_only=True)
class First(Reward):
    """The first element of the action."""

    def __call__(self, step, carry):
        return step.action[0], carry


@dataclass(frozen=True, kw_only=True)
class Count(Reward):
    """1, 2, 3, ... within an episode."""

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, step, carry):
        return carry + 1.0, carry + 1.0


@dataclass(frozen=True, kw_only=True)
class Goal(Command):
    def error(self, step, value):
        return jnp.abs(step.action[0] - value[0])


@dataclass(frozen=True, kw_only=True)
class Aimless(Command):
    pass


def results(done=((0, 0), (1, 0), (0, 0), (0, 0)), **changes):
    """T steps of N environments; the first action's element counts 0, 1, 2, ... over both."""
    first = jnp.arange(float(T * N)).reshape(T, N)
    steps = jax.tree.map(lambda x: jnp.stack([x] * T), steps_of(N))
    steps = steps.replace(action=jnp.stack([first, 0 * first], axis=-1), **changes)
    nothing = jnp.zeros((T, N), jnp.int32)
    return StepResult(
        steps=steps,
        terminated=jnp.array(done, bool),
        truncated=nothing > 0,
        quarantined=nothing,
        causes={},
        distance=jnp.zeros((T, N)),
        final_obs={},
        overflow=nothing > 0,
    )


def test_weights_and_schedules_multiply_and_the_total_is_the_sum():
    terms = {"a": First(weight=2.0), "b": First(weight=-1.0, scale=LinearScale())}
    manager = RewardManager(terms, {}, N)
    half = jnp.full((T, N), 0.5)
    _, scores = manager(manager.fresh(), results(level=half))
    first = np.arange(8.0).reshape(T, N)
    np.testing.assert_array_equal(scores.components["a"], 2.0 * first)
    np.testing.assert_array_equal(scores.components["b"], -0.5 * first)
    np.testing.assert_array_equal(scores.total, 1.5 * first)


def test_a_carry_starts_anew_after_an_episode_and_goes_on_over_a_cut():
    manager = RewardManager({"count": Count()}, {}, N)
    carry, scores = manager(manager.fresh(), results())
    assert scores.total.tolist() == [[1, 1], [2, 2], [1, 3], [2, 4]]
    _, scores = manager(carry, results())
    assert scores.total.tolist() == [[3, 5], [4, 6], [1, 7], [2, 8]]


def test_learned_rewards_join_before_the_total_and_its_clip():
    manager = RewardManager({"first": First()}, {}, N, clip=(-1.0, 5.0))
    learned = {"style": jnp.full((T, N), -2.0)}
    _, scores = manager(manager.fresh(), results(), learned)
    assert scores.components["style"].tolist() == [[-2.0, -2.0]] * T
    # 0 ... 7 less 2, clipped to [-1, 5].
    assert scores.total.ravel().tolist() == [-1, -1, 0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match=r"^rewards.first: the algorithm adds a reward of that"):
        manager(manager.fresh(), results(), {"first": learned["style"]})


def test_only_learned_rewards_are_a_reward_too():
    manager = RewardManager({}, {}, N)
    _, scores = manager({}, results(), {"style": jnp.ones((T, N))})
    assert scores.total.tolist() == [[1.0, 1.0]] * T
    _, none = manager({}, results())
    assert none.total.shape == (T, N) and not none.total.any()


def test_errors_are_measured_of_the_commands_that_have_one():
    goal = jnp.full((T, N, 1), 3.0)
    manager = RewardManager({}, {"goal": Goal(), "aimless": Aimless()}, N)
    assert set(manager.measured) == {"goal"}
    commands = {"goal": goal, "aimless": goal}
    _, scores = manager({}, results(commands=commands))
    assert scores.command_errors["goal"].ravel().tolist() == [3, 2, 1, 0, 1, 2, 3, 4]
    assert scores.command_errors.keys() == {"goal"}
