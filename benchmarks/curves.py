"""Draws learning curves: mean return and length of the episodes that ended, and the speed error.

python benchmarks/curves.py RUN_FOLDER... OUTPUT.png
"""

import sys
from pathlib import Path

from ksim_cli.io.course import read_course
from ksim_cli.view.curves import draw_plots, smoothed, to_png

SHOWN = {
    "episode_return": "episode return",
    "episode_length": "episode length, steps",
    "command_error/linear_velocity": "speed error, m/s",
}
SMOOTHED_OVER = 20


def draw(folders: list[Path], output: Path) -> None:
    """One picture: a plot for each scalar, and in it a line for each run."""
    courses = {folder.name: read_course(folder / "metrics.jsonl")[0] for folder in folders}
    plots = {}
    for name, title in SHOWN.items():
        points = {run: course.points(name) for run, course in courses.items()}
        known = {run: (x, smoothed(y, SMOOTHED_OVER)) for run, (x, y) in points.items() if x}
        plots |= {title: known} if known else {}
    figure = draw_plots(plots, x_label="environment steps", figsize=(4.2, 3.2))
    output.write_bytes(to_png(figure, dpi=90))


if __name__ == "__main__":
    *runs, image = (Path(argument) for argument in sys.argv[1:])
    draw(runs, image)
