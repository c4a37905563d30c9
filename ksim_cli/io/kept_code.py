"""The user's own code, kept with a run: `code/` in its folder, and what has changed since.

A run's rewards, observations and model are what the project's files say. Without those of the day
it was trained, nobody can tell why it evaluates otherwise a month later.
"""

import contextlib
import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ksim_cli.config.components import TaskConfig
from ksim_cli.config.schema import TERM_SECTIONS, RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.files import hash_file, refuse_link, write_json
from ksim_cli.paths import project_roots

HASHES = "sha256.json"
"""File of `code/`: path in the project -> SHA-256 of that file when training began."""

_COPIED = {".py", ".xml", ".mjcf", ".urdf", ".yaml"}
_MOST_BYTES = 2**20
"""Larger files, and files of other kinds (meshes), are known by their hash only."""


def own_files(
    root: Path | None, tasks: Iterable[str], modules: Iterable[str], model: Path | None
) -> dict[str, Path]:
    """Files of a user's own that a run is made of, by their path in his project, or in full.

    Args:
        root: his project; None: there is none.
        tasks: whose folders in it count.
        modules: files of imported modules; those in the project count.
        model: the model file, wherever it lies; None: none is given.
    """
    found: dict[str, Path] = {}
    if root is not None:
        paths = {Path(file).resolve() for file in modules}
        for task in tasks:
            paths |= {path.resolve() for path in (root / "tasks" / task).rglob("*")}
        inside = (path for path in paths if path.is_file() and path.is_relative_to(root))
        kept = (path for path in inside if path.suffix != ".pyc")
        found = {path.relative_to(root).as_posix(): path for path in kept}
    if model is not None and model.is_file():
        path = model.resolve()
        if path not in found.values():
            found[path.as_posix()] = path
    return dict(sorted(found.items()))


def keep_code(folder: Path, files: Mapping[str, Path]) -> None:
    """Copies files and their hashes to a folder; one that is there makes room.

    Args:
        folder: `code/` of a run.
        files: see `own_files`.
    """
    refuse_link(folder)
    if folder.exists():
        number = 1
        while (before := folder.with_name(f"{folder.name}-{number}")).exists():
            number += 1
        folder.rename(before)
    folder.mkdir(parents=True)
    for name, path in files.items():
        copied = path.suffix in _COPIED and path.stat().st_size <= _MOST_BYTES
        if copied and not Path(name).is_absolute():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    write_json(folder / HASHES, {name: hash_file(path) for name, path in files.items()})


def refuse_foreign_model(task: TaskConfig, run: Path) -> None:
    """Refuses a model of a saved config that the user's project does not hold, nor the run know.

    What the run was trained with it has the hash of, and who can give that knows the file already.
    The user's project, or else his current folder, is his own; a run brings no model along.

    Args:
        task: of the saved config.
        run: the run's folder.

    Raises:
        UserError: it says what to type.
    """
    given = Path(task.model)
    if not (given.is_absolute() or ".." in given.parts):
        return
    roots = [root.resolve() for root in (*project_roots(), Path.cwd())]
    levels = [f"tasks/{name}" for name in ("", task.name, *task.extends)]
    known = _kept_hashes(run / "code")
    for file in sorted({(root / level / given).resolve() for root in roots for level in levels}):
        own = any(file.is_relative_to(root) for root in roots)
        if not file.is_file() or (own and not file.is_relative_to(run.resolve())):
            continue
        if known.get(file.as_posix()) != hash_file(file) or file.is_relative_to(run.resolve()):
            raise UserError(
                f"{run / 'config.yaml'}: task.model: {file} lies outside of this folder, and is not"
                f" (or no longer) what the run was trained with. If it is yours, type"
                f" task.model={file}"
            )


def refuse_foreign_files(config: RunConfig, run: Path, typed: Collection[str]) -> None:
    """Refuses files of a saved config's terms that lie outside of the user's project.

    A run of his own that took one from elsewhere is told what to type; a stranger's would have
    any file opened.

    Args:
        config: as it was composed.
        run: the run's folder.
        typed: keys that were typed.

    Raises:
        UserError: it says what to type.
    """
    here = Path.cwd()
    roots = [root.resolve() for root in (*project_roots(), here)]
    for kind in TERM_SECTIONS:
        for name, term in getattr(config, kind).items():
            path = term.get("path") if isinstance(term, Mapping) else None
            key = f"{kind}.{name}.path"
            if not isinstance(path, str) or key in typed:
                continue
            file = (here / path).resolve()
            if not any(file.is_relative_to(root) for root in roots):
                raise UserError(
                    f"{run / 'config.yaml'}: {key}: {path} lies outside of this folder. If it is"
                    f" yours, type {key}={path}"
                )


def _kept_hashes(folder: Path) -> dict[str, str]:
    """Name of each file that was kept -> its hash; none where nothing readable is."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads((folder / HASHES).read_text("utf-8")))
    return {}


def changed_code(folder: Path, files: Mapping[str, Path]) -> list[str]:
    """What differs from the code that was kept: `tasks/mine.py changed`, `… is gone`, `… is new`.

    Nothing where none was kept.

    Args:
        folder: `code/` of a run.
        files: see `own_files`.
    """
    before = _kept_hashes(folder)
    if not before:
        return []
    changed = [f"{name} is gone" for name in before if name not in files]
    for name, path in files.items():
        if name not in before:
            changed.append(f"{name} is new")
        elif hash_file(path) != before[name]:
            changed.append(f"{name} changed")
    return sorted(changed)
