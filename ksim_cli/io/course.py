"""The course of a run's scalars, in few points however long the run is (standard library only).

What is read may come from a stranger: the memory it takes is bounded, whatever is in the file.
"""

import json
import math
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ksim_cli.io.files import open_to_read

MOST_POINTS = 600
MOST_NAMES = 500
"""Scalars of a row that are kept, the first that come."""

_LONGEST_NAME = 200
LARGEST = 1e100
"""Larger values are left out: sums of them, and the axes of a plot, would be infinite."""

_LONGEST_LINE = 1_000_000
MOST_BYTES = 4_000_000_000
"""Of a file of rows, as far as it is read; a run of a million iterations is half as large."""


class Course:
    """Scalars over a run. Where more rows come than there is room for, neighbours are averaged.

    Args:
        most_points: room for points; an even number.
    """

    def __init__(self, most_points: int = MOST_POINTS) -> None:
        self._most = most_points
        self._rows_each = 1  # rows that a point is the mean of
        self._points = self._pending = 0  # points begun, and rows in the last of them
        self._sums: dict[str, array[float]] = {}
        self._counts: dict[str, array[int]] = {}
        self.last: dict[str, float] = {}
        """Newest value of each scalar."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row; what is no finite number of a usual size counts as not measured."""
        if self._points == 0 or self._pending == self._rows_each:
            if self._points == self._most:
                self._halve()
            self._points, self._pending = self._points + 1, 0
        self._pending += 1
        at = self._points - 1
        for name, value in row.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            if not -LARGEST < value < LARGEST:  # NaN neither
                continue
            sums = self._sums.get(name) or self._begin(name)
            if sums is None:
                continue
            if len(sums) < self._points:
                self._pad(name)
            sums[at] += value
            self._counts[name][at] += 1
            self.last[name] = float(value)

    @property
    def names(self) -> list[str]:
        """Scalars that were measured at least once, in the order they came."""
        return list(self._sums)

    def points(self, name: str, over: str = "env_steps") -> tuple[list[float], list[float]]:
        """Where a scalar was measured, and what it was there; nothing where it is unknown.

        Args:
            name: of the scalar.
            over: of another, which grows over the run.
        """
        if name not in self._sums or over not in self._sums:
            return [], []
        at, values = self._means(over), self._means(name)
        pairs = [(x, y) for x, y in zip(at, values, strict=False) if x == x and y == y]
        return [x for x, _ in pairs], [y for _, y in pairs]

    def _means(self, name: str) -> list[float]:
        each = zip(self._sums[name], self._counts[name], strict=True)
        return [total / count if count else math.nan for total, count in each]

    def _begin(self, name: str) -> "array[float] | None":
        """Room for one more scalar; None: there is none."""
        if len(self._sums) >= MOST_NAMES or len(name) > _LONGEST_NAME:
            return None
        self._sums[name], self._counts[name] = array("d"), array("I")
        self._pad(name)
        return self._sums[name]

    def _pad(self, name: str) -> None:
        missing = self._points - len(self._sums[name])
        self._sums[name].extend([0.0] * missing)
        self._counts[name].extend([0] * missing)

    def _halve(self) -> None:
        """Make one point of every two."""
        for name in self._sums:
            self._pad(name)
            for kept in (self._sums, self._counts):
                whole: Any = kept[name]
                pairs = zip(whole[::2], whole[1::2], strict=True)
                kept[name] = array(whole.typecode, map(sum, pairs))
        self._points //= 2
        self._rows_each *= 2


def read_course(path: Path, most_points: int = MOST_POINTS) -> tuple[Course, str]:
    """The course that a file of rows, such as metrics.jsonl, tells, and what is wrong with it.

    Args:
        path: the file; what is not there is an empty course.
        most_points: room for points.

    Returns:
        The course up to the first line that is no row, and a sentence where there is such a line,
        else nothing. A last line that a kill tore is not spoken of.

    Raises:
        UserError: it is a link, or no file.
        OSError: it cannot be read.
    """
    course = Course(most_points)
    if not path.exists():
        return course, ""
    size = 0
    with open_to_read(path) as file:
        while line := file.readline(_LONGEST_LINE):
            size += len(line)
            number = f"{path.name}, byte {size - len(line)}"
            if not line.endswith(b"\n"):
                return course, f"{number}: too long a line" if len(line) == _LONGEST_LINE else ""
            if size > MOST_BYTES:
                return course, f"{number}: the rest is left out, there is too much of it"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                return course, f"{number}: not a row of metrics; the rest is left out"
            if not isinstance(row, dict):
                return course, f"{number}: not a row of metrics; the rest is left out"
            course.add(row)
    return course, ""
