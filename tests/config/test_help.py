import dataclasses

import pytest

from ksim_cli.cli import main
from ksim_cli.config.aliases import ALIASES, MEANINGS, RUN_MODES
from ksim_cli.config.components import RetargetConfig
from ksim_cli.config.help import COMMANDS, command_help, list_text, main_help
from ksim_cli.config.looking import LOOKING


def test_every_command_is_in_the_help_and_has_its_own():
    text = main_help()
    for name in COMMANDS:
        assert name in text
    for name in ("train", "eval", "view", "collect", "retarget"):
        assert command_help(name).startswith(f"ksim {name}: ")


@pytest.mark.parametrize(("command", "schema"), LOOKING.items())
def test_what_looks_at_runs_names_its_own_keys_only(project, command, schema, capsys):
    for typed in ((), ("task=cartpole",)):
        assert main([command, *typed, "--help"]) == 0
        text = capsys.readouterr().out
        assert "[RUN ...]" in text and "latest" in text and "num_envs" not in text
        assert all(f"  {field.name}=" in text for field in dataclasses.fields(schema))


def test_the_help_of_retarget_begins_with_its_own_keys():
    text = command_help("retarget")
    for field in dataclasses.fields(RetargetConfig):
        assert text.count(f"  retarget.{field.name}=") == 1
    assert text.count("  out=") == text.count("  motion_model=") == 1
    assert text.index("  out=") < text.index("  retarget.points=") < text.index("  num_envs=")
    assert "  retarget.points=" in command_help("train")


def test_the_list_may_be_narrowed(project):
    assert list_text(["engine"]).splitlines()[0] == "engine:"
    assert "task:" not in list_text(["engine"])
    assert "task:" in list_text([])


def test_the_help_beside_a_task_shows_its_values(project, capsys):
    assert main(["train", "task=humanoid", "model=gru", "num_envs=8", "-m", "--help"]) == 0
    text = capsys.readouterr().out
    for part in ("num_envs=8 ", "batch_size=8 ", "algo.gamma=0.98 ", "model.hidden_size=128 "):
        assert part in text
    assert "model.num_layers=1" in text and "model.num_hidden_layers" not in text
    assert "optimizer.learning_rate=0.001 " in text
    assert main(["train", "task=humanod", "--help"]) == 2
    assert "Did you mean 'humanoid'" in capsys.readouterr().err
    assert not (project / "runs").exists()


def test_old_names_stand_beside_the_new():
    text = " ".join(command_help("train").split())
    assert "seed=0 root of every random number (also random_seed)" in text
    apart = {old: new for old, new in ALIASES.items() if not new.endswith(f".{old}")}
    modes = [f"run_mode={mode}" for mode, typed in RUN_MODES.items() if typed]
    for old in (*apart, *MEANINGS, *modes):
        assert f"{old})" in text or f"{old}," in text, old
    assert "typed without `algo.` too" in text and "(also clip_param" not in text
