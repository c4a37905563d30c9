"""Command lines of what looks at runs: runs first, then a few keys. Standard library only.

These commands train nothing and build nothing, so Hydra has no part in them.
"""

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ksim_cli.errors import UserError, nearest
from ksim_cli.option import option, refusal


@dataclass(frozen=True)
class ReportKeys:
    """Of the report."""

    out: str | None = option(
        None, "file to write; null: report.html in the run's folder, of several runs here", "path"
    )


@dataclass(frozen=True)
class PlotKeys:
    """Of the plots."""

    keys: list[str] = option(
        ["episode_return", "episode_length", "reward"], "scalars, or patterns such as reward/*"
    )
    x: str = option(
        "env_steps",
        "what they are drawn over",
        choices=("env_steps", "iteration", "wall_seconds"),
    )
    smooth: int = option(1, "points of a running mean", ge=1)
    height: int = option(14, "lines of a plot", ge=6, le=200)


LOOKING: dict[str, type] = {"report": ReportKeys, "plot": PlotKeys}
"""Command -> its keys."""

Keys = TypeVar("Keys", ReportKeys, PlotKeys)

_KEY = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)


def parse_looking(
    command: str, schema: type[Keys], arguments: Sequence[str]
) -> tuple[list[str], Keys]:
    """Runs and keys of a command line.

    Args:
        command: its name.
        schema: its keys.
        arguments: what was typed after it.

    Returns:
        The runs as they were typed, `latest` where none was, and the keys.

    Raises:
        UserError: a flag, a key that there is not, one given twice, or a value that is not allowed.
    """
    fields = {field.name: field for field in dataclasses.fields(schema)}
    runs: list[str] = []
    values: dict[str, Any] = {}
    for argument in arguments:
        found = None if os.path.exists(os.path.expanduser(argument)) else _KEY.fullmatch(argument)
        if found is None and argument.startswith("-"):
            raise UserError(f"no option '{argument}'. Keys are given without dashes: key=value")
        if found is None:
            runs.append(argument)
            continue
        name, text = found.groups()
        if name not in fields:
            raise UserError(
                f"no key '{name}'.{nearest(name, fields)}\n  keys: {', '.join(fields)};"
                f" see: ksim {command} --help"
            )
        if name in values:
            raise UserError(f"'{name}' is given twice. Keep one of them")
        values[name] = _value(fields[name], text)
    return runs or ["latest"], schema(**values)


def _value(field: "dataclasses.Field[Any]", text: str) -> Any:
    """The value that a text gives a key."""
    value: Any = text.strip("'\"")
    if field.type == "int" or field.type is int:
        if not re.fullmatch(r"[+-]?\d{1,9}", value):
            raise UserError(f"{field.name}={text}: is not a whole number")
        value = int(value)
    elif field.type == list[str]:
        value = [each.strip() for each in value.strip("[]").split(",") if each.strip()]
    elif value in ("", "null"):
        value = None
    if value in ([], None) and field.default is not None:
        raise UserError(f"{field.name}=: needs a value, as in {_example(field)}")
    if complaint := refusal(field, value):
        raise UserError(f"{field.name}={text}: {complaint}")
    return value


def _example(field: "dataclasses.Field[Any]") -> str:
    factory = field.default_factory
    default = field.default if factory is dataclasses.MISSING else factory()
    return f"{field.name}={','.join(default) if isinstance(default, list) else default}"
