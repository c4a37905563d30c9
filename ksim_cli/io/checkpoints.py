"""Checkpoints that survive a kill at any moment and notice any damaged bit.

On disk, for each step: `00001000/` with the arrays (orbax) and `00001000.json`, the manifest. The
manifest is written after the arrays are, in one step; without a valid one there is no checkpoint.
Reading runs no code: arrays come from orbax, all else from JSON.
"""

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.errors import UserError, listing
from ksim_cli.io import checkpoint_files, trees
from ksim_cli.io.files import plain
from ksim_cli.io.manifest import (
    Leaf,
    Manifest,
    ManifestError,
    check_files,
    hash_files,
    package_versions,
    read_manifest,
    write_manifest,
)


class CheckpointError(Exception):
    """A save failed; the message names the step, the path and the free space."""


class CheckpointReadError(CheckpointError, UserError):
    """A checkpoint is missing, damaged, or holds something other than what is asked."""


class CheckpointStore:
    """The checkpoints of one run. One process may save; any number may read meanwhile."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        """Look at `folder`, which the first save makes.

        Args:
            folder: the run's folder of checkpoints.
            keep: how many of the newest steps stay.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder = folder.absolute()
        self.keep = keep
        self._thread: threading.Thread | None = None
        self._failure: CheckpointError | None = None
        self._swept = False
        self._verified: dict[int, Manifest] = {}

    def save(self, step: int, tree: Any, info: Mapping[str, Any]) -> None:
        """Save `tree` as `step`; returns once it is copied to the host, the rest goes on behind.

        Call `wait` before the process ends. After the commit all but the `keep` newest steps go,
        and so do later ones, which belong to a course that was given up. Saving a step anew
        replaces it without a moment in which neither exists.

        Args:
            step: its number, at least 0.
            tree: pytree of jax arrays, typed PRNG keys, numpy arrays and Python numbers.
            info: facts that JSON can hold, given back by `restore`.

        Raises:
            CheckpointError: the tree cannot be saved, or the save before this one failed; in the
                second case this one is under way nevertheless.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        self._join()
        try:
            arrays, described = trees.flatten(tree)
            facts = plain(dict(info))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint {step} cannot be saved: {error}") from error
        earlier, self._failure = self._failure, None
        self._thread = threading.Thread(
            target=self._write, args=(step, arrays, described, facts), name=f"checkpoint-{step}"
        )
        self._thread.start()
        if earlier is not None:
            raise earlier

    def wait(self) -> None:
        """Return once the last save is on disk.

        Raises:
            CheckpointError: it failed.
        """
        self._join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def steps(self) -> list[int]:
        """Steps that were committed, in order; their files are not looked at."""
        return checkpoint_files.committed_steps(self.folder)

    def newest(self, report: Callable[[str], None]) -> int | None:
        """The newest step whose every file is as it was written; None if there is no such step.

        Only looks: a run that is being trained may be read.

        Args:
            report: called with one sentence for each step that is passed over.
        """
        for step in reversed(checkpoint_files.seen_steps(self.folder)):
            reason = self.verify(step)
            if reason is None:
                return step
            report(f"checkpoint {step} in {self.folder} is passed over: {reason}")
        return None

    def verify(self, step: int) -> str | None:
        """Why `step` is not good: a file missing, damaged or unknown; None when it is good."""
        self._verified.pop(step, None)
        try:
            manifest = read_manifest(checkpoint_files.manifest_path(self.folder, step))
            check_files(self.folder / manifest.folder, manifest)
        except ManifestError as error:
            return str(error)
        except OSError as error:
            return f"it cannot be read: {error}"
        self._verified[step] = manifest
        return None

    def info(self, step: int) -> dict[str, Any]:
        """The facts given to `save`, without reading the tree.

        Raises:
            CheckpointReadError: the step is missing or damaged.
        """
        return dict(self._open(step).info)

    def restore(self, step: int, target: Any) -> tuple[Any, dict[str, Any]]:
        """Read the whole tree of `step`.

        Args:
            step: a step that was saved.
            target: pytree like the saved one; a leaf says how it comes back (numpy as numpy, jax
                as jax with its sharding, a `ShapeDtypeStruct` as what was saved).

        Returns:
            The tree, bit for bit as it was, and the facts given to `save`.

        Raises:
            CheckpointReadError: the step is missing or damaged, or a leaf differs in shape or type.
        """
        manifest = self._open(step)
        return self._read(manifest, target, {path: path for path in manifest.tree}), manifest.info

    def restore_subtree(self, step: int, prefix: str, target: Any) -> Any:
        """Read what lies under the key `prefix` at the top of the saved tree.

        Args:
            step: a step that was saved.
            prefix: the key; `a/b` for a deeper one.
            target: pytree like that part, as in `restore`.

        Raises:
            CheckpointReadError: as in `restore`, or nothing is stored under `prefix`.
        """
        manifest = self._open(step)
        start = f"{prefix}/"
        names = {path.removeprefix(start): path for path in manifest.tree if path.startswith(start)}
        if prefix in manifest.tree:
            names[trees.ROOT] = prefix
        if not names:
            tops = listing({path.split("/")[0] for path in manifest.tree})
            raise CheckpointReadError(
                f"checkpoint {step} in {self.folder} holds no {prefix!r}. It holds: {tops}."
            )
        return self._read(manifest, target, names)

    def sweep(self) -> None:
        """Remove what killed saves left. For the process that may save; its first save does it."""
        checkpoint_files.remove_leftovers(self.folder)
        self._swept = True

    def _join(self) -> None:
        """Let the save that is under way end."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], tree: dict[str, Leaf], info: dict[str, Any]
    ) -> None:
        """Write, commit and tidy up; runs in the background and keeps its error for later."""
        name = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self.sweep()
            name = checkpoint_files.free_name(self.folder, step)
            checkpoint_files.save_arrays(self.folder / name, arrays)
            files = hash_files(self.folder / name)
            manifest = Manifest(step, name, package_versions(), info, tree, files)
            write_manifest(checkpoint_files.manifest_path(self.folder, step), manifest)
            self._verified.pop(step, None)
        except Exception as error:  # whatever it is: the next save or wait raises it
            self._failure = _explain(step, self.folder, error)
            if name:
                checkpoint_files.remove_attempt(self.folder, name)
            return
        try:
            checkpoint_files.retain(self.folder, step, self.keep)
        except OSError as error:
            self._failure = CheckpointError(
                f"checkpoint {step} is saved, but old ones could not be removed: {error}"
            )

    def _open(self, step: int) -> Manifest:
        """The manifest of `step`, once every file has been verified."""
        self._join()
        if step not in self._verified:
            reason = self.verify(step)
            if reason is not None:
                steps = ", ".join(map(str, self.steps())) or "(none)"
                raise CheckpointReadError(
                    f"checkpoint {step} in {self.folder} cannot be used: {reason}. Stored: {steps}."
                )
        return self._verified[step]

    def _read(self, manifest: Manifest, target: Any, names: Mapping[str, str]) -> Any:
        """A tree like `target`; `names` maps the path of each of its leaves to the stored path."""
        part = {path: manifest.tree[stored] for path, stored in names.items()}
        lines = trees.mismatches(target, part)
        if lines:
            raise CheckpointReadError(
                "\n  ".join(
                    [
                        f"checkpoint {manifest.step} in {self.folder} does not fit what this "
                        "command has built from the configuration:",
                        *lines,
                    ]
                )
            )
        present = {path: names[path] for path, leaf in part.items() if 0 not in leaf.shape}
        stored = checkpoint_files.load_arrays(self.folder / manifest.folder, list(present.values()))
        arrays = {path: stored[name] for path, name in present.items()}
        return trees.unflatten(target, arrays, part)


def _explain(step: int, folder: Path, error: Exception) -> CheckpointError:
    """The error that says which save failed, where, why, and how much space there is."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    reason = str(error).strip().split("\n")[0]
    if len(reason) > 200:  # of orbax's long ones the two ends say what and why
        reason = f"{reason[:60]} … {reason[-140:]}"
    failure = CheckpointError(
        f"checkpoint {step} could not be saved to {folder}: {type(error).__name__}: {reason} "
        f"({free} bytes free there). Earlier checkpoints are as they were."
    )
    failure.__cause__ = error
    return failure
