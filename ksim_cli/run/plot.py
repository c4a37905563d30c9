"""`ksim plot`: curves of runs in the terminal."""

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ksim_cli.config.looking import PlotKeys, parse_looking
from ksim_cli.errors import UserError, nearest
from ksim_cli.io.console import open_console
from ksim_cli.run.comparing import Group, curve
from ksim_cli.run.records import find_all
from ksim_cli.run.report import read_groups
from ksim_cli.view.curves import smoothed
from ksim_cli.view.text_plot import draw_text

MOST_RUNS = 8
"""Curves in a plot that can be told apart."""

PLAIN_WIDTH = 100
"""Columns of a plot where there is no terminal."""

_LABELS = {"env_steps": "env steps", "wall_seconds": "s"}


def plot(arguments: Sequence[str]) -> None:
    """`ksim plot RUN… [keys=…]`: a plot for each scalar, in it a curve for each run.

    Of many, those that differ only in their seed are one curve, their mean.

    Raises:
        UserError: no such run, no such scalar, or a run without rows.
    """
    specs, keys = parse_looking("plot", PlotKeys, arguments)
    console = open_console(None)
    groups = read_groups(find_all(specs), console)
    names = chosen(groups, keys.keys, given=keys.keys != PlotKeys().keys)
    is_live = console.live
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if is_live else PLAIN_WIDTH
    for i, name in enumerate(names):
        series = {}
        for label, group in overlaid(groups):
            x, y, *_ = curve(group, name, keys.x)
            if len(x):
                series[label] = x, smoothed(list(y), keys.smooth)
        text = draw_text(
            series,
            title=name,
            x_label=_LABELS.get(keys.x, keys.x),
            size=(width, keys.height),
            colors=is_live,
        )
        sys.stdout.write(("\n" if i else "") + text + "\n")
    sys.stdout.flush()


def chosen(groups: Sequence[Group], patterns: Sequence[str], given: bool) -> list[str]:
    """The scalars that are drawn.

    Args:
        groups: the runs.
        patterns: names, or globs of names.
        given: whether somebody typed them; else those that a run does not have are left out.

    Raises:
        UserError: nothing fits a pattern, or there is nothing to draw.
    """
    known = list(dict.fromkeys(n for g in groups for r in g.records for n in r.course.names))
    if not known:
        raise UserError("these runs have logged nothing yet, so that there is nothing to draw")
    names: dict[str, None] = {}
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting and given:
            raise UserError(
                f"keys={pattern}: these runs have no such scalar.{nearest(pattern, known)}"
                f"\n  scalars: {', '.join(sorted(known)[:80])}"
            )
        names.update(dict.fromkeys(fitting))
    return list(names) or [name for name in known if name not in _LABELS][:3]


def overlaid(groups: Sequence[Group]) -> list[tuple[str, Group]]:
    """What is drawn over each other, and its label: each run, or of many each group's mean."""
    if sum(len(group.records) for group in groups) > MOST_RUNS:
        return [(f"{group.label}, n={len(group.records)}", group) for group in groups]
    found: list[tuple[str, Group]] = []
    for group in groups:
        several = len(group.records) > 1
        for record in group.records:
            label = f"{group.label} seed={record.seed}" if several else group.label
            found.append((label, dataclasses.replace(group, records=[record])))
    return found
