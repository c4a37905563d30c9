"""Draws learning curves: mean return and length of the episodes that ended, and the speed error.

python benchmarks/curves.py RUN_FOLDER... OUTPUT.png        (needs matplotlib)
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

SHOWN = {"episode_return": "episode return", "episode_length": "episode length, steps"}
SMOOTHED_OVER = 20


def smoothed(values: list[float | None]) -> list[float]:
    """Running means over the last logged rows that have a value."""
    known: list[float] = []
    means = []
    for value in values:
        if value is not None:
            known.append(value)
        recent = known[-SMOOTHED_OVER:]
        means.append(sum(recent) / len(recent) if recent else float("nan"))
    return means


def draw(folders: list[Path], output: Path) -> None:
    """One figure with a line per run."""
    columns = [*SHOWN, "command_error/linear_velocity"]
    rows = {f: [json.loads(line) for line in (f / "metrics.jsonl").open()] for f in folders}
    columns = [c for c in columns if any(c in r[-1] for r in rows.values())]
    figure, axes = pyplot.subplots(1, len(columns), figsize=(4.2 * len(columns), 3.2))
    for axis, column in zip(axes, columns, strict=True):
        for folder, each in rows.items():
            steps = [row["env_steps"] / 1e6 for row in each]
            axis.plot(steps, smoothed([row.get(column) for row in each]), label=folder.name)
        axis.set_xlabel("environment steps, millions")
        axis.set_title(SHOWN.get(column, "speed error, m/s"), fontsize=10)
        axis.grid(alpha=0.3)
    if len(folders) > 1:
        axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(output, dpi=90)


if __name__ == "__main__":
    *runs, image = (Path(argument) for argument in sys.argv[1:])
    draw(runs, image)
