"""Curves of scalars, drawn by matplotlib: as SVG for a page, or as PNG.

Names may come from a stranger's run: they are drawn letter by letter, never as mathematics.
Matplotlib is imported when something is drawn.
"""

import io
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ksim_cli.io.formatting import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (
    *("#1f83cf", "#d55e00", "#009e73", "#cc79a7"),
    *("#e69f00", "#56b4e9", "#8a6fdf", "#7f7f7f"),
)
"""Of the series, in order; distinct for the colour-blind, and readable on light and on dark."""

_INK = "#5f6364"
"""Text and axes; a colour that no series has, so that a page can put its own in its place."""

_LONGEST = 60  # letters of a name

_settings = threading.Lock()  # matplotlib keeps one table of settings for all threads


def draw_series(
    series: Mapping[str, Sequence[Any]],
    *,
    title: str = "",
    x_label: str = "",
    figsize: tuple[float, float] = (8.0, 4.0),
    max_values: int = 8,
) -> "Figure":
    """One figure of several series over the same axis.

    Args:
        series: name -> `(x, y)`, or `(x, y, low, high)` with a band around it; each `[P]`, in which
            NaN leaves a gap.
        title: above all.
        x_label: of the axis below.
        figsize: width and height of a plot, inches.
        max_values: series in one plot; where there are more, the figure has several plots, one
            below the other.
    """
    names = list(series)
    parts = [names[i : i + max_values] for i in range(0, len(names), max_values)] or [[]]
    figure, axes = _axes(len(parts), 1, figsize)
    with _settings:
        for axis, part in zip(axes, parts, strict=True):
            _plot(axis, {name: series[name] for name in part}, has_legend=len(names) > 1)
        axes[0].set_title(label(title, _LONGEST), fontsize=10, color=_INK, parse_math=False)
        axes[-1].set_xlabel(label(x_label, _LONGEST), fontsize=8, color=_INK, parse_math=False)
    return figure


def draw_plots(
    plots: Mapping[str, Mapping[str, Sequence[Any]]],
    *,
    x_label: str = "",
    figsize: tuple[float, float] = (4.0, 3.0),
) -> "Figure":
    """One figure of several plots side by side.

    Args:
        plots: title -> series, as in `draw_series`.
        x_label: of the axis below each.
        figsize: width and height of a plot, inches.
    """
    figure, axes = _axes(1, max(1, len(plots)), figsize)
    with _settings:
        for axis, (title, series) in zip(axes, plots.items(), strict=False):
            _plot(axis, series, has_legend=len(series) > 1)
            axis.set_title(label(title, _LONGEST), fontsize=10, color=_INK, parse_math=False)
            axis.set_xlabel(label(x_label, _LONGEST), fontsize=8, color=_INK, parse_math=False)
    return figure


def to_svg(figure: "Figure") -> str:
    """A figure as an `<svg>` element for an HTML page, in the page's own text colour.

    It is as wide as its place, and names no address.
    """
    file = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    _save(figure, file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue().decode("utf-8")
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    head = re.sub(r' (xmlns(:\w+)?|width|height|version)="[^"]*"', "", head)
    return f"{head} role='img'>{rest}".replace(_INK, "currentColor")


def to_png(figure: "Figure", dpi: float = 100) -> bytes:
    """A figure as a PNG on white."""
    file = io.BytesIO()
    _save(figure, file, format="png", dpi=dpi, facecolor="white")
    return file.getvalue()


def smoothed(values: Sequence[float], over: int) -> list[float]:
    """Running means over the last `over` values; what is not finite is left out of them."""
    known: list[float] = []
    means: list[float] = []
    for value in values:
        if np.isfinite(value):
            known.append(value)
            del known[:-over]
        means.append(sum(known) / len(known) if known else float("nan"))
    return means


def _axes(rows: int, columns: int, figsize: tuple[float, float]) -> "tuple[Figure, list[Axes]]":
    """An empty figure and its plots, each of a size."""
    from matplotlib.figure import Figure

    with _settings:
        size = (figsize[0] * columns, figsize[1] * rows)
        figure = Figure(figsize=size, layout="constrained")
        return figure, list(figure.subplots(rows, columns, squeeze=False, sharex="col").flat)


def _plot(axis: "Axes", series: Mapping[str, Sequence[Any]], has_legend: bool) -> None:
    for i, (name, points) in enumerate(series.items()):
        _draw(axis, name, points, COLORS[i % len(COLORS)])
    _dress(axis, has_legend)


def _draw(axis: "Axes", name: str, points: Sequence[Any], color: str) -> None:
    x, y, *band = (np.asarray(each, float) for each in points)
    finite = np.flatnonzero(np.isfinite(y))
    alone = len(finite) <= 12  # few points are seen as such
    (line,) = axis.plot(x, y, color=color, linewidth=1.4, marker="o" if alone else "", markersize=3)
    line.set_label(label(name, _LONGEST))
    if band:
        low, high = band
        axis.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _dress(axis: "Axes", has_legend: bool) -> None:
    """Axes, grid and legend in the ink."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axis.grid(color=_INK, alpha=0.2, linewidth=0.6)
    axis.tick_params(colors=_INK, labelsize=8)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5), useMathText=False)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.yaxis.get_offset_text().set(color=_INK, fontsize=8)
    axis.patch.set_alpha(0.0)
    for name, spine in axis.spines.items():
        spine.set(color=_INK, alpha=0.5, visible=name in ("left", "bottom"))
    if has_legend:
        legend = axis.legend(fontsize=7, frameon=False, labelcolor=_INK, loc="best")
        for text in legend.get_texts():
            text.set_parse_math(False)


def _save(figure: "Figure", file: io.BytesIO, **how: Any) -> None:
    import matplotlib

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "ksim", "text.parse_math": False}
    with _settings, matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the font lacks
        figure.savefig(file, **how)
