"""Runs side by side: those that differ only in their seed are one group with an interval."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ksim_cli.io import formatting
from ksim_cli.run.records import Record

POINTS = 200
"""Points of a group's curve."""

FIGURES = (
    ("eval return", "", ""),
    ("eval length", "eval_episode_length", "eval_episode_length_mean"),
    ("last return", "", "episode_return"),
    ("env steps", "env_steps", "env_steps"),
    ("steps/s", "env_steps_per_second", "env_steps_per_second"),
    ("wall time", "wall_seconds", "wall_seconds"),
)
"""Figures of a run: title, name in its summary, name in its course."""

_MOST_IN_A_LABEL = 3
_LONGEST_VALUE = 40


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds, and half the width of its 95 % confidence interval.

    Attributes:
        mean: the mean.
        half: by Student's t; None for a single seed, of which nothing is known.
        n: how many.
    """

    mean: float
    half: float | None
    n: int

    def text(self) -> str:
        """`812.4 ± 12.30`, or the mean alone."""
        half = "" if self.half is None else f" ± {formatting.value(self.half)}"
        return formatting.value(self.mean) + half


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed.

    Attributes:
        label: what tells it from the others.
        differing: key -> value, of those that are not the same in all groups.
        records: its runs, by seed.
    """

    label: str
    differing: dict[str, Any]
    records: list[Record]

    def figure(self, title: str, of_summary: str, of_course: str) -> Interval | None:
        """One of `FIGURES` over its runs; None: none of them has it."""
        if title == "eval return":
            values = [record.eval_return for record in self.records]
        elif of_summary:  # said once for all seeds that were trained together
            by_run = {record.run.path: record for record in self.records}
            values = [record.figure(of_summary, of_course) for record in by_run.values()]
        else:
            values = [record.course.last.get(of_course) for record in self.records]
        return interval([value for value in values if value is not None])


def interval(values: Sequence[float]) -> Interval | None:
    """Mean and 95 % confidence interval (Student's t) of independent runs; None without any."""
    if not values:
        return None
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Interval(mean, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Interval(mean, student_t(n - 1) * deviation / math.sqrt(n), n)


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t: 12.71 for one degree of freedom, 1.96 for many."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def group_runs(records: Iterable[Record]) -> list[Group]:
    """Groups of runs that differ only in their seed, in the order the first of each comes."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(_but_for_the_seed(record.config), []).append(record)
    keys = differing_keys([each[0].config for each in found.values()])
    groups: list[Group] = []
    for each in found.values():
        each.sort(key=lambda record: record.seed)
        values = {key: each[0].config.get(key) for key in keys}
        groups.append(Group(_label(values, each, len(found)), values, each))
    labels = [group.label for group in groups]
    return [
        Group(f"{group.label} ({i + 1})", group.differing, group.records)
        if labels.count(group.label) > 1
        else group
        for i, group in enumerate(groups)
    ]


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose value is not the same in all configs, but for the seed."""
    keys = dict.fromkeys(key for config in configs for key in config if key != "seed")
    absent = object()
    return [
        key
        for key in keys
        if any(config.get(key, absent) != configs[0].get(key, absent) for config in configs[1:])
    ]


def comparison(groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table: what tells the groups apart, and what each came to."""
    keys = list(groups[0].differing) if groups else []
    by_label = not 0 < len(keys) <= _MOST_IN_A_LABEL  # which curves name them by, too
    keys = keys if len(keys) <= 2 * _MOST_IN_A_LABEL else []
    several = any(len(group.records) > 1 for group in groups)
    columns = [*(["run"] if by_label else []), *keys, "seeds" if several else "seed"]
    rows = [
        [*([g.label] if by_label else []), *(short(g.differing[key]) for key in keys), _seeds(g)]
        for g in groups
    ]
    for figure in FIGURES:
        cells = [group.figure(*figure) for group in groups]
        if any(cells):
            columns.append(figure[0])
            for row, cell in zip(rows, cells, strict=True):
                row.append(_cell(figure[0], cell))
    return columns, rows


def curve(group: Group, name: str, over: str = "env_steps") -> tuple[np.ndarray, ...]:
    """A scalar over a group's runs, as `draw_series` takes it.

    Returns:
        Of one run its points `(x, y)`; of several `(x, mean, low, high)`, each `[P]`: the mean of
        those that were measured at or around `x`, and its 95 % confidence interval.
    """
    each = [record.course.points(name, over) for record in group.records]
    each = [(np.asarray(x), np.asarray(y)) for x, y in each if x]
    if len(each) < 2:
        return each[0] if each else (np.zeros(0), np.zeros(0))
    most = max(len(x) for x, _ in each)
    ends = min(x[0] for x, _ in each), max(x[-1] for x, _ in each)
    grid = np.linspace(*ends, min(most, POINTS))
    nan = float("nan")
    values = np.stack([np.interp(grid, x, y, left=nan, right=nan) for x, y in each])  # [runs, P]
    found = [interval(list(column[np.isfinite(column)])) for column in values.T]
    mean = np.array([point.mean if point else nan for point in found])
    half = np.array([nan if not point or point.half is None else point.half for point in found])
    return grid, mean, mean - half, mean + half


def short(value: Any) -> str:
    """A value of a configuration as a table's cell."""
    text = (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _but_for_the_seed(config: Mapping[str, Any]) -> str:
    return repr(sorted((key, repr(value)) for key, value in config.items() if key != "seed"))


def _label(values: Mapping[str, Any], records: Sequence[Record], groups: int) -> str:
    """What differs, in few words; else where the first run is."""
    if groups == 1 and len(records) > 1:
        return str(records[0].config.get("task.name") or "runs")
    if groups == 1 or not 0 < len(values) <= _MOST_IN_A_LABEL:
        return "/".join(records[0].run.path.parts[-2:])
    last = [key.rpartition(".")[2] for key in values]
    keys = [each if last.count(each) == 1 else key for each, key in zip(last, values, strict=True)]
    return " ".join(f"{k}={short(v)}" for k, v in zip(keys, values.values(), strict=True))


def _seeds(group: Group) -> str:
    seeds = [str(record.seed) for record in group.records]
    listed = ", ".join(seeds) if len(seeds) <= 5 else f"{seeds[0]} … {seeds[-1]}"
    return listed if len(seeds) == 1 else f"n={len(seeds)}: {listed}"


def _cell(title: str, cell: Interval | None) -> str:
    if cell is None:
        return "-"
    if title == "wall time":
        return formatting.seconds(cell.mean)
    return formatting.count(cell.mean) if title in ("env steps", "steps/s") else cell.text()
