import dataclasses

import pytest
import yaml

from ksim_cli.config.saved import MAX_BYTES, read_config, write_config
from ksim_cli.errors import UserError
from tests.helpers import run_config


def test_what_was_written_comes_back(tmp_path):
    config = run_config("task=cartpole", "seed=7")
    write_config(config, tmp_path / "config.yaml")
    saved = read_config(tmp_path / "config.yaml")
    values = dataclasses.asdict(config)
    for name in saved:
        assert saved[name] == values[name], name
    assert set(values) - set(saved) == {
        *("checkpoint", "resume", "run_dir", "policy", "run_model_viewer", "collect_dataset")
    }
    assert not list(tmp_path.glob("*.tmp"))


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
        ("#" + "x" * MAX_BYTES, "larger than"),
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
    path.write_text(yaml.safe_dump({"seed": 3, "from_the_future": 1, "hydra": {"x": 1}}))
    assert read_config(path) == {"seed": 3}
    assert "from_the_future, hydra" in capsys.readouterr().err
