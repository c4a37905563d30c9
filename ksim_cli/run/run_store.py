"""What of a run is kept on disk while it trains: its configuration and its checkpoints."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.config.resuming import changes, told_change
from ksim_cli.config.saved import config_text, hashes_of
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import RunFailedError, UserError
from ksim_cli.io.checkpoints import (
    CheckpointError,
    CheckpointReadError,
    CheckpointStore,
    refuse_misfit,
)
from ksim_cli.io.console import Console
from ksim_cli.io.files import replace_text
from ksim_cli.io.runs import RunFolder
from ksim_cli.physics.engine import Engine
from ksim_cli.rl.algorithm import TrainState
from ksim_cli.rl.rollout import PolicyState
from ksim_cli.run import hosts
from ksim_cli.run.kept_motion import keep_motions
from ksim_cli.run.own_files import keep_own_files, warn_of_changes
from ksim_cli.run.seeds import HOST, POLICY, TRAINING
from ksim_cli.task_model import TaskModel

LIMITS = ("num_iterations", "max_env_steps")
"""Keys of what ends a run, counted in iterations and in control steps."""

UNSAVED = 4
"""Exit status of a run whose checkpoints could not be saved."""

MOST_FAILURES = 5
"""Saves in a row that may fail before training ends."""


class RunStore:
    """Configuration and checkpoints of a run. All processes have one; the leader's writes.

    A save that fails is told with step, path and free space, and training goes on: the next may
    succeed. After `MOST_FAILURES` in a row, or where the last one of a run fails, it ends.

    Args:
        run: the run's folder.
        config: its configuration.
        console: says what went wrong.
    """

    def __init__(self, run: RunFolder, config: RunConfig, console: Console) -> None:
        self.checkpoints = CheckpointStore(run.checkpoints)
        self._live = CheckpointStore(run.live, keep=1)
        self._run, self._config, self._console = run, config, console
        self._writes = hosts.is_leader()
        self._hashes: list[str] = []
        self._failures = 0
        self._task_model: TaskModel | None = None

    def newest(self) -> tuple[int | None, dict[str, Any]]:
        """The checkpoint to resume from, and its facts; None for a run that starts afresh.

        Raises:
            UserError: there are checkpoints, and none can be read; or the run's config is not that
                of its newest checkpoint.
        """
        if not self._config.resume:
            return None, {}
        steps = self.checkpoints.steps()  # on every process: all refuse an earlier format
        found = self.checkpoints.newest(self._console.warn) if self._writes else None
        (step,) = hosts.broadcast(-1 if found is None else found)
        if step < 0 and steps:
            raise UserError(
                f"resume={self._run.path}: none of its checkpoints can be read. Starting afresh"
                " would remove them; train a new run instead"
            )
        if step < 0:
            return None, {}
        info = self.checkpoints.info(step)
        self._hashes = refuse_other_config(self._run, step, info)
        if not _is_of_training(info):
            raise UserError(
                f"resume={self._run.path}: checkpoint {step} does not say how far the run was as"
                " this ksim writes it; go on with the version that wrote it, or train a new run"
            )
        return step, info

    def begin(self, task_model: TaskModel) -> None:
        """Keeps what a fresh run is made of, so that one killed while compiling can go on."""
        self._task_model = task_model
        if not self._writes:
            return
        try:
            self._write_config()
            self._keep(task_model)
        except OSError as error:
            raise UserError(f"{self._run.path}: cannot be written: {error}") from error

    def refuse_misfit(self, engine: Engine, saved: int | None, abstract: TrainState) -> None:
        """Refuses what does not fit the checkpoint, and says what was changed since."""
        if saved is None:
            return
        try:
            refuse_misfit(self.checkpoints, saved, stored(abstract, engine))
        except CheckpointReadError as error:
            if not (told := self.changed()):
                raise
            raise UserError(
                f"{', '.join(told)}: what shapes a run's state cannot be changed. Leave it out,"
                f" or train a new run\n  {error}"
            ) from error

    def changed(self) -> list[str]:
        """What differs from the run's config, but for what ends the run."""
        changed = changes(self._config, self._run.config)
        return [told_change(key, *changed[key]) for key in changed if key not in LIMITS]

    def restore(
        self, saved: int, abstract: TrainState, engine: Engine, task_model: TaskModel
    ) -> TrainState:
        """The state of a checkpoint; from here on the run's config is what was typed."""
        self._task_model = task_model
        tree, _ = self.checkpoints.restore(saved, stored(abstract, engine))
        engine.load_host_state(tree[HOST])
        if self._writes:  # only now: what does not fit the checkpoint shall not be kept
            if changes(self._config, self._run.config):
                self._write_config()
                if task_model.motions is None or not task_model.motions.are_copies:
                    keep_motions(self._run, task_model)
            if warn_of_changes(self._run, task_model.task, self._console):
                keep_own_files(self._run, task_model.task)
        return tree[TRAINING].with_policy(tree[POLICY])

    def save(self, step: int, state: TrainState, engine: Engine, info: Mapping[str, Any]) -> None:
        """Saves a state behind training's back; what failed before is told now.

        Raises:
            RunFailedError: too many saves in a row have failed.
        """
        state = hosts.gather(state)
        if not self._writes:
            return
        try:
            self._make_again(step)
            refuse_unsound(step, state.policy)
            facts = {**info, "config_sha256": self._hashes[-1]}
            self.checkpoints.save(step, stored(state, engine), facts)
            self._failures = 0
        except CheckpointError as error:
            self._count(error)

    def show(self, step: int, policy: PolicyState) -> None:
        """Leaves what acts now where a viewer finds it; where that fails there is nothing to see.

        Only a process that trains alone does: what others hold would have to be gathered.
        """
        if not self._writes or jax.process_count() > 1:
            return
        with contextlib.suppress(CheckpointError):
            self._live.save(step, {POLICY: policy}, {"config_sha256": self._hashes[-1]})

    def _make_again(self, step: int) -> None:
        """Makes the folder of a run that was removed: what is saved shall be a run."""
        try:
            if not os.path.lexists(self._run.config):
                self._console.warn(f"{self._run.path} was removed; it is made again")
                self._run.path.mkdir(parents=True, exist_ok=True)
                self._write_config()
                if self._task_model is not None:
                    self._keep(self._task_model)
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"checkpoint {step} could not be saved: {reason}.") from error

    def wait(self) -> None:
        """Returns once the last save is on disk.

        Raises:
            RunFailedError: it failed.
        """
        try:
            self.checkpoints.wait()
        except CheckpointError as error:
            raise RunFailedError(str(error), UNSAVED) from error

    def _count(self, error: CheckpointError) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            raise RunFailedError(f"{error} {self._failures} saves in a row failed", UNSAVED)
        self._console.warn(f"{error} Training goes on, and the next save tries again")

    def _write_config(self) -> None:
        """Writes the config, under a seal, with those that it replaces."""
        text = config_text(self._config, self._hashes)
        replace_text(self._run.config, text)
        self._hashes = hashes_of(text)

    def _keep(self, task_model: TaskModel) -> None:
        """Keeps what of a run lies outside of its folder."""
        keep_own_files(self._run, task_model.task)
        keep_motions(self._run, task_model)


