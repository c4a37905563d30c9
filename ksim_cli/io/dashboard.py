"""What a run's progress looks like on a terminal: its scalars now, and how they came there.

Whoever trains only hands over rows; they are taken in, and laid out, when the terminal is drawn.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import rich.console
from rich import progress as bars
from rich.table import Table
from rich.text import Text

from ksim_cli.io import formatting
from ksim_cli.io.course import Course

POINTS = 240
"""Points of a scalar's course that are kept: no terminal has room for more."""

CHARTS = ("episode_return", "episode_length", "eval_episode_return_mean")
"""Scalars whose course is as wide as the terminal."""

SECTIONS = (("reward terms", "reward/*"), ("command errors", "command_error/*"))
"""Titles, and the scalars below them; all else that is shown stands under `training`."""

TRAINING = ("reward", "failure_rate", "quarantine_rate", "level")

_CLOCKS = ("iteration", "env_steps", "*_seconds", "*_per_second")
"""What the bar shows already."""

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_NARROWEST = 36
"""Columns that a section needs."""

_MOST_COLUMNS = 4
_SHORT = 5
"""Scalars that one column holds well."""

_SPARK, _VALUE = 10, 9  # columns of a small course, and of a value


class Dashboard:
    """Scalars of a run, in as much room as there is.

    Args:
        show: patterns of the names to show under `training`, in this order.
        past: the course of the run before now.
    """

    def __init__(self, show: Sequence[str] = (), past: Course | None = None) -> None:
        self._show = show
        self._course = Course(POINTS) if past is None else past
        self._rows: deque[Mapping[str, Any]] = deque()
        self._known: dict[str, None] = dict.fromkeys(self._course.names)

    def add(self, row: Mapping[str, Any]) -> None:
        """Hand over the newest row, with its `env_steps`; it is not changed any more."""
        self._rows.append(row)

    def lines(self, width: int, height: int, ascii_only: bool = False) -> list[Text]:
        """The lines to show, none wider and no more than there is room for."""
        self._take_in()
        marks = _ASCII if ascii_only else _BLOCKS
        charts = [name for name in CHARTS if name in self._known]
        lines = [self._chart(name, width, marks) for name in charts][: max(height, 0)]
        sections = self._sections(charts)
        room = height - len(lines) - 1
        if sections and room >= 2:
            lines += [Text(""), *self._columns(sections, width, room, marks)]
        return lines

    def __rich_console__(
        self, console: rich.console.Console, options: rich.console.ConsoleOptions
    ) -> Iterable[rich.console.RenderableType]:
        # Of a screen the bar, what else goes on and the line above are taken.
        yield from self.lines(options.max_width, console.height - 4, options.ascii_only)

    def _take_in(self) -> None:
        while self._rows:
            row = self._rows.popleft()
            self._course.add(row)
            self._known.update(dict.fromkeys(row))

    def _sections(self, charts: Sequence[str]) -> list[tuple[str, list[str]]]:
        """Title and scalars of each section that has any."""
        left = [name for name in self._known if name not in charts]
        found: list[tuple[str, list[str]]] = []
        for title, pattern in SECTIONS:
            names = [name for name in left if fnmatchcase(name, pattern)]
            found.append((title, names))
            left = [name for name in left if name not in names]
        patterns = (*TRAINING, *(self._show or ("*",)))
        left = [name for name in left if not any(fnmatchcase(name, each) for each in _CLOCKS)]
        chosen = [name for each in patterns for name in left if fnmatchcase(name, each)]
        found.append(("training", list(dict.fromkeys(chosen))))
        return [(title, names) for title, names in found if names]

    def _columns(
        self, sections: list[tuple[str, list[str]]], width: int, height: int, marks: str
    ) -> list[Text]:
        """The sections beside and below each other."""
        count = max(1, min(width // _NARROWEST, _MOST_COLUMNS))
        blocks = _split(sections, count)
        count = min(count, len(blocks))
        each = width // count
        columns: list[list[Text]] = [[] for _ in range(count)]
        for title, names in blocks:
            block = [Text(title, "bold"), *(self._entry(name, each - 2, marks) for name in names)]
            column = min(columns, key=len)
            if column:
                block.insert(0, Text(""))
            column += block
        columns = [_cut(column, height) for column in columns]
        lines: list[Text] = []
        for i in range(max(map(len, columns))):
            line = Text()
            for column in columns:
                cell = column[i].copy() if i < len(column) else Text()
                cell.truncate(each, pad=True)
                line.append_text(cell)
            line.rstrip()
            lines.append(line)
        return lines

    def _chart(self, name: str, width: int, marks: str) -> Text:
        """A scalar as wide as the terminal: name, value, course."""
        label = _title(name)
        line = self._entry(name, width, marks, spark=max(0, width - 14 - _VALUE - 3), label=14)
        line.stylize("bold", 0, len(label))
        return line

    def _entry(
        self, name: str, width: int, marks: str, spark: int = _SPARK, label: int | None = None
    ) -> Text:
        """Name, value and course of a scalar."""
        spark = spark if width >= _VALUE + spark + 12 else 0
        room = max(4, width - _VALUE - spark - 2) if label is None else label
        last = self._course.last.get(name)
        value = Text(f"{formatting.value(last):>{_VALUE}}", "cyan")
        text = Text(_title(name), "" if last is not None else "dim", no_wrap=True)
        text.truncate(room, overflow="ellipsis", pad=True)
        text.append_text(value)
        if spark:
            values = self._course.points(name)[1]
            text.append("  ").append(sparkline(values, spark, marks), "blue")
        text.truncate(width)
        return text


class Words(bars.ProgressColumn):
    """How far a run has come, in words."""

    def render(self, task: bars.Task) -> Text:
        """See rich's `ProgressColumn`."""
        return Text("  ".join(task.fields["words"](task)), no_wrap=True)


class Bars(bars.Progress):
    """One line for each task, and below a run's its dashboard."""

    def get_renderables(self) -> Iterable[rich.console.RenderableType]:
        """See rich's `Progress`."""
        for task in self.tasks:
            table: Table = self.make_tasks_table([task])
            yield table
            if (board := task.fields["board"]) is not None:
                yield board


def sparkline(values: Sequence[float], width: int, marks: str = _BLOCKS) -> str:
    """A course in one line of characters, the lowest value the lowest of them.

    Args:
        values: in order; where there are more than there is room for, neighbours are averaged.
        width: most characters.
        marks: from low to high.
    """
    count = min(len(values), width)
    if not count:
        return ""
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[i:end]) / (end - i) for i, end in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    if low == high:
        return marks[len(marks) // 2] * count
    return "".join(marks[int((m - low) / (high - low) * (len(marks) - 1) + 0.5)] for m in means)


def _title(name: str) -> str:
    """A scalar's name as it is shown: what its section says already is left out."""
    titles = {"eval_episode_return_mean": "eval return"}
    titles |= {"episode_return": "return", "episode_length": "length"}
    shown = titles.get(name, name.rpartition("/")[2] if "/" in name else name)
    return formatting.label(shown.replace("_", " "), 100)


def _split(sections: list[tuple[str, list[str]]], count: int) -> list[tuple[str, list[str]]]:
    """The sections, the longest of them in parts where there are fewer than columns."""
    parts = [1] * len(sections)
    while sum(parts) < count:
        longest = max(range(len(parts)), key=lambda i: len(sections[i][1]) / parts[i])
        if len(sections[longest][1]) / parts[longest] <= _SHORT:
            break
        parts[longest] += 1
    blocks: list[tuple[str, list[str]]] = []
    for (title, names), number in zip(sections, parts, strict=True):
        size = -(-len(names) // number)
        for i in range(0, len(names), size):
            blocks.append(("" if i else title, names[i : i + size]))
    return blocks


def _cut(column: list[Text], height: int) -> list[Text]:
    if len(column) <= height:
        return column
    more = len(column) - height + 1
    return [*column[: height - 1], Text(f"… {more} more", "dim")]
