"""Rows of scalars: of each seed alone, and of all seeds together."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.io.metrics import MetricsLog, open_loggers
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.algorithm import Metrics

EVALUATED = ("episode_return_mean", "episode_return_std", "episode_length_mean")
Row = dict[str, float | int | None]


def scalars(metrics: Metrics, num_seeds: int = 1) -> list[Row]:
    """Scalars of an iteration as they are logged, a row for each seed; None: not measured."""
    host = jax.device_get(metrics)
    rows: list[Row] = []
    for seed in range(num_seeds):
        row: Row = {}
        for name, values in host.items():
            number = np.ravel(values)[seed].item()
            row[name] = number if math.isfinite(number) else None
        rows.append(row | {f"eval_{name}": None for name in EVALUATED})
    return rows


def together(rows: Sequence[Row]) -> Row:
    """One row for all seeds: sums of counts, means of everything else that was measured."""
    if len(rows) == 1:
        return dict(rows[0])
    row: Row = {}
    for name in rows[0]:
        numbers = [number for each in rows if (number := each[name]) is not None]
        if not numbers:
            row[name] = None
        elif all(isinstance(number, int) for number in numbers):
            row[name] = sum(numbers)
        else:
            row[name] = sum(numbers) / len(numbers)
    return row


class Journal:
    """metrics.jsonl and the extra loggers; of several seeds, also `seeds/<seed>/metrics.jsonl`.

    Args:
        run: the run's folder.
        config: its configuration.
        warn: called with what an extra logger complains of.
    """

    def __init__(self, run: RunFolder, config: RunConfig, warn: Callable[[str], None]) -> None:
        self._run, self._config, self._warn = run, config, warn
        self._main = MetricsLog(run.metrics)
        several = range(config.seed, config.seed + config.num_seeds) if config.num_seeds > 1 else ()
        self._each = [MetricsLog(run.seed_folder(seed) / "metrics.jsonl") for seed in several]
        self._loggers: Any = None

    def truncate_after(self, iteration: int) -> None:
        """Drops the rows after an iteration."""
        for log in (self._main, *self._each):
            log.truncate_after(iteration)

    def append(self, head: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Writes an iteration.

        Args:
            head: what is the same for all seeds, `iteration` among it.
            rows: of each seed.
        """
        whole = {**head, **together(rows)}
        self._main.append(whole)
        for log, row in zip(self._each, rows, strict=False):
            log.append({**head, **row})
        self._loggers.log(whole)

    def __enter__(self) -> "Journal":
        config = self._config
        for log in self._each:
            log.path.parent.mkdir(parents=True, exist_ok=True)
        chosen = {"tensorboard": config.logger.tensorboard, "wandb": config.logger.wandb}
        facts = {
            "project": config.logger.wandb_project,
            "task": config.task.name,
            "seed": config.seed,
        }
        names = [name for name, on in chosen.items() if on and config.log_train_metrics]
        self._loggers = open_loggers(names, self._run.path, facts, self._warn)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loggers.close()
        for log in (self._main, *self._each):
            log.close()
