"""What runs have written, read for looking at them: nothing of a run's is executed or loaded.

A run's folder may come from a stranger: no link out of it is followed, and what is read is bounded.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksim_cli.config.resuming import leaves
from ksim_cli.config.saved import read_config
from ksim_cli.errors import UserError
from ksim_cli.io.course import LARGEST, Course, read_course
from ksim_cli.io.files import open_to_read, read_json
from ksim_cli.io.runs import RUNS, RunFolder, find_runs

MOST_RUNS = 200
TYPED = "typed: "
"""Begins the line of a run's log that says which keys were typed."""

_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (.*)")
_MOST_LOG = 50_000_000
_MOST_WARNINGS = 50


@dataclass(frozen=True)
class Record:
    """What one seed of a run has written.

    Attributes:
        run: the run's folder.
        seed: root of its random numbers.
        config: key -> value of everything in its config that is no section.
        course: its scalars.
        summary: what the run came to; empty where it has not ended.
        evaluation: what `ksim eval` wrote last; empty where it has not.
        eval_return: mean return of its last evaluation; None: there was none.
        typed: keys that were typed.
        warnings: what it warned of, each once, and what of it cannot be read.
    """

    run: RunFolder
    seed: int
    config: dict[str, Any]
    course: Course
    summary: dict[str, Any]
    evaluation: dict[str, Any]
    eval_return: float | None
    typed: frozenset[str]
    warnings: tuple[str, ...]

    def figure(self, of_summary: str, of_course: str) -> float | None:
        """A figure of the summary's, or of a run that has none its newest in the course."""
        return as_number(self.summary.get(of_summary, self.course.last.get(of_course)))


def find_all(specs: Sequence[str]) -> list[RunFolder]:
    """The runs that were named, each once, in that order.

    Args:
        specs: run folders, folders of runs, `latest`; as in `find_runs`.

    Raises:
        UserError: there is no such run, or there are too many.
    """
    runs = {run.path.resolve(): run for spec in specs for run in find_runs(spec, RUNS)}
    if len(runs) > MOST_RUNS:
        raise UserError(f"{len(runs)} runs: at most {MOST_RUNS} at once. Name fewer, or a sweep")
    return list(runs.values())


def read_records(run: RunFolder) -> list[Record]:
    """What a run has written, one record for each seed.

    Raises:
        UserError: it has no config that ksim wrote, or its folder leads elsewhere.
        OSError: it cannot be read.
    """
    run.check()
    config = dict(leaves(read_config(run.config)))
    wrong: list[str] = []
    summary = _facts(run.summary, wrong)
    evaluation = _facts(run.path / "eval.json", wrong)
    typed, warnings = _read_log(run.log, wrong)
    records: list[Record] = []
    for i, (seed, path) in enumerate(_seeds(run, config)):
        course, complaint = read_course(path)
        wrong += [complaint] if complaint else []
        last = course.last.get("eval_episode_return_mean")
        told = (*warnings, *(f"not read: {each}" for each in wrong)) if i == 0 else ()
        current = _current(summary, course)
        returns = current.get("eval_return_per_seed")
        ended = as_number(returns[i]) if isinstance(returns, list) and i < len(returns) else None
        figures = (current, evaluation, last if ended is None else ended)
        records.append(Record(run, seed, config, course, *figures, typed, tuple(told)))
    return records


def _current(summary: dict[str, Any], course: Course) -> dict[str, Any]:
    """The summary, or of one that the run has gone beyond only what holds still."""
    ended = as_number(summary.get("env_steps"))
    if ended is None or course.last.get("env_steps", 0.0) <= ended:
        return summary
    return {name: summary[name] for name in ("versions",) if name in summary}


def as_number(value: Any) -> float | None:
    """A finite number that a file holds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST < value < LARGEST else None


def _seeds(run: RunFolder, config: dict[str, Any]) -> Iterator[tuple[int, Path]]:
    """Each seed of a run and the file of its rows."""
    seed, count = config.get("seed"), config.get("num_seeds")
    first = seed if isinstance(seed, int) else 0
    folders = [run.seed_folder(first + i) for i in range(min(count, MOST_RUNS))] if count else []
    if len(folders) > 1 and all(folder.is_dir() for folder in folders):
        for i, folder in enumerate(folders):
            yield first + i, folder / "metrics.jsonl"
    else:
        yield first, run.metrics


def _facts(path: Path, wrong: list[str]) -> dict[str, Any]:
    """What a file of facts holds; nothing where it is not there, or is none, which is noted."""
    if not path.exists():
        return {}
    try:
        facts = read_json(path)
        if isinstance(facts, dict):
            return facts
        wrong.append(f"{path.name}: not what ksim wrote")
    except (ValueError, RecursionError, OSError) as error:
        wrong.append(f"{path.name}: {error!r:.100}")
    return {}


def _read_log(path: Path, wrong: list[str]) -> tuple[frozenset[str], list[str]]:
    """Keys that were typed, and the warnings, that a log tells of."""
    typed: set[str] = set()
    warnings: dict[str, None] = {}
    if not path.exists():
        return frozenset(), []
    with open_to_read(path) as file:
        text = file.read(_MOST_LOG + 1)
    if len(text) > _MOST_LOG:
        wrong.append(f"{path.name}: the rest is left out, there is too much of it")
    for line in text[:_MOST_LOG].decode("utf-8", "replace").splitlines():
        found = _STAMPED.fullmatch(line)
        said = found[1] if found else ""
        if said.startswith(TYPED):
            typed.update(said.removeprefix(TYPED).split(", "))
        elif said.startswith("warning: "):
            warnings[said.removeprefix("warning: ")[:1000]] = None
    told = list(warnings)
    if len(told) > _MOST_WARNINGS:
        told[_MOST_WARNINGS:] = [f"… and {len(told) - _MOST_WARNINGS} more, in {path.name}"]
    return frozenset(typed - {""}), told
