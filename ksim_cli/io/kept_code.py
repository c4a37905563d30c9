"""The user's own code, kept with a run: `code/` in its folder, and what has changed since.

A run's rewards, observations and model are what the project's files say. Without those of the day
it was trained, nobody can tell why it evaluates otherwise a month later.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ksim_cli.config.components import TaskConfig
from ksim_cli.config.schema import RunConfig, term_paths
from ksim_cli.errors import UserError
from ksim_cli.io.files import hash_file, refuse_link, write_json
from ksim_cli.io.runs import RunFolder
from ksim_cli.paths import project_roots

HASHES = "sha256.json"
"""File of `code/`: path in the project -> SHA-256 of that file when training began."""

ELSEWHERE = "elsewhere"
"""Folder of `code/` for files outside the project, in the folders that they lie in."""

_MODELS = {".xml", ".mjcf", ".urdf"}
_COPIED = {".py", ".yaml", *_MODELS}
_MOST_BYTES = 2**20
"""Larger files, and files of other kinds (meshes), are known by their hash only."""

_MOST_TEXT = 2**26
"""Larger models are not looked through: MuJoCo has read them already, or has not."""

_NAMED = re.compile(r"""\b(file\w*|\w*dir)\s*=\s*["']([^"'\n]+)["']""")
"""Attributes of a model that name files, and folders that they are looked for in."""


def own_files(
    root: Path | None, tasks: Iterable[str], modules: Iterable[str], named: Iterable[Path]
) -> dict[str, Path]:
    """Files of a user's own that a run is made of, by their path in his project, or in full.

    Args:
        root: his project; None: there is none.
        tasks: whose folders in it count.
        modules: files of imported modules; those in the project count.
        named: files that the configuration names, wherever they lie: see `model_files`.
    """
    found: dict[str, Path] = {}
    if root is not None:
        paths = {Path(file).resolve() for file in modules}
        for task in tasks:
            paths |= {path.resolve() for path in (root / "tasks" / task).rglob("*")}
        inside = (path for path in paths if path.is_file() and path.is_relative_to(root))
        kept = (path for path in inside if path.suffix != ".pyc")
        found = {path.relative_to(root).as_posix(): path for path in kept}
    known = {*found.values()}
    others = {path.resolve() for path in named if path.is_file()} - known
    return dict(sorted([*found.items(), *((path.as_posix(), path) for path in others)]))


def model_files(model: Path) -> set[Path]:
    """A model's file and those that it names, wherever they lie: includes, meshes, textures."""
    texts, folders, names = {model.resolve()}, {model.parent}, set[str]()
    pending = [*texts]
    while pending:
        file = pending.pop()
        if not file.is_file() or file.stat().st_size > _MOST_TEXT:
            continue
        for key, value in _NAMED.findall(file.read_text("utf-8", errors="replace")):
            if key.endswith("dir"):
                folders.add(model.parent / value)
            elif Path(value).suffix not in _MODELS:
                names |= {value, Path(value).name}  # of a URDF MuJoCo may leave out the folders
            else:
                found = {(above / value).resolve() for above in (model.parent, file.parent)} - texts
                texts |= found
                pending += found
    return texts | {folder / name for folder in folders for name in names}


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
        if path.suffix in _COPIED and path.stat().st_size <= _MOST_BYTES:
            inside = Path(name).relative_to(Path(name).anchor)
            copy = folder / (ELSEWHERE if Path(name).is_absolute() else "") / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
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
    roots = _own_roots()
    levels = [f"tasks/{name}" for name in ("", task.name, *task.extends)]
    known = _kept_hashes(run / "code")
    for file in sorted({(root / level / given).resolve() for root in roots for level in levels}):
        own = any(file.is_relative_to(root) for root in roots)
        if not file.is_file() or (own and not file.is_relative_to(run.resolve())):
            continue
        if known.get(file.as_posix()) != hash_file(file) or file.is_relative_to(run.resolve()):
            raise _foreign(run, "task.model", file)


def refuse_foreign_files(config: RunConfig, run: Path, typed: Collection[str]) -> None:
    """Refuses files of a saved config's terms that lie outside of the user's project.

    A run of his own knows what it took from elsewhere by its hash; a stranger's would have any
    file opened.

    Args:
        config: as it was composed.
        run: the run's folder.
        typed: keys that were typed.

    Raises:
        UserError: it says what to type.
    """
    roots, known = _own_roots(), _kept_hashes(run / "code")
    named = [(f"{section}.{name}.path", path) for section, name, path in term_paths(config)]
    if not RunFolder(run).motion_copies(len(config.motion.files)):  # which are read, if they are
        named += [("motion.files", path) for path in config.motion.files]
    for key, path in named:
        file = Path(path).resolve()
        if key in typed or any(file.is_relative_to(root) for root in roots):
            continue
        if not file.is_file() or known.get(file.as_posix()) != hash_file(file):
            raise _foreign(run, key, path)


def _own_roots() -> list[Path]:
    return [root.resolve() for root in (*project_roots(), Path.cwd())]


def _foreign(run: Path, key: str, file: str | Path) -> UserError:
    return UserError(
        f"{run / 'config.yaml'}: {key}: {file} lies outside of this folder, and is not (or no"
        f" longer) what the run was trained with. If it is yours, type {key}={file}"
    )


def _kept_hashes(folder: Path) -> dict[str, str]:
    """Name of each file that was kept -> its hash; none where nothing readable is."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads((folder / HASHES).read_text("utf-8")))
    return {}


def changed_code(folder: Path, files: Mapping[str, Path], root: Path | None = None) -> list[str]:
    """What differs from the code that was kept: `tasks/mine.py changed`, `… is gone`, `… is new`.

    Nothing where none was kept.

    Args:
        folder: `code/` of a run.
        files: see `own_files`.
        root: the user's project; a file that is still there may not have been imported yet.
    """
    before = _kept_hashes(folder)
    if not before:
        return []
    if root is not None:
        there = {name: (root / name).resolve() for name in before if not Path(name).is_absolute()}
        unseen = {n: p for n, p in there.items() if p.is_file() and p.is_relative_to(root)}
        files = {**unseen, **files}
    changed = [f"{name} is gone" for name in before if name not in files]
    for name, path in files.items():
        if name not in before:
            changed.append(f"{name} is new")
        elif hash_file(path) != before[name]:
            changed.append(f"{name} changed")
    return sorted(changed)
