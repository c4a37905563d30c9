"""`ksim report`: one file of HTML that shows a run, or several side by side."""

import contextlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ksim_cli.config.baseline import defaults_of, differences
from ksim_cli.config.looking import ReportKeys, parse_looking
from ksim_cli.errors import UserError
from ksim_cli.io import formatting
from ksim_cli.io.console import Console, open_console
from ksim_cli.io.files import open_to_read, refuse_link, replace_text
from ksim_cli.io.runs import RunFolder
from ksim_cli.run.comparing import Group, comparison, curve, group_runs, short
from ksim_cli.run.records import Record, as_number, find_all, read_records
from ksim_cli.run.shown import newest_media
from ksim_cli.view import page
from ksim_cli.view.curves import draw_series, to_svg

SECTIONS = (
    ("Episodes", ("episode_return", "episode_length", "eval_*", "reward")),
    ("Reward terms", ("reward/*",)),
    ("Command errors", ("command_error/*",)),
    ("Endings", ("failure_rate", "termination/*", "quarantine_rate", "quarantined/*", "episodes")),
    ("Learning", ("*",)),
    ("Speed", ("*_per_second",)),
)
"""Sections of curves, and which scalars each shows: the first that fits, `*` last of all."""

MOST_CURVES = 100
MOST_MEDIA = 24_000_000
"""Bytes of all that is embedded."""

_EVALUATED = (
    *("episode_return_*", "episode_length_mean", "*_rate", "command_error/*"),
    *("num_episodes", "checkpoint_step"),
)
_SIZE = (4.6, 2.7)  # of a curve, inches: as wide as its place on the page
_NOT_DRAWN = ("env_steps", "iteration", "*_seconds")


def report(arguments: Sequence[str]) -> None:
    """`ksim report RUN… [out=FILE]`: writes the report, and shows its table.

    Raises:
        UserError: no such run, or a file that may not be written over.
    """
    specs, keys = parse_looking("report", ReportKeys, arguments)
    console = open_console(None)
    runs = find_all(specs)
    path = _place(runs, keys)
    groups = read_groups(runs, console)
    with console.waiting(f"drawing the curves of {_count(len(runs), 'run')}"):
        text = compose(groups)
    try:
        replace_text(path, text)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}. Type out=FILE of another place"
        ) from error
    show_comparison(groups, console)
    console.print(f"written: {path} ({formatting.count(len(text.encode()))}B)")


def read_groups(runs: Sequence[RunFolder], console: Console) -> list[Group]:
    """The runs in groups; of several, one that cannot be read is left out with a warning.

    Raises:
        UserError: none can be read.
    """
    records: list[Record] = []
    for run in runs:
        try:
            records += read_records(run)
        except (UserError, OSError) as error:
            if len(runs) == 1:
                raise UserError(str(error)) from error
            console.warn(f"left out: {error}")
    if not records:
        raise UserError("none of these runs can be read")
    return group_runs(records)


def show_comparison(groups: Sequence[Group], console: Console) -> None:
    """The table of what differs and what came of it."""
    columns, rows = comparison(groups)
    runs = {record.run.path for group in groups for record in group.records}
    console.table(_count(len(runs), "run"), columns, rows)
    if any(len(group.records) > 1 for group in groups):
        console.print("mean over the seeds ± 95 % confidence interval (Student's t)")


def show_sweep(folders: Sequence[Path]) -> None:
    """The table of a sweep at its end, of those of its runs that came to something.

    Args:
        folders: the sweep's own, or those of its runs.
    """
    records: list[Record] = []
    runs: list[RunFolder] = []
    for folder in folders:
        with contextlib.suppress(UserError):
            runs += find_all([str(folder)])
    for run in {run.path.resolve(): run for run in runs}.values():
        with contextlib.suppress(UserError, OSError):  # a job that failed has said so
            records += read_records(run)
    if records := [record for record in records if record.course.names or record.summary]:
        show_comparison(group_runs(records), open_console(None))


