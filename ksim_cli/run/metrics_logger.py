"""Rows of scalars: of each seed alone, and their mean over the seeds."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from ksim_cli.config.resuming import changes
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import listing
from ksim_cli.io.files import make_folder, plain
from ksim_cli.io.loggers import Loggers, Media, open_loggers
from ksim_cli.io.metrics import MetricsLog
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.algorithm import Metrics
from ksim_cli.run import hosts, signals
from ksim_cli.run.run_store import LIMITS
from ksim_cli.run.seeds import each_seed

EVALUATED = ("episode_return_mean", "episode_return_std", "episode_length_mean")
AGAIN = 200
"""Iterations that a resumed run gives the extra loggers again: a kill took what they still held."""

Row = dict[str, float | int | None]


def scalars(metrics: Metrics, num_seeds: int = 1) -> list[Row]:
    """Scalars of an iteration as they are logged, a row for each seed; None: not measured."""
    unmeasured = {f"eval_{name}": None for name in EVALUATED}
    return [plain(one) | unmeasured for one in each_seed(jax.device_get(metrics), num_seeds)]


def mean_over_seeds(rows: Sequence[Row]) -> Row:
    """One row for all seeds: sums of counts, means of everything else that was measured."""
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


class MetricsLogger:
    """metrics.jsonl and the extra loggers; of several seeds, also `seeds/<seed>/metrics.jsonl`.

    Args:
        run: the run's folder.
        config: its configuration.
        warn: called with what an extra logger complains of.
    """

    def __init__(self, run: RunFolder, config: RunConfig, warn: Callable[[str], None]) -> None:
        self._run, self._config, self._warn = run, config, warn
        self._failed: set[Path] = set()
        self._main = MetricsLog(run.metrics)
        several = range(config.seed, config.seed + config.num_seeds) if config.num_seeds > 1 else ()
        self._each = [MetricsLog(run.seed_folder(seed) / "metrics.jsonl") for seed in several]
        self._loggers = Loggers({}, warn)

    def truncate_after(self, iteration: int) -> None:
        """Drop the rows after an iteration."""
        for log in (self._main, *self._each):
            log.truncate_after(iteration)

    def append(self, head: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Write an iteration, where the config wants it and this process is the one that writes.

        Args:
            head: what is the same for all seeds, `iteration` among it.
            rows: of each seed.
        """
        if not (self._config.log_train_metrics and hosts.is_leader()):
            return
        mean = {**head, **mean_over_seeds(rows)}
        each = ((log, {**head, **row}) for log, row in zip(self._each, rows, strict=False))
        for log, row in ((self._main, mean), *each):
            self._write(log, row)
        self._loggers.log(mean)

    def show(self, iteration: int, videos: Sequence[Path], plots: Sequence[Path]) -> None:
        """Give the extra loggers what was drawn of an evaluation.

        Args:
            iteration: the evaluation's.
            videos: its files.
            plots: theirs.
        """
        self._loggers.show(Media(iteration, tuple(videos), tuple(plots)))

    def _write(self, log: MetricsLog, row: Row) -> None:
        try:
            log.append(row)
            self._failed.discard(log.path)
        except OSError as error:
            if log.path not in self._failed:
                self._failed.add(log.path)
                self._warn(
                    f"{log.path} cannot be written: {error.strerror or error}. Training goes on;"
                    " its rows wait and are tried again"
                )

    @property
    def extra(self) -> list[str]:
        """Names of the extra loggers that the configuration asks for."""
        logger = self._config.logger
        asked = [name for name in ("tensorboard", "wandb") if getattr(logger, name)]
        return asked if self._config.log_train_metrics else []

    def open_loggers(self, iteration: int) -> None:
        """Start the extra loggers, cut back to where the run goes on.

        Args:
            iteration: the last one of the run so far, 0 for a new one.

        Raises:
            UserError: one cannot start.
        """
        facts = dataclasses.asdict(self._config)
        kept = self._main.read() if iteration and self.extra else []
        changed = set[str]()
        if "wandb" in self.extra and kept and kept[-1]["iteration"] > iteration:
            changed = changes(self._config, self._run.config).keys() - {*LIMITS}
        if changed:
            self._warn(
                f"logger.wandb: W&B keeps what it has of iterations {iteration + 1} to"
                f" {kept[-1]['iteration']}, of before {listing(changed)} changed: history there can"
                " only grow. metrics.jsonl has the new rows"
            )
        again = [row for row in kept if iteration - AGAIN < row["iteration"] <= iteration]
        first = again[0]["iteration"] - 1 if again else iteration
        self._loggers = open_loggers(self.extra, self._run.path, facts, first, self._warn)
        for row in again:
            self._loggers.log(row)

    def __enter__(self) -> "MetricsLogger":
        for log in self._each:
            make_folder(log.path.parent)
        return self

    def __exit__(self, *error: object) -> None:
        self._loggers.close(lambda: any(error) or signals.current().received is not None)
        for log in (self._main, *self._each):
            with contextlib.suppress(OSError):  # it was said
                log.write_waiting()
            log.close()
