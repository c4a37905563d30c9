import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ksim_cli.config import schema
from ksim_cli.config.overrides import parse
from ksim_cli.config.typed import MAX_DEPTH, MAX_OVERRIDES, split_choices, unquoted
from ksim_cli.errors import UserError

PATHS = (
    *("out/lr=0.1/checkpoints/1", "a b", "a,b", "[x]", "{x}", "(1)", "it's", 'say "x"', "müde/雪"),
    *("a:b", "#1", "a\\", "a\\'b", "100%", "x;y", "null.d", "1", "a&b", "*"),
)

KEYS = (*schema.PATHS, "dump", "resets.m.path", "commands.own.path")


def read(override):
    """What Hydra reads."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    return parsed


def value(*typed):
    (override,) = [o for o in parse("train", list(typed)).overrides if not o.startswith("task=")]
    return read(override).value()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", sorted({*KEYS}))
def test_any_text_passes_as_a_path_without_quotes(key, path):
    if key.endswith(".path") and re.match(r"[\[{]|1$", path):
        return  # a term's may be numbers
    command = "retarget" if key in ("motion_model", "out") else "train"
    line = parse(command, [f"{key}={path}"])
    assert read(line.overrides[0]).value() == line.value(key) == path
    again = line.replace(key, path)
    assert read(again.overrides[0]).value() == again.value(key) == path


def test_numbers_of_a_term_stay_numbers():
    assert value("commands.own.path=[[0,1],[2,3]]") == [[0, 1], [2, 3]]
    assert value("commands.own.path=-1.5") == -1.5
    assert value("resets.m.path=null") is None
    (override,) = parse("train", ["resets.*_x.path=a=b.npz"]).overrides
    assert read(override).value() == {"*_x": {"path": "a=b.npz"}}
    (override,) = parse("train", ["-m", "resets.m.path=a=1,b=2"]).overrides
    assert read(override).is_sweep_override()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_may_be_quoted_for_hydra_all_the_same(path):
    line = parse("train", ["seed=1"]).replace("task.model", path)
    assert parse("train", line.overrides).overrides == line.overrides


def test_home_and_the_values_of_other_keys_in_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert value("checkpoint=~/my runs") == f"{tmp_path}/my runs"
    assert value("run_dir=out/${seed}") == "out/${seed}"
    (tmp_path / "${seed}").mkdir()
    assert parse("eval", [f"checkpoint={tmp_path}/${{seed}}"]).value("checkpoint") == (
        f"{tmp_path}/${{seed}}"
    )
    assert value("checkpoint=null") is None


def test_a_sweep_over_paths(project):
    override = parse("train", ["-m", "task.model=a=1.xml,b[2].xml"]).overrides[0]
    assert read(override).is_sweep_override()
    assert split_choices(override.partition("=")[2]) == ["'a=1.xml'", "'b[2].xml'"]
    assert not read(parse("train", ["task.model=a,b"]).overrides[0]).is_sweep_override()
    (project / "a,b").write_text("")
    assert not read(parse("train", ["-m", "task.model=a,b"]).overrides[0]).is_sweep_override()
    override = parse("train", ["-m", "run_dir=choice(a,b)"]).overrides[0]
    assert override == "run_dir=choice(a,b)"


@pytest.mark.parametrize(
    ("typed", "key", "wanted"),
    [
        ("joints.*_knee.kp=100", "joints", {"*_knee": {"kp": 100}}),
        ("joints.*_knee=null", "joints", {"*_knee": {"_removed_": True}}),
        ("~joints.*_knee", "joints", {"*_knee": {"_removed_": True}}),
        ("actuators.all.gear_ratio.*_x=2.5", "actuators.all.gear_ratio", {"*_x": 2.5}),
        ("joints.*.range=[-1,1]", "joints", {"*": {"range": [-1, 1]}}),
        ("joints.a?[bc].kp=1", "joints", {"a?[bc]": {"kp": 1}}),
        ("joints.left knee.kp=1", "joints", {"left knee": {"kp": 1}}),
        ("rewards.*_x.scale={a:1}", "rewards", {"*_x": {"scale": {"a": 1}}}),
    ],
)
def test_patterns_in_keys_need_no_quotes(typed, key, wanted):
    (override,) = parse("train", [typed]).overrides
    assert read(override).key_or_group == key and read(override).value() == wanted


def test_a_sweep_over_the_field_of_a_pattern():
    override = parse("train", ["-m", "joints.*_knee.kp=1,2"]).overrides[0]
    assert override == "joints={*_knee:{kp:1}},{*_knee:{kp:2}}"
    with pytest.raises(UserError, match=r"Write its values out: joints\.\*_knee\.kp=1,2"):
        parse("train", ["-m", "joints.*_knee.kp=range(1,3)"])


def test_an_entry_set_to_null_is_taken_out():
    assert parse("train", ["rewards.x=null", "~events.y"]).overrides == ["~rewards.x", "~events.y"]
    assert parse("train", ["rewards.x.scale=null"]).overrides == ["rewards.x.scale=null"]
    with pytest.raises(UserError, match="a pattern can be removed as an entry only"):
        parse("train", ["~actuators.all.gear_ratio.*_x"])


def test_no_key_carries_a_plus():
    typed = ["rewards.x.weight=1", "+algo.gamma=1", "++model.mine=2", "joints.*_x.kp=1"]
    assert not [o for o in parse("train", typed).overrides if "+" in o]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["seed=" + "[" * (MAX_DEPTH + 1)], f"brackets in brackets {MAX_DEPTH + 1} deep"),
        (["seed=" + "[" * 5000 + "]" * 5000], "brackets in brackets|characters"),
        (["rewards={" + ",".join(f"a{i}:1" for i in range(60_000)) + "}"], "Put it into a file"),
        ([f"rewards.a{i}.weight=1" for i in range(MAX_OVERRIDES + 1)], "Put them into a file"),
    ],
)
def test_what_would_be_read_for_minutes_is_refused(typed, message):
    with pytest.raises(UserError, match=message) as error:
        parse("train", typed)
    assert len(str(error.value)) < 300


def test_what_is_not_quoted_stays():
    assert unquoted("a'b") == "a'b" and unquoted("'a") == "'a" and unquoted("") == ""
