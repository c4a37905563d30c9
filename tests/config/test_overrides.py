import pytest

from ksim_cli.config.overrides import parse
from ksim_cli.errors import UserError


def overrides(*typed):
    return parse("train", list(typed)).overrides


def test_flags_and_overrides_are_told_apart():
    line = parse("train", ["-m", "task=cartpole", "--cfg", "job", "--info", "defaults", "seed=1"])
    assert line.flags == ["-m", "--cfg", "job", "--info", "defaults"]
    assert line.overrides == ["task=cartpole", "seed=1"]
    assert line.multirun and line.value("seed") == "1" and line.value("dt") is None
    assert line.without("seed").overrides == ["task=cartpole"]


def test_any_field_of_a_term_may_be_given():
    assert overrides("rewards.x.sigma=2", "~rewards.y", "+events.z.type=push") == [
        "++rewards.x.sigma=2",
        "~rewards.y",
        "+events.z.type=push",
    ]
    assert overrides("engine.impl=jax") == ["engine.impl=jax"]


def test_a_plus_before_a_key_that_exists_means_nothing():
    assert overrides("+seed=3", "++num_envs=4") == ["seed=3", "num_envs=4"]


def test_hydras_own_keys_and_groups_pass():
    typed = ["hydra.run.dir=x", "hydra/launcher=joblib", "task@_global_=cartpole"]
    assert overrides(*typed) == typed


@pytest.mark.parametrize("flag", ["--cfg", "-cd"])
def test_a_flag_without_its_value(flag):
    with pytest.raises(UserError, match="needs a value"):
        parse("train", [flag])
