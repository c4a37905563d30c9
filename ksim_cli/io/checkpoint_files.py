"""The files of a folder of checkpoints: their names, their arrays, and which of them may go.

Only the one process that saves may call what removes; the rest only looks.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.io.files import sync_folder
from ksim_cli.io.manifest import ManifestError, read_manifest

_MANIFEST = re.compile(r"(\d{8,})\.json")
_FOLDER = re.compile(r"(\d{8,})(-\d+)?")
_LEFTOVER = re.compile(
    r"\d{8,}(-\d+)?\.(orbax-checkpoint-tmp.*|removed)|\.\d{8,}\.json\.[0-9a-f]+\.tmp"
)


def manifest_path(folder: Path, step: int) -> Path:
    """Where the manifest of `step` is or would be."""
    return folder / f"{step:08d}.json"


def committed_steps(folder: Path) -> list[int]:
    """Steps that have a manifest, in order; what it says is not looked at."""
    return sorted(
        int(match[1])
        for name in _names(folder)
        if (match := _MANIFEST.fullmatch(name)) and (folder / name).is_file()
    )


def seen_steps(folder: Path) -> list[int]:
    """Steps that have a manifest or a folder called like one, in order."""
    numbers = {int(match[1]) for name in _names(folder) if (match := _FOLDER.fullmatch(name))}
    return sorted(numbers.union(committed_steps(folder)))


def free_name(folder: Path, step: int) -> str:
    """A folder name for `step` that is not taken, so that saving it anew overwrites nothing."""
    name, number = f"{step:08d}", 0
    while os.path.lexists(folder / name):
        number += 1
        name = f"{step:08d}-{number}"
    return name


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write `arrays` to the new folder `folder`, which appears only when it is complete."""
    if not arrays:  # orbax refuses an empty tree; the manifest alone tells of it
        folder.mkdir()
        (folder / "_CHECKPOINT_METADATA").write_text("{}\n", encoding="utf-8")
        return
    ocp = _orbax()
    with _checkpointer(ocp) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(arrays))


def load_arrays(folder: Path, paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the arrays at `paths` from `folder`, as numpy and with their saved types."""
    if not paths:
        return {}
    ocp = _orbax()
    arguments = ocp.args.PyTreeRestore(
        item=dict.fromkeys(paths, 0),
        restore_args={path: ocp.RestoreArgs(restore_type=np.ndarray) for path in paths},
        partial_restore=True,
    )
    with _checkpointer(ocp) as checkpointer:
        return checkpointer.restore(folder, args=arguments)


def _checkpointer(ocp: Any) -> Any:
    """One of this process alone: of several that train together only the first saves."""
    import jax

    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def remove_leftovers(folder: Path) -> None:
    """Remove what saves left behind that were killed, and folders that were replaced."""
    for name in _names(folder):
        path = folder / name
        if _LEFTOVER.fullmatch(name) or _is_orphan(path):
            _remove(path)


def remove_attempt(folder: Path, name: str) -> None:
    """Remove what a failed save to the folder `name` wrote, so that tries do not fill the disk."""
    for other in _names(folder):
        if other == name or other.startswith(f"{name}.orbax-checkpoint-tmp"):
            shutil.rmtree(folder / other, ignore_errors=True)


def retain(folder: Path, step: int, keep: int) -> None:
    """After `step` was saved, remove later steps and all but the `keep` newest.

    Later ones belong to a course that was given up: taking one up after a kill would mix the two.
    """
    steps = committed_steps(folder)
    earlier = [old for old in steps if old < step]
    kept = {step, *earlier[len(earlier) - min(keep - 1, len(earlier)) :]}
    for old in set(steps) - kept:
        path = manifest_path(folder, old)
        name = f"{old:08d}"
        with contextlib.suppress(ManifestError):  # one that is damaged names no folder
            name = read_manifest(path).folder
        path.unlink()  # first, so that no manifest speaks of a folder that is half gone
        sync_folder(folder)
        if (folder / name).is_dir():
            _remove(folder / name)
    remove_leftovers(folder)


def _orbax() -> Any:
    """The library, imported when it is first needed: a run that saves nothing pays nothing."""
    import orbax.checkpoint as ocp

    logger = logging.getLogger("absl")
    if _is_worth_showing not in logger.filters:
        logger.addFilter(_is_worth_showing)
    return ocp


def _is_worth_showing(record: logging.LogRecord) -> bool:
    """Not the pages of traceback that orbax logs for an error it raises as well."""
    return not Path(record.pathname).match("orbax/checkpoint/_src/futures/*.py")


def _names(folder: Path) -> list[str]:
    """Names in `folder`; none if it is not there."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _is_orphan(path: Path) -> bool:
    """Whether `path` is a folder of arrays that no manifest speaks of."""
    match = _FOLDER.fullmatch(path.name)
    if match is None or not (path / "_CHECKPOINT_METADATA").is_file():
        return False
    manifest = manifest_path(path.parent, int(match[1]))
    if not manifest.exists():
        return True
    try:
        return read_manifest(manifest).folder != path.name
    except ManifestError:
        return False  # a damaged manifest may have spoken of it: leave it to a person


def _remove(path: Path) -> None:
    """Remove a file or folder; a folder is renamed first, so that no half of one looks whole."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path
    if not _LEFTOVER.fullmatch(path.name):
        doomed = path.with_name(f"{path.name}.removed")
        os.replace(path, doomed)
    shutil.rmtree(doomed)
