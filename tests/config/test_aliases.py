import dataclasses

import pytest

from ksim_cli.config.aliases import ALIASES, ALIASES_OF_TRAIN, RUN_MODES
from ksim_cli.config.components import (
    AMPConfig,
    DistillConfig,
    EngineConfig,
    MotionConfig,
    OptimizerConfig,
)
from ksim_cli.config.overrides import parse
from ksim_cli.config.schema import RunConfig


@pytest.mark.parametrize("old", sorted(ALIASES))
def test_an_old_name_leads_to_a_key_that_exists_and_says_so(old, capsys):
    new = (ALIASES | ALIASES_OF_TRAIN)[old]
    line = parse("train", [f"{old}=1"])
    assert line.value(new) == "1" and len(line.overrides) == 1
    assert f"'{old}' is called '{new}' now" in capsys.readouterr().err
    first, _, rest = new.partition(".")
    algo = DistillConfig if rest in vars(DistillConfig()) else AMPConfig
    schemas = {"algo": algo, "optimizer": OptimizerConfig, "engine": EngineConfig}
    schemas["motion"] = MotionConfig
    schema = schemas.get(first)
    names = [f.name for f in dataclasses.fields(schema or RunConfig)]
    assert (rest or first) in names


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("train", "init_from"),
        ("eval", "checkpoint"),
        ("train run_model_viewer=True", "checkpoint"),
        ("train run_mode=collect_dataset", "checkpoint"),
    ],
)
def test_a_checkpoint_to_load_is_what_training_begins_from_and_what_acts(typed, key):
    command, *more = typed.split(" ")
    line = parse(command, [*more, "load_from_ckpt_path=runs/x"])
    assert line.value(key) == "runs/x"


def test_an_old_name_is_never_a_key_of_today():
    assert not set(ALIASES) & {f.name for f in dataclasses.fields(RunConfig)}


def test_a_largest_latency_is_short_for_a_range(capsys):
    overrides = parse("train", ["max_action_latency=0.03"]).overrides
    assert overrides == ["engine.action_latency_range=[0,0.03]"]
    assert "engine.action_latency_range=[0,0.03] now" in capsys.readouterr().err


def test_a_logger_and_its_project_are_asked_for_by_their_old_names(capsys):
    typed = ["logger_backend=wandb", "wandb_project=robots"]
    assert parse("train", typed).overrides == ["logger=wandb", "logger.wandb_project=robots"]
    assert capsys.readouterr().err.count(" now") == 2


def test_run_modes(capsys):
    assert parse("train", ["run_mode=view"]).overrides == ["run_model_viewer=true"]
    assert parse("train", ["run_mode=train"]).overrides == []
    assert set(RUN_MODES) == {"train", "view", "view_motion", "collect_dataset"}
