"""Warnings of what goes wrong in an iteration without ending the run, and dumps of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.io.console import Console
from ksim_cli.io.dumps import Dump, write_dump
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.incident import Incident
from ksim_cli.run import hosts
from ksim_cli.run.observed import constant_observations
from ksim_cli.run.sanity import SHORT_EPISODE
from ksim_cli.run.seeds import each_seed

PATIENCE = 3
"""Iterations in a row whose episodes all end at once, before that is said."""

GIVES_UP = 10
"""Iterations in a row without an update that could be applied, before training ends."""

_SHARES = (0.01, 0.1, 0.5)
"""Shares of quarantined steps: as each is passed, that is said once."""


def advice(at_fault: str) -> str:
    """The end of a message: what to do about a suspect of the quarantine."""
    kind, _, name = at_fault.partition(".")
    if name:
        return f". Mend the term, or leave it out: {at_fault}=null"
    if kind == "action":
        return ". The policy itself gives it: lower optimizer.learning_rate"
    return ". Shorten dt, or lower the gains and limits"


class Diagnostics:
    """Inspects the scalars of every iteration.

    Args:
        run: the run's folder.
        console: says what there is.
        config: the run's configuration.
        env: the environments that are trained in.
        obs: group -> what they observe before the first iteration, leading axis N, or S of several
            seeds and N.
        quarantined: what was at fault -> environment steps so far; counted on.
    """

    def __init__(
        self,
        run: RunFolder,
        console: Console,
        config: RunConfig,
        env: TaskEnv,
        obs: Mapping[str, jax.Array],
        quarantined: Counter[str],
    ) -> None:
        self._run = run
        self._console = console
        self._iterations_each = config.epochs_per_log_step
        self._num_seeds = config.num_seeds
        self._buffer_sizes = env.engine.buffer_sizes
        self._layout = env.observation_layout
        self._first_obs: Mapping[str, np.ndarray] | None = _on_host(obs)
        self._has_overflowed = False
        self._short = 0
        self._without_update = [0] * config.num_seeds
        self._shares = list(_SHARES)
        self._dumped: dict[str, str] = {}  # in order: the last one stands last
        self._quarantined = quarantined

    def report(
        self,
        iteration: int,
        row: Mapping[str, Any],
        incident: Incident,
        obs: Mapping[str, jax.Array],
    ) -> None:
        """Warn of what went wrong; the first environment of each fault is dumped.

        Args:
            iteration: its number.
            row: its scalars.
            incident: the first environment that was quarantined, of each seed.
            obs: what is observed after it.
        """
        self._watch_observations(row, obs)
        if row["skipped_updates"]:
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
        if row["quarantined"]:
            self._watch_quarantine(iteration, row, incident)

    def count_updates(self, skipped: Sequence[float | None]) -> None:
        """Take note of each seed's share of updates that were not applied; say which is lost."""
        for i, share in enumerate(skipped):
            before = self._without_update[i]
            self._without_update[i] = before + self._iterations_each if share == 1.0 else 0
            if before < GIVES_UP <= self._without_update[i] and len(skipped) > 1:
                self._console.warn(
                    f"the {i + 1}. of {len(skipped)} seeds has learned nothing for {GIVES_UP}"
                    " iterations; the others go on"
                )

    def why_give_up(self) -> str | None:
        """Why training is to end; None: it goes on."""
        if min(self._without_update) < GIVES_UP:
            return None
        path = [*self._dumped.values()][-1] if self._dumped else None
        todo = (
            f"Last dump: {path}; ksim view dump={path} shows it"
            if path
            else "No environment was at fault: lower optimizer.learning_rate, or look at the loss"
        )
        return f"no update of the last {GIVES_UP} iterations could be applied. {todo}"

    def _watch_quarantine(self, iteration: int, row: Mapping[str, Any], incident: Incident) -> None:
        """Count what was at fault; dump the first of each, and say where it gets serious."""
        start = "quarantined/"
        self._quarantined.update(
            {name[len(start) :]: n for name, n in row.items() if name.startswith(start) and n}
        )
        for each in each_seed(jax.device_get(incident), self._num_seeds):
            if each.cause and each.suspects[each.cause - 1] not in self._dumped:
                self._dump(iteration, each)
        passed = [share for share in self._shares if row["quarantine_rate"] >= share]
        if passed:
            self._shares = self._shares[len(passed) :]
            self._console.warn(
                f"iteration {iteration}: {row['quarantine_rate']:.0%} of its environment steps were"
                " quarantined, and nothing is learned from them"
            )

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

    def _dump(self, iteration: int, incident: Incident) -> None:
        """Write what is known of an incident, and say so."""
        at_fault = incident.suspects[incident.cause - 1]
        arrays: dict[str, Any] = {
            "action": incident.action,
            "step": incident.step,
            "env": incident.env,
            "iteration": iteration,
        }
        for kind, values in (
            ("obs", incident.obs),
            ("view", incident.view.fields()),
            ("command", incident.commands),
            ("reward", incident.rewards),
        ):
            arrays |= {f"{kind}/{name}": value for name, value in values.items()}
        path = self._run.dumps / f"{at_fault}.npz"
        try:
            if hosts.is_leader():
                path = write_dump(self._run.dumps, Dump(at_fault, arrays))
            shown = f"ksim view dump={path} shows the steps before"
        except OSError as error:
            shown = f"{path} could not be written: {error.strerror or error}"
        self._dumped[at_fault] = str(path)
        self._console.warn(
            f"iteration {iteration}: {at_fault} was not finite, or too large, in environment"
            f" {int(incident.env)}, which was reset; what is so is not learned from"
            f"{advice(at_fault)}. {shown}"
        )


def _on_host(obs: Mapping[str, jax.Array]) -> dict[str, np.ndarray]:
    """Observations of this process's environments, `[N, O]`: nothing waits for another's."""
    rows: dict[str, np.ndarray] = {}
    for group, values in obs.items():
        parts = [np.asarray(shard.data) for shard in values.addressable_shards]
        rows[group] = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    return rows
