import dataclasses
from dataclasses import dataclass

import pytest

from ksim_cli.option import option, refusal


@dataclass(frozen=True)
class Keys:
    share: float = option(0.5, "a share", ge=0, lt=1)
    size: float = option(1.0, "a size", unit="m", gt=0, le=10)
    kind: str | None = option(None, "a kind", choices=("apple", "pear"))
    table: dict = option({}, "a table")
    widths: list[int] | None = option(None, "widths", ge=1)
    plain: float = 0.0


FIELDS = {field.name: field for field in dataclasses.fields(Keys)}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("share", 0.0, None),
        ("share", 1.0, "must be below 1"),
        ("share", -0.1, "must be at least 0"),
        ("size", 0, "must be above 0"),
        ("size", 10, None),
        ("size", 10.5, "must be at most 10"),
        ("size", float("nan"), "must be finite"),
        ("size", float("-inf"), "must be finite"),
        ("kind", None, None),
        ("kind", "pear", None),
        ("kind", "peer", "is not one of apple, pear. Did you mean 'pear'?"),
        ("table", {"a": -1}, None),
        ("widths", [3, 1], None),
        ("widths", [], None),
        ("widths", [3, 0], "must be at least 1"),
        ("plain", float("inf"), None),
    ],
)
def test_limits(name, value, why):
    assert refusal(FIELDS[name], value) == why


def test_each_instance_has_its_own_table():
    assert Keys().table is not Keys().table
