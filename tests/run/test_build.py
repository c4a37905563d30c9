import dataclasses

import pytest
from ksim_cli.run.session import load_policy, make_trainer, rollout_steps

from ksim_cli.errors import UserError
from ksim_cli.io.console import open_console
from ksim_cli.load_task import load_task
from ksim_cli.rl.rollout import RandomAgent
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole


def test_a_rollout_is_given_in_frames_or_in_seconds():
    config = tiny_cartpole()
    assert rollout_steps(config) == 4
    seconds = dataclasses.replace(config, rollout_length_frames=None, rollout_length_seconds=0.305)
    assert rollout_steps(seconds) == 30, "control steps of 10 ms"


def test_a_trainer_is_what_the_config_says():
    trainer = make_trainer(tiny_cartpole("algo.num_passes=7"))
    assert trainer.algorithm.num_passes == 7
    assert trainer.setup.env.num_envs == 4 and trainer.setup.batch_size == 2
    assert trainer.env is trainer.setup.env and trainer.task_engine() is trainer.env.engine


def test_an_unknown_algorithm_is_named():
    config = dataclasses.replace(tiny_cartpole(), algo={"type": "pppo"})
    with pytest.raises(UserError, match=r"algo.type: no algorithm 'pppo'.*'ppo'"):
        make_trainer(config)


def test_a_random_policy(project):
    config = tiny_cartpole("+policy=random")
    loaded = load_policy(config, TaskModel(load_task("cartpole")(config)), open_console(None))
    assert isinstance(loaded.agent, RandomAgent) and loaded.run is None


def test_without_a_run_there_is_no_policy(project):
    config = tiny_cartpole()
    with pytest.raises(UserError, match="No run found"):
        load_policy(config, TaskModel(load_task("cartpole")(config)), open_console(None))
