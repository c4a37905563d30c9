from functools import partial
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.models.policy import Variables
from ksim_cli.rl.rollout import Player, PolicyState, random_policy, zero_policy
from ksim_cli.run import evaluate
from ksim_cli.run.build import make_task_model
from ksim_cli.run.evaluate import Evaluation, Evaluator
from ksim_cli.run.film import frame_of
from tests.envs import Probe
from tests.helpers import tiny_cartpole

NOTHING = PolicyState(Variables(params=()), reward_variables=(), level=jnp.ones(()))


def evaluator(policy, num_episodes, *overrides, filmed=False):
    task_model = make_task_model(tiny_cartpole(*overrides))
    env = evaluate.evaluation_envs(task_model, num_episodes, filmed)
    frame = partial(frame_of, task_model.mdp) if filmed else None
    player = Player(env, policy, argmax=True)
    return Evaluator(player, num_episodes, task_model.episode_steps(), frame)


def test_episodes_are_whole_and_repeat_with_their_seed():
    play = evaluator(random_policy(1), 6, "terminations.time_limit.max_length_seconds=0.5")
    one, two, other = (play(NOTHING, seed) for seed in (0, 0, 1))
    assert one.lengths.tolist() == [50] * 6 and not one.failed.any()
    np.testing.assert_array_equal(one.returns, two.returns)
    assert not np.array_equal(one.returns, other.returns)


def test_the_return_is_the_sum_of_rewards_up_to_the_end():
    overrides = (
        "terminations.time_limit.max_length_seconds=0.2",
        "rewards=none",
        "++rewards.a.type=stay_alive",
    )
    played = evaluator(zero_policy(1), 3, *overrides)(NOTHING, 0)
    assert played.returns.tolist() == [20.0] * 3


def test_more_episodes_than_environments_are_played_in_turns(monkeypatch):
    monkeypatch.setattr("ksim_cli.run.evaluate.MAX_ENVS", 2)
    play = evaluator(zero_policy(1), 5, "terminations.time_limit.max_length_seconds=0.1")
    played = play(NOTHING, 0)
    assert len(played.returns) == 5 and len(set(played.returns.tolist())) == 5


class Rough(Probe):
    """Environment 0 ends at its second step by failure, 1 by a quarantine, 2 by success."""

    command_error_names = ()

    def step(self, state, action):
        state, result = super().step(state, action)
        end = result.done
        index = jnp.arange(3)
        return state, result.replace(
            steps=result.steps.replace(termination=jnp.where(end, index - 1, 0)),
            terminated=end & (index != 1),
            quarantined=jnp.where(end & (index == 1), 1, 0),
        )


@pytest.mark.parametrize("level", [1.0, 0.5])
def test_the_first_episode_of_each_environment_counts_at_the_level_of_the_policy(level):
    class Leveled(Rough):
        def rewards(self, carry, results, learned):
            learned = {"level": 10 * results.steps.level, **learned}
            return super().rewards(carry, results, learned)

    def learned(reward_variables, experience):
        return {"style": jnp.full(experience.was_reset.shape, 1.0) * reward_variables}, ()

    env = Leveled(lambda shown, action, count: count * 1.0, 2, num_envs=3)
    player = Player(env, zero_policy(1), learned_rewards=learned)
    state = NOTHING.replace(reward_variables=jnp.float32(100.0), level=jnp.float32(level))
    played = Evaluator(player, 3, max_steps=9)(state, 0)
    assert played.lengths.tolist() == [2, 2, 2]
    # 1 + 2 and what is learned, and the level; what is quarantined is paid nothing.
    first, both = 101 + 10 * level, 203 + 20 * level
    assert played.returns.tolist() == [both, first, both]
    assert played.failed.tolist() == [True, True, False]
    assert {name: x.tolist() for name, x in played.quarantined.items()} == {
        "physics": [False, True, False]
    }


def evaluation(**quarantined):
    return Evaluation(
        returns=np.array([1.0, 3.0]),
        lengths=np.array([10, 20]),
        failed=np.array([True, False]),
        quarantined=quarantined,
        command_errors={"speed": np.array([0.4, 0.1])},
    )


def test_the_summary_by_hand():
    assert evaluation(physics=np.array([True, False])).summary() == {
        "episode_return_mean": 2.0,
        "episode_return_std": 1.0,
        "episode_length_mean": 15.0,
        "failure_rate": 0.5,
        "quarantine_rate": 0.5,
        # Over all 30 steps: (10 * 0.4 + 20 * 0.1) / 30.
        "command_error/speed": pytest.approx(0.2),
    }


def test_episodes_that_were_not_finite_are_warned_of():
    warnings = []
    console = SimpleNamespace(warn=warnings.append)
    evaluate.warn_of_quarantine(console, evaluation())
    assert not warnings
    bad = {"physics": np.array([True, False]), "rewards.up": np.array([False, True])}
    evaluate.warn_of_quarantine(console, evaluation(**bad))
    (said,) = warnings
    assert "100% of the evaluation episodes" in said and "Shorten dt" in said
    assert "physics (50%), rewards.up (50%)" in said
