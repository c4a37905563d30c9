"""Text forms of numbers, durations and rows of scalars."""

import math
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MOST_CELLS = 9
_NOT_SHOWN = ("iteration", "env_steps", "*_seconds", "*_per_second")


def value(cell: Any) -> str:
    """Text of a table's cell or a scalar: about four digits, `-` for None."""
    if hasattr(cell, "item"):  # a scalar of numpy or jax
        cell = cell.item()
    if cell is None or isinstance(cell, bool):
        return {None: "-", True: "yes", False: "no"}[cell]
    if isinstance(cell, int):
        return f"{cell:,}"
    if not isinstance(cell, float) or not math.isfinite(cell):
        return str(cell)
    size = abs(cell)
    if size and not 1e-3 <= size < 1e6:
        return f"{cell:.2e}"
    return f"{cell:,.{max(0, 4 - len(str(int(size))))}f}"


def count(number: float) -> str:
    """Text of a large number, shortened: `950`, `85.1k`, `3.00M`, `1.20G`."""
    for limit, unit, digits in ((1e9, "G", 2), (1e6, "M", 2), (1e3, "k", 1)):
        if number >= limit:
            return f"{number / limit:.{digits}f}{unit}"
    return str(number) if isinstance(number, int) else f"{number:.1f}"


def seconds(duration: float) -> str:
    """Text of a duration: `0.3 s`, `42 s`, `3:05 min`, `2:14:09 h`."""
    if duration < 10:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def pick(row: Mapping[str, Any], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Names and texts of the scalars to show: those that fit a pattern, in the patterns' order.

    Args:
        row: name -> scalar; counters and clock fields are never shown.
        patterns: globs of names; where none fits, every scalar is shown.
    """
    names = [name for name in row if not any(fnmatchcase(name, each) for each in _NOT_SHOWN)]
    chosen = [name for pattern in patterns for name in names if fnmatchcase(name, pattern)]
    shown = list(dict.fromkeys(chosen or names))[:_MOST_CELLS]
    return [(name.replace("_", " "), value(row[name])) for name in shown]


def clean(text: str) -> str:
    """`text` without what no terminal shows, which a name from a file could smuggle in."""
    return _CONTROL.sub("", text)


def label(name: str, longest: int) -> str:
    """A name in one line; of a long one the end is kept, which tells runs and terms apart."""
    name = " ".join(clean(name).split())
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