def compose(groups: Sequence[Group]) -> str:
    """The page of some groups of runs."""
    records = [record for group in groups for record in group.records]
    runs = {record.run.path: record for record in records}
    first = records[0]
    title = f"{_task(first)}: {first.run.path}" if len(runs) == 1 else _many(list(runs.values()))
    columns, rows = comparison(groups)
    if len(groups) == 1 and len(records) == 1:
        top = page.tiles((n, cell) for n, cell in zip(columns, rows[0], strict=True) if n != "run")
    else:
        top = page.section("Side by side", page.table(columns, rows), _of_intervals(groups))
    return page.page(
        title,
        (
            page.heading(title, *(_state(record) for record in runs.values() if len(runs) == 1)),
            top,
            page.section("Seen", _media(list(runs.values()))),
            *_curves(groups),
            page.section("Evaluation", _evaluation(groups)),
            page.section("Warnings", page.warnings(list(_warnings(list(runs.values()))))),
            _configuration(records),
            page.section("Runs", _runs(records)) if len(records) > 1 else "",
            page.section("Versions", _versions(records)),
        ),
    )


def _place(runs: Sequence[RunFolder], keys: ReportKeys) -> Path:
    """Where the report goes.

    Raises:
        UserError: something is there that no report of ksim's is.
    """
    path = runs[0].report if len(runs) == 1 else Path("report.html")
    if keys.out is not None:
        path = Path(keys.out).expanduser()
        path = path / "report.html" if path.is_dir() else path
    refuse_link(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Type out=FILE")
    if path.exists():
        with open_to_read(path) as file:
            head = file.read(200)
        if page.MARK.encode() not in head:
            raise UserError(f"{path}: is there, and no report of ksim's. Type out=FILE of another")
    return path


def _curves(groups: Sequence[Group]) -> Iterator[str]:
    """A section for each kind of scalar, with a curve for each, and a line in it for each group."""
    names = list(dict.fromkeys(n for g in groups for r in g.records for n in r.course.names))
    names = [n for n in names if not any(fnmatchcase(n, each) for each in _NOT_DRAWN)]
    still = [name for name in names if _is_zero(groups, name)]
    left = [name for name in names if name not in still]
    too_many, left = left[MOST_CURVES:], left[:MOST_CURVES]
    for title, patterns in SECTIONS:
        here = [name for each in patterns for name in left if _belongs(name, each)]
        left = [name for name in left if name not in here]
        yield page.section(title, page.curves(_curve(groups, name) for name in here))
    yield page.paragraph(f"Always zero: {', '.join(still)}." if still else "")
    yield page.paragraph(f"Not drawn, too many: {', '.join(too_many)}." if too_many else "")


def _belongs(name: str, pattern: str) -> bool:
    """Whether a scalar belongs under a pattern; `*` leaves what is of speed to its own section."""
    return fnmatchcase(name, pattern) and not (pattern == "*" and name.endswith("_per_second"))


def _is_zero(groups: Sequence[Group], name: str) -> bool:
    each = (record.course.points(name)[1] for group in groups for record in group.records)
    return not any(value for values in each for value in values)


def _curve(groups: Sequence[Group], name: str) -> str:
    series = {group.label: curve(group, name) for group in groups}
    series = {label: points for label, points in series.items() if len(points[0])}
    return to_svg(draw_series(series, title=name, x_label="environment steps", figsize=_SIZE))


def _media(records: Sequence[Record]) -> str:
    """The newest video and picture of each run, as far as there is room."""
    shown: list[str] = []
    remarks: list[str] = []
    room = MOST_MEDIA
    for record in records:
        for path in newest_media(record.run):
            size = path.stat().st_size
            if size > room:
                told = f"{path}: {size / 1e6:.1f} MB, too large to be shown here."
                remarks.append(told)
                continue
            with open_to_read(path) as file:
                content = file.read(room)
            room -= len(content)
            shown.append(page.media(content, path.suffix.lower(), str(path)))
    return page.gallery(shown) + "".join(page.paragraph(remark) for remark in remarks)


def _evaluation(groups: Sequence[Group]) -> str:
    """What the last evaluations came to: of the run's end, and of `ksim eval`."""
    rows: list[list[str]] = []
    for group in groups:
        for record in {each.run.path: each for each in group.records}.values():
            for source, facts, names in (
                ("training's end", record.summary, ("eval_*",)),
                ("ksim eval", record.evaluation, _EVALUATED),
            ):
                rows += [
                    [group.label, str(record.seed), source, name, formatting.value(value)]
                    for name, value in _figures_of(facts, names)
                ]
    columns = ["run", "seed", "by", "figure", "value"]
    if len({row[0] for row in rows}) == 1 and len({row[1] for row in rows}) == 1:
        columns, rows = columns[2:], [row[2:] for row in rows]
    return page.table(columns, rows[:1000])


def _figures_of(facts: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Numbers among some facts, also inside of a mapping."""
    for name, value in facts.items():
        each = value.items() if isinstance(value, dict) else [("", value)]
        for part, number in each:
            known = as_number(number)
            if known is not None and any(fnmatchcase(name, pattern) for pattern in names):
                yield f"{name}/{part}" if part else name, known


def _configuration(records: Sequence[Record]) -> str:
    """What is the same in all runs and not the task's default."""
    first = records[0]
    same = {
        key: value
        for key, value in first.config.items()
        if key != "seed" or len(records) == 1
        if all(record.config.get(key) == value for record in records)
    }
    task = str(first.config.get("task.name", ""))
    defaults, found = defaults_of(task)
    typed = frozenset[str]().union(*(record.typed for record in records))
    rows = sorted(differences(same, defaults, typed), key=lambda each: not each.typed)
    against = f"the task {task} alone" if found else "ksim's defaults: there is no such task here"
    return page.section(
        "Configuration",
        page.paragraph(f"What differs from {against}; what was typed stands out."),
        page.table(
            ("key", "value", "default"),
            [[row.key, short(row.value), short(row.default)] for row in rows],
            [i for i, row in enumerate(rows) if row.typed],
        ),
    )


def _runs(records: Sequence[Record]) -> str:
    """Each run and seed by itself."""
    rows = [
        [
            str(record.run.path),
            str(record.seed),
            "-" if record.eval_return is None else formatting.value(record.eval_return),
            _state(record),
        ]
        for record in records
    ]
    return page.table(("run", "seed", "eval return", "state"), rows)


def _versions(records: Sequence[Record]) -> str:
    """Versions of the packages; where runs differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        versions = record.summary.get("versions")
        for name, version in versions.items() if isinstance(versions, dict) else ():
            found.setdefault(str(name), {})[str(version)] = None
    return page.table(("package", "version"), [[name, ", ".join(found[name])] for name in found])


def _warnings(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        before = f"{record.run.path}: " if len(records) > 1 else ""
        yield from (f"{before}{text}" for text in record.warnings)


def _state(record: Record) -> str:
    steps = record.figure("env_steps", "env_steps")
    done = f"{steps:,.0f} env steps" if steps else "nothing was logged yet"
    return f"ended, {done}" if record.summary.keys() - {"versions"} else f"not ended, {done}"


def _task(record: Record) -> str:
    return str(record.config.get("task.name") or "run")


def _many(records: Sequence[Record]) -> str:
    tasks = dict.fromkeys(_task(record) for record in records)
    return f"{_count(len(records), 'run')} of {', '.join(tasks)}"


def _of_intervals(groups: Sequence[Group]) -> str:
    if not any(len(group.records) > 1 for group in groups):
        return ""
    text = "Runs that differ only in their seed are one: mean ± 95 % confidence interval"
    return page.paragraph(f"{text} (Student's t, n seeds); in curves a band.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
