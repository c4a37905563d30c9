"""Models that a run names; who vouches for them."""

import dataclasses
from pathlib import Path

import pytest

from ksim_cli.errors import UserError
from ksim_cli.run import strangers
from tests.helpers import run_config


def config(model: str):
    base = run_config("task=cartpole")
    return dataclasses.replace(base, task=dataclasses.replace(base.task, model=model))


@pytest.fixture
def tried(project, monkeypatch) -> list[Path]:
    """What is compiled apart; a project around it with a model in it, and one beside it."""
    for name in ("outside.xml", "tasks/cartpole/mine.xml", "robots/mine.xml"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("<mujoco/>")
    files: list[Path] = []
    monkeypatch.setattr(strangers, "try_model", files.append)
    return files


@pytest.mark.parametrize(
    ("model", "apart"),
    [
        ("", False),
        ("mine.xml", False),
        ("nowhere.xml", False),
        ("tasks/cartpole/mine.xml", False),
        ("../../robots/mine.xml", True),
        ("{}/tasks/cartpole/mine.xml", False),
        ("{}/robots/mine.xml", True),
        ("{}/outside.xml", True),
        ("{}/tasks/../outside.xml", True),
        ("/etc/passwd", True),
    ],
)
def test_a_runs_model_from_outside_tasks_is_compiled_apart(project, tried, model, apart):
    strangers.try_model_of_run(config(model.format(project)))
    assert bool(tried) == apart


def test_the_message_says_whence_the_model_comes(project):
    (project / "tasks").mkdir()
    (project / "bad.xml").write_text("<mujoco><oops/></mujoco>")
    with pytest.raises(UserError, match="unrecognized element") as caught:
        strangers.try_model_of_run(config(f"{project}/bad.xml"))
    assert f"type task.model={project}/bad.xml" in str(caught.value)
