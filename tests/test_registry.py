import copy
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ksim_cli.config.keys import key
from ksim_cli.errors import UserError
from ksim_cli.registry import Registry, convert, load_task, make, parameters, settable_fields


@dataclass(frozen=True)
class Thing:
    size: float
    names: tuple[str, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    kind: Literal["a", "b"] = "a"
    maybe: int | None = None
    table: dict[str, float] | float = 1.0
    share: float = key(0.5, "a share", least=0, most=1)
    index: int = field(default=0, metadata={"resolved": True})

    def __post_init__(self):
        if self.size < 0:
            raise ValueError("size: must not be negative")


@pytest.fixture
def things():
    registry = Registry("thing")
    registry.register("thing")(Thing)
    return registry


def test_a_section_becomes_a_component(things):
    built = things.build(
        {"type": "thing", "size": 2, "names": ["x"], "pair": [1, 2], "table": {"k": 3}}, "here"
    )
    assert built == Thing(2.0, ("x",), (1.0, 2.0), "a", None, {"k": 3.0})
    assert isinstance(built.size, float)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "thin", "size": 1}, "here.type: no thing 'thin'. Did you mean 'thing'"),
        ({"size": 1}, "here: a thing needs 'type'"),
        ("thing", "here: a thing needs 'type'"),
        ({"type": "thing"}, "here: needs size. Set here.size="),
        ({"type": "thing", "size": 1, "siz": 2}, "no parameter 'siz'. Did you mean 'size'"),
        ({"type": "thing", "size": 1, "index": 2}, "no parameter 'index'"),
        ({"type": "thing", "size": "big"}, "here.size=big: expected float, got str"),
        ({"type": "thing", "size": True}, "here.size=true: expected float, got bool"),
        ({"type": "thing", "size": 1, "maybe": True}, "here.maybe=true: expected int or null"),
        ({"type": "thing", "size": 1, "names": "x"}, "here.names=x: expected a list"),
        ({"type": "thing", "size": 1, "pair": [1]}, "expected a list of 2 values"),
        ({"type": "thing", "size": 1, "kind": "c"}, "here.kind=c: is not one of a, b"),
        ({"type": "thing", "size": 1, "table": {"k": "v"}}, "here.table.k=v: expected float"),
        ({"type": "thing", "size": 1, "table": "v"}, "here.table=v: expected dict"),
        ({"type": "thing", "size": None}, "here.size=null: expected float, got null"),
        ({"type": "thing", "size": 1, "share": 2}, "here.share=2.0: must be at most 1"),
        ({"type": ["thing"], "size": 1}, "here.type: no thing"),
        ({"type": None, "size": 1}, "here.type: no thing"),
        ({"type": "thing", "size": -1}, "here: size: must not be negative"),
    ],
)
def test_a_wrong_section_is_refused_with_its_path(things, section, message):
    with pytest.raises(UserError) as error:
        things.build(section, "here")
    assert message in str(error.value)


def test_a_name_is_registered_once(things):
    with pytest.raises(ValueError, match="'thing' is registered twice"):
        things.register("thing")(int)
    things.register("thing")(Thing)  # the same class again is no clash
    assert things.names() == ["thing"]


def test_settable_fields_are_those_yaml_may_give():
    assert list(settable_fields(Thing)) == [
        "size",
        "names",
        "pair",
        "kind",
        "maybe",
        "table",
        "share",
    ]
    assert make(Thing, {"size": 1}, "x").size == 1.0
    assert convert(3, float | None, "x") == 3.0


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


def test_parameters_are_shown_as_they_are_typed():
    assert parameters(Thing).startswith("size: float, names: tuple[str, ...] = (), ")
    assert "maybe: int | null = null" in parameters(Thing)


def test_a_section_is_not_changed_by_building(things):
    section = {"type": "thing", "size": 2, "names": ["x"], "table": {"k": 3}}
    before = copy.deepcopy(section)
    things.build(section, "here")
    assert section == before


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