def refuse_other_config(run: RunFolder, step: int, info: Mapping[str, Any]) -> list[str]:
    """Refuses a checkpoint that was trained with another config than its folder holds.

    Returns:
        The hashes of the config, and before them those of the configs that it replaced.

    Raises:
        UserError: it says what to put back.
    """
    hashes = hashes_of(run.config.read_text("utf-8"))
    if info.get("config_sha256") not in hashes:
        raise UserError(
            f"{run.config}: is not the config that checkpoint {step} was trained with."
            " Put that one back, or take the run that this one is of"
        )
    return hashes


def refuse_unsound(step: int, policy: Any) -> None:
    """Refuses to keep what can never act again; an infinity may be meant.

    Raises:
        CheckpointError: it names what is not a number.
    """
    for path, leaf in jax.tree.leaves_with_path(policy):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and np.isnan(np.asarray(leaf)).any():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise CheckpointError(f"checkpoint {step} cannot be saved: {name} is not a number.")


def _is_of_training(info: Mapping[str, Any]) -> bool:
    """True if a checkpoint's facts are those that training saves with it."""
    try:
        rows = info.get("unlogged")
        head, *_ = [{}] if rows is None else [dict(row) for row in rows]
        counts = [info["iteration"], info["env_steps"], *info["quarantined"].values()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return False
    whole = all(type(count) is int and count >= 0 for count in counts)
    return whole and head.get("iteration", counts[0]) == counts[0]


def stored(state: TrainState, engine: Engine) -> dict[str, Any]:
    """A training state as a checkpoint holds it: what acts stands apart from the rest."""
    return {POLICY: state.policy, TRAINING: state.without_policy(), HOST: engine.host_state()}
