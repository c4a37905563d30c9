"""Plots of an episode: curves over time, as PNG files."""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_DOTS_PER_INCH = 80


class Plot(NamedTuple):
    """Curves that share their axes.

    Attributes:
        title: what they are.
        size: width and height, in.
        series: name -> `[T]` values.
    """

    title: str
    size: Sequence[float]
    series: Mapping[str, np.ndarray]


def pages(series: Mapping[str, np.ndarray], most: int) -> list[dict[str, np.ndarray]]:
    """Series in groups of at most `most`, in their order."""
    names = list(series)
    chunks = [names[i : i + most] for i in range(0, len(names), most)]
    return [{name: series[name] for name in chunk} for chunk in chunks]


def elements(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Series of every element of some values `[T]` or `[T, E]`: `joint_position[3]`."""
    series: dict[str, np.ndarray] = {}
    for name, value in values.items():
        flat = np.asarray(value, float).reshape(len(value), -1)
        single = flat.shape[1] == 1
        series |= {name if single else f"{name}[{i}]": x for i, x in enumerate(flat.T)}
    return series


def write_plot(path: Path, plot: Plot, seconds: np.ndarray) -> None:
    """Draws curves over time, whole or not at all.

    Args:
        path: ends in `.png`.
        plot: the curves.
        seconds: `[T]` time of their values, s.
    """
    # Slow to import, and only drawing needs it; without its pyplot nothing asks for a window.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(plot.size[0], plot.size[1]), dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for name, values in plot.series.items():
        axes.plot(seconds, values, label=name, linewidth=1.2)
    axes.set(title=plot.title, xlabel="time of the episode, s")
    axes.grid(alpha=0.3)
    axes.margins(x=0)
    if plot.series:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.png")
    try:
        figure.savefig(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
