"""Curves drawn with characters, by plotext, which is imported when something is drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ksim_cli.io import formatting

_COLORS = ("blue+", "orange+", "green+", "magenta+", "cyan+", "red+", "gray")
_MARKERS = "*+ox#@%&"
"""Of each series where there are no colours to tell them apart."""

_LONGEST = 50


def draw_text(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    size: tuple[int, int],
    colors: bool,
) -> str:
    """One plot of several series as lines of text.

    Args:
        series: name -> `(x, y)`, each `[P]`; what is not finite is left out.
        title: above it.
        x_label: of the axis below.
        size: columns and lines.
        colors: whether the terminal has colours; else each series has a character of its own, and
            there are no control characters.
    """
    import plotext

    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plotsize(*size)
    plotext.theme("clear")
    points = {name: _finite(*each) for name, each in series.items()}
    points = {name: each for name, each in points.items() if len(each[0])}
    for i, (name, (x, y)) in enumerate(points.items()):
        marker = "hd" if colors or len(points) == 1 else _MARKERS[i % len(_MARKERS)]
        legend = formatting.label(name, _LONGEST) if len(points) > 1 else None
        plotext.plot(x, y, marker=marker, color=_COLORS[i % len(_COLORS)], label=legend)
    everything = [np.concatenate(each) for each in zip(*points.values(), strict=True)]
    if not everything:
        return f"{formatting.label(title, _LONGEST)}: no values"
    for ticks, values, form in (
        (plotext.xticks, everything[0], formatting.count),
        (plotext.yticks, everything[1], formatting.value),
    ):
        places = np.linspace(values.min(), values.max(), 5)
        ticks(list(places), [form(float(place)) for place in places])
    plotext.title(formatting.label(title, _LONGEST))
    plotext.xlabel(formatting.label(x_label, _LONGEST))
    text = plotext.build()
    text = text if colors else plotext.uncolorize(text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _finite(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = np.isfinite(x) & np.isfinite(y)
    return x[known], y[known]
