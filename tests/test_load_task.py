from contextlib import nullcontext

import pytest

from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task
from ksim_cli.own_code import explain_own
from ksim_cli.registry import TASKS


def test_tasks_are_loaded_by_name(project):
    assert load_task("cartpole").__name__ == "CartPole"
    assert load_task("task").__name__ == "Task"
    with pytest.raises(UserError, match=r"no task 'cartpol'. Did you mean 'cartpole'"):
        load_task("cartpol")


def test_a_users_task_comes_first_and_a_broken_neighbour_does_no_harm(project):
    (project / "tasks").mkdir()
    (project / "tasks" / "broken.py").write_text("syntax error here\n")
    (project / "tasks" / "mine.py").write_text(
        "from ksim_cli.registry import TASKS\nfrom . import shared\n"
        "@TASKS.register('mine')\nclass Mine:\n    word = shared.WORD\n"
    )
    (project / "tasks" / "shared.py").write_text("WORD = 'shared'\n")
    assert load_task("mine").word == "shared"


@pytest.mark.parametrize("name", ["../evil", "a.b", "", "a b", "1st", "os/path"])
def test_a_task_is_named_by_a_file_in_tasks_and_nothing_else(project, name):
    (project / "tasks").mkdir()
    (project / "evil.py").write_text("raise RuntimeError('must not be run')\n")
    with pytest.raises(UserError, match="cannot be a task"):
        load_task(name)


def test_a_file_that_registers_nothing_is_told_what_to_register(project):
    (project / "tasks").mkdir()
    (project / "tasks" / "empty.py").write_text("")
    with pytest.raises(UserError, match=r"empty.py: registers no task 'empty'. Put @TASKS"):
        load_task("empty")


def test_a_broken_package_is_an_error_each_time(project):
    (project / "tasks").mkdir()
    (project / "tasks" / "__init__.py").write_text("raise RuntimeError('broken')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            load_task("cartpole")


def test_another_tasks_package_does_not_get_in_the_way(project, monkeypatch):
    (project / "elsewhere" / "tasks").mkdir(parents=True)
    (project / "elsewhere" / "tasks" / "__init__.py").write_text("raise RuntimeError('not this')\n")
    monkeypatch.syspath_prepend(str(project / "elsewhere"))
    (project / "tasks").mkdir()
    (project / "tasks" / "here.py").write_text(
        "from ksim_cli.registry import TASKS\n@TASKS.register('here')\nclass Here: pass\n"
    )
    assert load_task("here").__module__ == "tasks.here"


def test_a_file_that_stands_before_a_built_in_task_is_named_once(project, capsys):
    (project / "tasks").mkdir()
    own = project / "tasks" / "quadruped.py"
    own.write_text("")  # what registers it is built in, and loaded already or not
    for _ in range(2):
        with pytest.raises(UserError) if "quadruped" not in TASKS.names() else nullcontext():
            load_task("quadruped")
    said = f"ksim: task quadruped: {own} is imported, not the built-in\n"
    assert capsys.readouterr().err == said
    load_task("cartpole")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef (", "mine.py:2: SyntaxError: invalid syntax"),
        (
            "import nothing_there",
            "mine.py:1: ModuleNotFoundError: No module named 'nothing_there'",
        ),
        ("from . import helper", "helper.py:2: ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_imported_is_told_by_its_place(project, text, message):
    (project / "tasks").mkdir()
    (project / "tasks" / "mine.py").write_text(text)
    (project / "tasks" / "helper.py").write_text("\n1 / 0\n")
    with pytest.raises((SyntaxError, ImportError, ZeroDivisionError)) as raised:
        load_task("mine")
    assert message in explain_own(raised.value)
