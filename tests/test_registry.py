import copy
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ksim_cli.errors import UserError
from ksim_cli.option import option
from ksim_cli.registry import Registry, convert, make, parameters, settable_fields


@dataclass(frozen=True)
class Thing:
    size: float
    names: tuple[str, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    kind: Literal["a", "b"] = "a"
    maybe: int | None = None
    table: dict[str, float] | float = 1.0
    share: float = option(0.5, "a share", ge=0, le=1)
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
        (
            {"type": "thing", "size": 1, "table": "v"},
            "here.table=v: expected {str: float} or float",
        ),
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
    with pytest.raises(UserError, match="'thing' is registered twice"):
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


def test_parameters_are_shown_as_they_are_typed():
    assert parameters(Thing).startswith("size: float, names: [str, …] = [], ")
    assert "maybe: int | null = null" in parameters(Thing)


def test_a_section_is_not_changed_by_building(things):
    section = {"type": "thing", "size": 2, "names": ["x"], "table": {"k": 3}}
    before = copy.deepcopy(section)
    things.build(section, "here")
    assert section == before
