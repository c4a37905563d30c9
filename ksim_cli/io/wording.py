"""How numbers, durations and progress read; nothing here knows where they are shown."""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

SHOWN = ("*return*", "*episode_length*", "*success*", "*loss*", "*entropy*", "*kl*")
"""Names that a progress display shows, in this order."""

_MOST_CELLS = 9
_CLOCK = ("*_seconds", "*_per_second")
_COUNTERS = ("iteration", "env_steps")
_WINDOW_SECONDS = 20.0


def value(cell: Any) -> str:
    """A cell of a table or a scalar: about four digits, `-` for None."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if not isinstance(cell, str) and hasattr(cell, "item"):  # a scalar of numpy or jax
        return value(cell.item())
    if not isinstance(cell, float):
        return str(cell)
    if not math.isfinite(cell):
        return str(cell)
    size = abs(cell)
    if size == 0 or 1e-3 <= size < 1e6:
        digits = 0 if size >= 1e4 else 1 if size >= 100 else 2 if size >= 10 else 3
        return f"{cell:,.{digits}f}"
    return f"{cell:.2e}"


def rate(per_second: float) -> str:
    """Steps a second: `85.1k/s`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= limit:
            return f"{per_second / limit:.1f}{unit}/s"
    return f"{per_second:.1f}/s"


def count(steps: int) -> str:
    """Many steps, shortened: `950`, `85.1k`, `3.00M`, `1.20G`."""
    for limit, unit, digits in ((1_000_000_000, "G", 2), (1_000_000, "M", 2), (1000, "k", 1)):
        if steps >= limit:
            return f"{steps / limit:.{digits}f}{unit}"
    return str(steps)


def seconds(duration: float) -> str:
    """A duration: `0.3 s`, `42 s`, `3:05 min`, `2:14:09 h`."""
    if duration < 10:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def pick(row: Mapping[str, Any], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Names and values of `row` to show: those that fit a pattern, in the patterns' order."""
    scalars = {
        name: item
        for name, item in row.items()
        if name not in _COUNTERS and not any(fnmatchcase(name, clock) for clock in _CLOCK)
    }
    names = [name for pattern in patterns for name in scalars if fnmatchcase(name, pattern)]
    chosen = list(dict.fromkeys(names or scalars))[:_MOST_CELLS]
    return [(name.replace("_", " "), value(scalars[name])) for name in chosen]


def columns(cells: Sequence[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """`cells` in lines of columns that stay in place, as many as `width` characters hold."""
    if not cells:
        return []
    name_width = max(len(name) for name, _ in cells)
    value_width = max(8, *(len(text) for _, text in cells))
    padded = [(f"{name:<{name_width}}", f"{text:>{value_width}}") for name, text in cells]
    across = max(1, (width - 2) // (name_width + value_width + 4))
    return [padded[start : start + across] for start in range(0, len(padded), across)]


def table(
    title: str, names: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> list[str]:
    """A table as plain lines; the columns marked in `right` are aligned to the right."""
    rows = [list(names), *map(list, cells)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    lines = [title] if title else []
    for row in rows:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append(("  " + "  ".join(padded)).rstrip())
    return lines


class Meter:
    """Share done, rate and time left, over the last seconds."""

    def __init__(self, done: int, total: int | None) -> None:
        """Start at `done` of `total` steps, now; None has no end."""
        self.steps = done
        self.total = total
        self._samples = deque([(time.monotonic(), done)])
        self._updates = 0

    def add(self, steps: int) -> None:
        """Take the number of steps that are done now."""
        now = time.monotonic()
        self.steps = steps
        self._samples.append((now, steps))
        self._updates += 1
        if self._updates == 2:
            self._samples.popleft()  # the first interval may hold compilation
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()

    def per_second(self) -> float | None:
        """Steps a second over the last seconds; None before the first of them."""
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def parts(self) -> list[str]:
        """The state in words: share, steps, rate, time left (those that are known)."""
        share = f"{self.share():3.0%}" if self.total else "..."
        goal = f"/{count(self.total)}" if self.total else ""
        words = [share, f"{count(self.steps)}{goal} steps"]
        speed = self.per_second()
        if speed is not None:
            words.append(rate(speed))
            if self.total:
                words.append(f"ETA {seconds(max(self.total - self.steps, 0) / speed)}")
        return words

    def share(self) -> float:
        """Share of the whole that is done, at most 1."""
        return min(self.steps / self.total, 1.0) if self.total else 0.0
