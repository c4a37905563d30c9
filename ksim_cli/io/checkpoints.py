"""Checkpoints that survive a kill at any moment and notice any damaged bit."""

import shutil
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ksim_cli.errors import UserError, listing
from ksim_cli.io import checkpoint_files as files
from ksim_cli.io import pytrees
from ksim_cli.io.files import plain


class CheckpointError(Exception):
    """A save failed; the message names the step, the path and the free space."""


class CheckpointReadError(CheckpointError, UserError):
    """A checkpoint is missing, damaged, or holds something other than what is asked."""


class CheckpointStore:
    """The checkpoints of one run. One process may save; any number may read meanwhile.

    All that reads raises a UserError where they are of an earlier version of ksim.
    """

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
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._swept = False

    def save(self, step: int, tree: Any, info: Mapping[str, Any]) -> None:
        """Save `tree` as `step`; returns once it is copied to the host, the rest goes on behind.

        Call `wait` before the process ends. After the commit all but the `keep` newest steps go,
        and so do later ones, which belong to a course that was given up. Saving a step anew
        replaces it without a moment in which neither exists.

        Args:
            step: its number, at least 0.
            tree: pytree of jax arrays, typed PRNG keys, numpy arrays and Python numbers; the part
                under the key `policy` gets a file of its own.
            info: facts that JSON can hold, given back by `restore`.

        Raises:
            CheckpointError: the tree cannot be saved, or the save before this one failed; in the
                second case this one is under way nevertheless.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        earlier = self._settle()
        try:
            arrays, leaves = pytrees.flatten(tree)
            facts = plain(dict(info))
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"checkpoint {step} cannot be saved: {error}") from error
        manifest = files.Manifest(step, files.package_versions(), facts, {}, leaves)
        self._pending = self._writer.submit(self._write, manifest, arrays)
        if earlier is not None:
            raise earlier

    def wait(self) -> None:
        """Return once the last save is on disk.

        Raises:
            CheckpointError: it failed.
        """
        failure, self._pending = self._settle(), None
        if failure is not None:
            raise failure

    def steps(self) -> list[int]:
        """Steps that were committed, in order; their files are not looked at."""
        return files.committed_steps(self.folder)

    def newest(self, report: Callable[[str], None]) -> int | None:
        """The newest step whose every file is as it was written; None if there is no such step.

        Only looks: a run that is being trained may be read.

        Args:
            report: called with one sentence for each step that is passed over.
        """
        for step in reversed(files.step_folders(self.folder)):
            reason = self.verify(step)
            if reason is None:
                return step
            report(f"checkpoint {step} in {self.folder} is passed over: {reason}")
        return None

    def verify(self, step: int) -> str | None:
        """Why `step` is not good: a file missing, damaged or unknown; None when it is good."""
        try:
            files.check_step(self._path(step))
        except (files.DamagedError, OSError) as error:
            return str(error)
        return None

    def info(self, step: int) -> dict[str, Any]:
        """The facts given to `save`, without reading the tree.

        Raises:
            CheckpointReadError: the step is missing, or its manifest is damaged.
        """
        with self._reading(step) as path:
            return files.read_manifest(path).info

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
        return self._read(step, "", target)

    def restore_subtree(self, step: int, prefix: str, target: Any) -> Any:
        """Read what lies under the key `prefix` at the top of the saved tree, and no other file.

        Args:
            step: a step that was saved.
            prefix: the key; `a/b` for a deeper one.
            target: pytree like that part, as in `restore`.

        Raises:
            CheckpointReadError: as in `restore`, or nothing is stored under `prefix`.
        """
        return self._read(step, f"{prefix}/", target)[0]

    def sweep(self) -> None:
        """Remove what killed saves left. For the process that may save; its first save does it."""
        files.remove_others(self.folder, self.steps())
        self._swept = True

    def _settle(self) -> BaseException | None:
        """Let the save that is under way end; its failure."""
        return None if self._pending is None else self._pending.exception()

    def _write(self, manifest: files.Manifest, arrays: dict[str, Any]) -> None:
        """Write, commit and tidy up, in the background."""
        step = manifest.step
        try:
            if not self._swept:
                self.sweep()
            files.write_step(self.folder, manifest, arrays)
        except Exception as error:  # whatever it is: the next save or wait raises it
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(
                f"checkpoint {step} could not be saved to {self.folder}: {type(error).__name__}:"
                f" {reason} ({_free(self.folder)} bytes free there)."
                " Earlier checkpoints are as they were."
            ) from error
        try:
            steps = [each for each in self.steps() if each <= step]
            files.remove_others(self.folder, steps[-self.keep :])
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {step} is saved, but old ones could not be removed: {error}"
            ) from error

    def _path(self, step: int) -> Path:
        """Folder of `step`, which may not be there."""
        return files.step_folders(self.folder).get(step, self.folder / f"{step:08d}")

    @contextmanager
    def _reading(self, step: int) -> Generator[Path]:
        """Folder of `step`; damage to it is told with what else there is."""
        self._settle()
        try:
            yield self._path(step)
        except (files.DamagedError, OSError) as error:
            stored = ", ".join(map(str, self.steps())) or "(none)"
            raise CheckpointReadError(
                f"checkpoint {step} in {self.folder} cannot be used: {error}. Stored: {stored}."
            ) from error

    def _read(self, step: int, start: str, target: Any) -> tuple[Any, dict[str, Any]]:
        """A tree like `target` of the leaves whose paths begin so, and the facts of `step`."""
        with self._reading(step) as path:
            manifest = files.read_manifest(path)
            where = f"checkpoint {step} in {self.folder}"
            stored = _fitting(where, manifest, start, target)
            arrays = files.read_arrays(path, manifest, stored.values())
        found = {name: arrays[old] for name, old in stored.items()}
        leaves = {name: manifest.tree[old] for name, old in stored.items()}
        return pytrees.unflatten(target, found, leaves), manifest.info


def _free(folder: Path) -> str:
    """How many bytes are free where a folder is, or would be; a disk that is gone cannot say."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return str(shutil.disk_usage(place).free)
    return "an unknown number of"


