import dataclasses

import pytest

from ksim_cli.config.saved import MAX_BYTES, config_text, hashes_of, read_config, sealed
from ksim_cli.errors import UserError
from tests.helpers import run_config


def test_what_was_written_comes_back(tmp_path):
    config = run_config("task=cartpole", "seed=7")
    (tmp_path / "config.yaml").write_text(config_text(config), encoding="utf-8")
    saved = read_config(tmp_path / "config.yaml")
    values = dataclasses.asdict(config)
    for name in saved:
        assert saved[name] == values[name], name
    assert set(values) - set(saved) == {
        *("checkpoint", "resume", "run_dir", "policy", "run_model_viewer", "collect_dataset"),
        *("dataset_save_path", "checkpoint_seed", "num_devices", "dump", "dataset"),
        *("viewer", "viewer_host", "viewer_port"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rewards: {x: {_target_: os.system}}", "'_target_' is not allowed"),
        ("hydra: {callbacks: {x: {_target_: os.system}}}", "'_target_' is not allowed"),
        ("seed: ${oc.env:SECRET}", "is not allowed"),
        ("render_lookat: [1, '${now:x}']", "is not allowed"),
        ("run_dir: ???", "is not allowed"),
        ("a: &x [1]\nb: *x", "anchors, aliases and tags"),
        ("a: !!python/object/apply:os.system [ls]", "anchors, aliases and tags"),
        ("- 1\n- 2", "not a config that ksim wrote"),
        ("a: [1", "line"),
        ("a: 2026-01-02", "is a date"),
        ("rewards: {1: {type: x}}", "key '1' is not allowed"),
        ("rewards: {'${x}': {type: x}}", "is not allowed"),
        ("? [a]\n: 1", "unhashable"),
        ("a: " + "[" * 3000, "more than 32 deep"),
        ("", "not a config that ksim wrote"),
        ("#" + "x" * MAX_BYTES, "larger than"),
        (f"seed: {'9' * 5000}", "4300 digits"),
        ("task: {name: ../../../x}", "task.name: '../../../x' is no plain name"),
        ("task: {name: /x}", "no plain name"),
        ("task: {name: a//x}", "no plain name"),
        ("task: {name: 'a\\x'}", "no plain name"),
        ("task: {name: '..'}", "no plain name"),
        ("task: {type: ../x}", "task.type"),
        ("task: {extends: [a, ../x]}", "task.extends"),
        ("rewards: {../x: {type: a}}", "rewards.../x"),
        ("observations: {/etc/x: {type: a}}", "no plain name"),
    ],
)
def test_nothing_but_plain_data_is_read(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_config(path)
    assert message in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_config(tmp_path / "config.yaml")


def test_unknown_keys_are_left_out_and_said(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(sealed("seed: 3\nfrom_the_future: 1\nhydra: {x: 1}\n"))
    assert read_config(path) == {"seed": 3}
    assert "from_the_future, hydra" in capsys.readouterr().err


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"config.yaml: .*decode"):
        read_config(tmp_path / "config.yaml")


def test_a_strangers_config_does_not_choose_where_things_are_written(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    text = "seed: 1\nrun_dir: /x\ndataset_save_path: /x\nresume: x\ncheckpoint: x\npolicy: zero\n"
    path.write_text(sealed(text))
    assert read_config(path) == {"seed": 1}
    assert "dataset_save_path" in capsys.readouterr().err


def test_fields_of_components_that_went_away_are_left_out_too(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    text = "algo: {type: ppo, gamma: 0.9, gone: 1}\nmodel: {type: mine, x: 1}\nengine: {warp: 1}\n"
    path.write_text(sealed(text))
    assert read_config(path) == {
        "algo": {"type": "ppo", "gamma": 0.9},
        "model": {"type": "mine", "x": 1},
        "engine": {},
    }
    assert "algo.gone, engine.warp" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("gamma: 0.99", "gamma: 0.19"),
        lambda text: text + "seed: 1\n",
        lambda text: "\n".join(text.split("\n")[:-2]) + "\n",  # the seal itself
        lambda text: text[: text.index("algo:") + 5] + "\n",
        lambda text: text.replace("# SHA", "#  SHA"),
    ],
)
def test_what_was_changed_or_cut_since_it_was_written_is_refused(tmp_path, change):
    text = config_text(run_config("task=cartpole"))
    changed = change(text)
    assert changed != text
    (tmp_path / "config.yaml").write_text(changed)
    with pytest.raises(UserError, match="was changed, or cut off, since ksim wrote it"):
        read_config(tmp_path / "config.yaml")


def test_a_config_knows_those_it_replaced(tmp_path):
    first = config_text(run_config("task=cartpole"))
    second = config_text(run_config("task=cartpole", "seed=1"), hashes_of(first))
    third = config_text(run_config("task=cartpole", "seed=2"), hashes_of(second))
    assert len(hashes_of(first)) == 1 and hashes_of(second)[0] == hashes_of(first)[0]
    assert hashes_of(third)[:2] == hashes_of(second) and len(set(hashes_of(third))) == 3
    (tmp_path / "config.yaml").write_text(third)
    assert read_config(tmp_path / "config.yaml")["seed"] == 2
