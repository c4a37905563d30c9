import numpy as np
import pytest

from ksim_cli.load_task import load_task
from ksim_cli.models.policy import Variables
from ksim_cli.rl.rollout import RandomAgent, ZeroAgent
from ksim_cli.run.evaluate import Evaluation, Evaluator
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole

NOTHING = Variables(params=(), statistics=())


def test_episodes_are_whole_and_repeat_with_their_seed():
    config = tiny_cartpole("terminations.time_limit.max_length_seconds=0.5")
    task_model = TaskModel(load_task("cartpole")(config))
    evaluator = Evaluator(task_model, RandomAgent(1), 6)
    one, two, other = (evaluator(NOTHING, 1.0, seed) for seed in (0, 0, 1))
    assert one.lengths.tolist() == [50] * 6 and not one.failed.any()
    np.testing.assert_array_equal(one.returns, two.returns)
    assert not np.array_equal(one.returns, other.returns)


def test_the_return_is_the_sum_of_rewards_up_to_the_end():
    config = tiny_cartpole(
        "terminations.time_limit.max_length_seconds=0.2",
        "rewards=none",
        "++rewards.a.type=stay_alive",
    )
    task_model = TaskModel(load_task("cartpole")(config))
    played = Evaluator(task_model, ZeroAgent(1), 3)(NOTHING, 1.0, 0)
    assert played.returns.tolist() == [20.0] * 3


def test_more_episodes_than_environments_are_played_in_turns(monkeypatch):
    monkeypatch.setattr("ksim_cli.run.evaluate.MAX_ENVS", 2)
    config = tiny_cartpole("terminations.time_limit.max_length_seconds=0.1")
    task_model = TaskModel(load_task("cartpole")(config))
    played = Evaluator(task_model, ZeroAgent(1), 5)(NOTHING, 1.0, 0)
    assert len(played.returns) == 5 and len(set(played.returns.tolist())) == 5


def test_the_summary_by_hand():
    summary = Evaluation(
        returns=np.array([1.0, 3.0]),
        lengths=np.array([10, 20]),
        failed=np.array([True, False]),
        command_errors={"speed": np.array([0.4, 0.1])},
    ).summary()
    assert summary == {
        "episode_return_mean": 2.0,
        "episode_return_std": 1.0,
        "episode_length_mean": 15.0,
        "failure_rate": 0.5,
        # Over all 30 steps: (10 * 0.4 + 20 * 0.1) / 30.
        "command_error/speed": pytest.approx(0.2),
    }
