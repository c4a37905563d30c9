"""Warnings of what goes wrong in an iteration without ending the run, and one dump of it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.algorithm import Incident
from ksim_cli.run import hosts
from ksim_cli.run.observed import constant_observations, unsound_observations
from ksim_cli.run.sanity import SHORT_EPISODE
from ksim_cli.run.seeds import each_seed
from ksim_cli.types import QUARANTINE_CAUSES

PATIENCE = 3
"""Iterations in a row whose episodes all end at once, before that is said."""


class Diagnostics:
    """Inspects the scalars of every iteration.

    Args:
        run: the run's folder.
        console: says what there is.
        config: the run's configuration.
        env: the environments that are trained in.
        obs: group -> what they observe before the first iteration, leading axis N, or S of several
            seeds and N.
    """

    def __init__(
        self,
        run: RunFolder,
        console: Console,
        config: RunConfig,
        env: TaskEnv,
        obs: Mapping[str, jax.Array],
    ) -> None:
        self._dump = run.path / "quarantine.npz"
        self._console = console
        self._num_seeds = config.num_seeds
        self._buffer_sizes = env.engine.buffer_sizes
        self._layout = env.observation_layout
        self._first_obs: Mapping[str, np.ndarray] | None = _on_host(obs)
        for what, todo in unsound_observations(self._first_obs, self._layout):
            console.warn(f"{what}: {todo}")
        self._has_overflowed = False
        self._short = 0

    def report(
        self,
        iteration: int,
        row: Mapping[str, Any],
        incident: Incident,
        obs: Mapping[str, jax.Array],
    ) -> None:
        """Warn of what went wrong; the first non-finite environment is dumped.

        Args:
            iteration: its number.
            row: its scalars.
            incident: the first environment that was quarantined, of each seed.
            obs: what is observed after it.
        """
        self._watch_observations(row, obs)
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
        self._watch_length(iteration, row)
        if row["quarantined"] and hosts.is_leader() and not self._dump.exists():
            self._dump_first(iteration, incident)

    def _watch_observations(self, row: Mapping[str, Any], obs: Mapping[str, jax.Array]) -> None:
        """Warn, once, of observations that have not changed since training began."""
        length = row.get("episode_length")
        if self._first_obs is None or (length is not None and length <= SHORT_EPISODE):
            return  # what was just reset looks as it did at first
        before, self._first_obs = self._first_obs, None
        for what, todo in constant_observations(before, _on_host(obs), self._layout):
            self._console.warn(f"{what}, in all environments. Leave it out: {todo}")

    def _watch_length(self, iteration: int, row: Mapping[str, Any]) -> None:
        """Warn, once, of episodes that end at their first steps."""
        length = row.get("episode_length")
        if length is None or self._short >= PATIENCE:  # none ended, or it was said
            return
        self._short = self._short + 1 if length <= SHORT_EPISODE else 0
        if self._short < PATIENCE:
            return
        shares = {
            name.partition("/")[2]: share
            for name, share in row.items()
            if name.startswith("termination/") and share
        }
        if shares:
            name = max(shares, key=lambda each: shares[each])
            why = f"by terminations.{name} ({shares[name]:.0%} of them)"
            todo = f"Loosen it, or leave it out: terminations.{name}=null"
        else:
            why, todo = "since they are not finite", "Shorten dt, or lower the gains"
        self._console.warn(
            f"iteration {iteration}: every episode ends at its first steps (mean length"
            f" {length:.1f}), {why}, so that nothing is learned. {todo}; ksim view policy=zero"
            " shows it"
        )

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


def _on_host(obs: Mapping[str, jax.Array]) -> dict[str, np.ndarray]:
    """Observations of this process's environments, `[N, O]`: nothing waits for another's."""
    rows: dict[str, np.ndarray] = {}
    for group, values in obs.items():
        parts = [np.asarray(shard.data) for shard in values.addressable_shards]
        rows[group] = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    return rows
