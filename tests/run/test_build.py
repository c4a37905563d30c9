import dataclasses
import json

import jax
import pytest

from ksim_cli.config.saved import config_text
from ksim_cli.errors import UserError
from ksim_cli.io.console import open_console
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.rollout import play
from ksim_cli.run import build
from ksim_cli.run.build import (
    load_policy,
    make_task_model,
    make_training_parts,
    rollout_steps,
)
from tests.helpers import tiny_cartpole


def test_a_rollout_is_given_in_frames_or_in_seconds():
    config = tiny_cartpole()
    assert rollout_steps(config) == 4
    seconds = dataclasses.replace(config, rollout_length_frames=None, rollout_length_seconds=0.305)
    assert rollout_steps(seconds) == 30, "control steps of 10 ms"


def test_the_parts_of_training_are_what_the_config_says():
    parts = make_training_parts(tiny_cartpole("algo.num_passes=7"))
    assert parts.algorithm.num_passes == 7 and parts.algorithm is parts.task_model.algorithm
    assert parts.env.num_envs == 4 and parts.context.batch_size == 2
    assert parts.env is parts.context.env and parts.context.policy is parts.task_model.policy
    assert parts.context.num_steps == 4 and parts.spread == 1


def test_what_cannot_be_learned_is_refused_before_anything_is_compiled():
    with pytest.raises(UserError, match=r"algo=ppo: asks for values"):
        make_training_parts(tiny_cartpole("model.critic_groups=[]"))


def test_an_unknown_algorithm_is_named():
    config = dataclasses.replace(tiny_cartpole(), algo={"type": "pppo"})
    with pytest.raises(UserError, match=r"algo.type: no algorithm 'pppo'.*'ppo'"):
        make_training_parts(config)


def load(*overrides, argmax=True):
    config = tiny_cartpole(*overrides)
    task_model = make_task_model(config)
    env = task_model.make_env(3)
    return task_model, load_policy(config, task_model, env, argmax, open_console(None))


@pytest.mark.parametrize("name", ["zero", "random", "initial"])
def test_a_policy_without_a_run(project, name):
    task_model, loaded = load(f"+policy={name}")
    assert loaded.run is None and loaded.step is None and loaded.state.level == 1.0
    player, key = loaded.player, jax.random.key(0)
    assert player.env.num_envs == 3
    if name == "initial":
        assert player.policy is task_model.policy
    _, experience = jax.jit(lambda: play(player, loaded.state, player.start(key), key, 2))()
    assert experience.action.any() == (name != "zero")
    assert player.argmax == (name != "random"), "which has no mode"
    if name == "random":
        assert len(set(experience.action.ravel().tolist())) == 6


@pytest.mark.parametrize(
    ("returns", "index"),
    [([None, 1.0], 1), ([2.0, 1.0], 0), ([-3.0, None], 0), ([None, None], None), ([1.0], None)],
)
def test_the_seed_that_evaluated_best_acts(project, returns, index):
    """What was not finite evaluated worst; where nothing is known the first acts, and it is said."""
    config = dataclasses.replace(tiny_cartpole(), num_seeds=2, seed=5)
    run = RunFolder(project)
    run.config.write_text(config_text(config))
    summary = {"eval_return_mean": None, "iterations": 3, "eval_return_per_seed": returns}
    run.summary.write_text(json.dumps(summary))
    chosen, said = build.chosen_seed(run, 3, count=2)
    assert chosen == (index or 0) and ("not known" in said) == (index is None)


def test_without_a_run_there_is_no_policy(project):
    with pytest.raises(UserError, match="No run found"):
        load()