def refuse_misfit(store: CheckpointStore, step: int, target: Any) -> None:
    """Refuse a tree that `restore` could not read, without reading any array.

    Args:
        store: the run's checkpoints.
        step: one of them that is good.
        target: as in `restore`.

    Raises:
        CheckpointReadError: a leaf differs in shape or type.
    """
    manifest = files.read_manifest(files.step_folders(store.folder)[step])
    _fitting(f"checkpoint {step} in {store.folder}", manifest, "", target)


def read_arrays(store: CheckpointStore, step: int, prefix: str) -> dict[str, Any]:
    """Numpy arrays of what lies under a key of a saved tree, by their paths below it.

    Unlike `CheckpointStore.restore_subtree` it asks for no structure. Nothing under it is nothing.

    Args:
        store: the run's checkpoints.
        step: one of them.
        prefix: the key, `a/b`.

    Raises:
        CheckpointReadError: the step is missing or damaged.
    """
    start, path = f"{prefix}/", files.step_folders(store.folder).get(step)
    try:
        if path is None:
            raise files.DamagedError("it is not there")
        manifest = files.read_manifest(path)
        names = [name for name in manifest.tree if name.startswith(start)]
        arrays = files.read_arrays(path, manifest, names)
    except (files.DamagedError, OSError) as error:
        raise CheckpointReadError(f"checkpoint {step} in {store.folder}: {error}") from error
    return {name.removeprefix(start): array for name, array in arrays.items()}


def _fitting(where: str, manifest: files.Manifest, start: str, target: Any) -> dict[str, str]:
    """Name of a leaf of `target` -> its path in the saved tree, of those that begin so."""
    stored = {
        name[len(start) :] or pytrees.ROOT: name
        for name in manifest.tree
        if f"{name}/".startswith(start)
    }
    if start and not stored:
        tops = listing({name.split("/")[0] for name in manifest.tree})
        raise CheckpointReadError(f"{where} holds no {start[:-1]!r}. It holds: {tops}.")
    leaves = {name: manifest.tree[old] for name, old in stored.items()}
    if lines := pytrees.mismatches(target, leaves):
        head = f"{where} does not fit what this command has built from the configuration:"
        raise CheckpointReadError("\n  ".join([head, *lines]))
    return stored
