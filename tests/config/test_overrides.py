import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ksim_cli.config.overrides import parse
from ksim_cli.errors import UserError


def overrides(*typed):
    return parse("train", list(typed)).overrides


def test_flags_and_overrides_are_told_apart():
    line = parse("train", ["-m", "task=cartpole", "-p", "x", "--info", "defaults", "seed=1"])
    assert line.flags == ["-m", "-p", "x", "--info", "defaults"]
    assert line.overrides == ["task=cartpole", "seed=1"]
    assert line.multirun and line.value("seed") == "1" and line.value("dt") is None
    assert line.without("seed").overrides == ["task=cartpole"]


def test_any_field_of_a_term_may_be_given():
    assert overrides("rewards.x.sigma=2", "~rewards.y.z", "+events.z.type=push") == [
        "rewards.x.sigma=2",
        "~rewards.y.z",
        "events.z.type=push",
    ]
    assert overrides("rewards.x.weight=1,2", "-m")[0] == "rewards.x.weight=1,2"
    assert overrides("engine.impl=jax") == ["engine.impl=jax"]


def test_any_field_of_a_component_may_be_given_for_its_type_may_be_a_users_own():
    assert overrides("algo.mine=2") == ["algo.mine=2"]


def test_a_plus_before_a_key_that_exists_means_nothing():
    assert overrides("+seed=3", "++num_envs=4") == ["seed=3", "num_envs=4"]


def test_hydras_own_keys_and_groups_pass():
    typed = ["hydra.sweep.subdir=x", "hydra/launcher=joblib", "task@_global_=cartpole"]
    assert overrides(*typed) == typed


def test_a_bare_info_shows_all_and_swallows_nothing():
    line = parse("train", ["--info", "task=cartpole", "-i"])
    assert line.flags == ["--info", "all", "-i", "all"]


def test_an_optional_group_may_be_left_empty_and_a_needed_one_not():
    assert overrides("experiment=null") == []
    with pytest.raises(UserError, match=r"algo=null: needs an option\n  algo: .*ppo"):
        overrides("algo=null")


@pytest.mark.parametrize("value", ["runs/a b", "it's", "a\\", "a\\'b", "x=1,y", "(1)", "{a}", "[b"])
def test_any_path_can_be_written_into_an_override(value):
    line = parse("train", ["resume=x", "seed=1"]).replace("resume", value)
    assert line.overrides[0] == "seed=1"
    (parsed,) = OverridesParser.create().parse_overrides(line.overrides[1:])
    assert parsed.value() == value


def test_null_is_no_value():
    line = parse("train", ["checkpoint=null", "resume='a b'"])
    assert line.value("checkpoint") is None and line.value("resume") == "a b"


@pytest.mark.parametrize("flag", ["--cfg", "-cd"])
def test_a_flag_without_its_value(flag):
    with pytest.raises(UserError, match="needs a value"):
        parse("train", [flag])
