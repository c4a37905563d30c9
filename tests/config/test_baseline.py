import pytest
import yaml

from ksim_cli.config.baseline import Difference, defaults_of, differences
from ksim_cli.config.resuming import leaves
from ksim_cli.config.saved import config_text
from tests.helpers import run_config


def flat(*overrides):
    return dict(leaves(yaml.safe_load(config_text(run_config(*overrides)))))


@pytest.fixture(scope="module")
def cartpole():
    return defaults_of("cartpole")


def test_a_task_alone_differs_in_nothing(cartpole, capsys):
    defaults, found = cartpole
    assert found and defaults == flat("task=cartpole")
    assert list(differences(flat("task=cartpole"), defaults)) == []
    assert capsys.readouterr() == ("", "")


def test_what_differs_and_what_was_typed(cartpole):
    config = flat(
        "task=cartpole", "num_envs=512", "seed=0", "model=gru", "rewards.balance.weight=2"
    )
    typed = {"task", "num_envs", "seed", "model", "rewards.balance.weight"}
    found = {each.key: each for each in differences(config, cartpole[0], typed)}
    assert found["num_envs"] == Difference("num_envs", 512, cartpole[0]["num_envs"], True)
    assert found["seed"] == Difference("seed", 0, 0, True)
    assert found["model.type"] == Difference("model.type", "gru", "mlp", True)
    assert found["rewards.balance.weight"].value == 2 and found["rewards.balance.weight"].typed
    assert found["task.name"] == Difference("task.name", "cartpole", "cartpole", True)
    assert not {"algo.gamma", "task.type", "engine.type"} & found.keys()


def test_what_follows_from_another_key_was_not_typed(cartpole):
    config = flat("task=cartpole", "num_envs=7")
    found = {each.key: each.typed for each in differences(config, cartpole[0], {"num_envs"})}
    assert found == {"num_envs": True, "batch_size": False}


@pytest.mark.parametrize("name", ["absent", "cartpole,humanoid", "../cartpole", "x y=1", ""])
def test_a_task_that_is_not_here_is_held_against_ksim(name):
    defaults, found = defaults_of(name)
    assert not found and defaults["num_envs"] == 256


def test_a_project_s_own_task_is_read_and_not_run(project):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - cartpole\nnum_envs: 32\n"
    )
    (project / "tasks").mkdir()
    (project / "tasks" / "__init__.py").write_text("raise SystemExit(3)\n")
    defaults, found = defaults_of("mine")
    assert found and defaults["num_envs"] == 32
