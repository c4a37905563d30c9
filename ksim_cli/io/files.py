"""Files that are complete or absent, and JSON that any reader accepts (standard library only).

A run's folder may come from a stranger: nothing in it is written through a link.
"""

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, overload

from ksim_cli.errors import UserError


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays as lists, NaN and infinities as None, paths as text.

    Raises:
        TypeError: for an object that has no such form.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # arrays and scalars of numpy and jax, without importing either
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form (got {value!r})")


def refuse_link(path: Path) -> None:
    """Refuses a link, and what is neither a file nor a folder (a pipe); nothing there is fine.

    Raises:
        UserError: it names it.
    """
    if path.is_symlink():
        raise UserError(
            f"{path}: is a link, and nothing is written through links in a run's folder. Remove it"
        )
    if os.path.lexists(path) and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is neither a file nor a folder. Remove it")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; one that is there is fine, unless it is a link.

    Raises:
        UserError: it is a link or a file.
    """
    refuse_link(path)
    if path.is_file():
        raise UserError(f"{path}: is a file, and a folder is to be there. Move it away")
    path.mkdir(parents=True, exist_ok=True)


@overload
def open_own(path: Path, mode: Literal["a"]) -> TextIO: ...
@overload
def open_own(path: Path, mode: Literal["ab"]) -> FileIO: ...
@overload
def open_own(path: Path, mode: Literal["wb"]) -> BinaryIO: ...
def open_own(path: Path, mode: str) -> Any:
    """Opens a file of a run's for writing, never through a link; text is UTF-8.

    Args:
        path: the file; its folder is there.
        mode: `a` for lines of text to add, `ab` for bytes to add at once, `wb` for bytes anew.

    Raises:
        UserError: it is a link or a folder.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    return open(path, mode, 0 if mode == "ab" else -1, opener=open_descriptor, **text)


def open_to_read(path: Path) -> BinaryIO:
    """Opens a file that may be a stranger's for reading, never through a link nor a pipe.

    Raises:
        UserError: it is a link, a folder or a pipe.
        OSError: it is not there, or cannot be read.
    """
    return open(path, "rb", opener=open_descriptor)


def open_descriptor(path: str | Path, flags: int) -> int:
    """Opens a file as `os.open` does, never through a link.

    Raises:
        UserError: it is a link or a folder.
    """
    refuse_link(Path(path))
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder, and a file is to be there. Move it away")
    # Once more by the system, which looks and opens in one step.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)


def read_json(path: Path, most_bytes: int = 10_000_000) -> Any:
    """What a JSON file holds, which may be a stranger's.

    Raises:
        ValueError: it is too large, or no JSON.
        RecursionError: it is nested too deep.
        UserError: it is a link, a folder or a pipe.
        OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        text = file.read(most_bytes + 1)
    if len(text) > most_bytes:
        raise ValueError(f"larger than {most_bytes:,} bytes")
    return json.loads(text)


def hash_file(path: Path) -> str:
    """SHA-256 of what a file holds."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Fsync a file or, where the system can, the names in a folder: both survive a power cut."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Write `path` in one step: readers and crashes see the old content or the new, never half."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        sync(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities become null."""
    replace_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")
