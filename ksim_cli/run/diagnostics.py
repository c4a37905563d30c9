"""Warnings of what goes wrong in an iteration without ending the run, and one dump of it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.algorithm import Incident
from ksim_cli.run import hosts
from ksim_cli.run.seeds import each_seed
from ksim_cli.types import QUARANTINE_CAUSES


class Diagnostics:
    """Inspects the scalars of every iteration.

    Args:
        run: the run's folder.
        console: says what there is.
        config: the run's configuration.
        buffer_sizes: of the engine, see `Engine`.
    """

    def __init__(
        self, run: RunFolder, console: Console, config: RunConfig, buffer_sizes: Mapping[str, int]
    ) -> None:
        self._dump = run.path / "quarantine.npz"
        self._console = console
        self._num_seeds = config.num_seeds
        self._buffer_sizes = buffer_sizes
        self._has_overflowed = False

    def report(self, iteration: int, row: Mapping[str, Any], incident: Incident) -> None:
        """Warn of what went wrong; the first non-finite environment is dumped.

        Args:
            iteration: its number.
            row: its scalars.
            incident: the first environment that was quarantined, of each seed.
        """
        if row.get("skipped_updates"):  # of a task or algorithm that counts them
            self._console.warn(
                f"iteration {iteration}: {row['skipped_updates']:.0%} of the updates were not"
                " finite and were not applied"
            )
        if row["overflow"] and not self._has_overflowed:
            self._has_overflowed = True
            larger = [f"engine.{name}={2 * size}" for name, size in self._buffer_sizes.items()]
            self._console.warn(
                f"iteration {iteration}: in {row['overflow']} environment steps some contacts or"
                " constraints did not fit and were left out. Make room for more:"
                f" {' '.join(larger)}"
            )
        if row["quarantined"] and hosts.is_leader() and not self._dump.exists():
            self._dump_first(iteration, incident)

    def _dump_first(self, iteration: int, incident: Incident) -> None:
        incidents = each_seed(jax.device_get(incident), self._num_seeds)
        incident = next(one for one in incidents if one.cause)
        causes = [name for name, bit in QUARANTINE_CAUSES.items() if int(incident.cause) & bit]
        arrays = {f"obs_{k}": v for k, v in incident.obs.items()}
        arrays |= {f"view_{k}": v for k, v in incident.view.fields().items()}
        arrays |= {"action": incident.action, "step": incident.step, "env": incident.env}
        np.savez(self._dump, allow_pickle=False, **arrays)
        self._console.warn(
            f"iteration {iteration}: environment {int(incident.env)} was not finite"
            f" ({', '.join(causes)}) and was reset; it is not learned from. Dumped once:"
            f" {self._dump}"
        )
