"""A checkpoint's manifest: what is stored, by whom, and the hash of every file.

A checkpoint exists once its manifest does. The manifest is written last and replaced in one step,
and it carries a hash of itself, so that a flipped bit anywhere is found before anything is used.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ksim_cli.io.files import plain, replace_text, sync_folder

SCHEMA = 1
"""Version of the format; raised when an older ksim could not read a new manifest."""

_FOLDER = re.compile(r"\d{8,}(-\d+)?")
_PART = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Leaf:
    """One leaf of the saved tree.

    Attributes:
        shape: its shape; of a PRNG key array, that of the keys and not of their data.
        dtype: name of its type (`float32`, `key<fry>`, …).
        kind: `array` (jax), `numpy`, `key`, `int`, `float` or `bool`.
        impl: for `key`, the generator; else empty.
    """

    shape: tuple[int, ...]
    dtype: str
    kind: str
    impl: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds.

    Attributes:
        step: its number.
        folder: name of the folder beside the manifest that holds the arrays.
        versions: package to version, at the time of saving.
        info: the facts that were saved with the tree.
        tree: path of each leaf to its description.
        files: path of each file, relative to the folder, to its SHA-256.
    """

    step: int
    folder: str
    versions: dict[str, str | None]
    info: dict[str, Any]
    tree: dict[str, Leaf]
    files: dict[str, str]


class ManifestError(Exception):
    """Why a manifest, or a file it vouches for, cannot be trusted."""


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest to `path` in one step, so that from now on the checkpoint exists."""
    body = {"schema": SCHEMA, **plain(asdict(manifest))}
    replace_text(path, _dump({**body, "digest": _digest(body)}))


def read_manifest(path: Path) -> Manifest:
    """Read the manifest at `path`.

    Raises:
        ManifestError: it is missing, damaged, or of a newer format.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        body = json.loads(text)
    except FileNotFoundError:
        raise ManifestError(f"no manifest {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"manifest {path.name} cannot be read: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("schema"), int):
        raise ManifestError(f"manifest {path.name} is not one of ksim")
    if body["schema"] > SCHEMA:
        version = (body.get("versions") or {}).get("ksim")
        raise ManifestError(
            f"written in format {body['schema']}, this ksim reads up to {SCHEMA}; "
            f"install ksim {version} or newer"
        )
    digest = body.pop("digest", None)
    if digest != _digest(body) or text != _dump({**body, "digest": digest}):
        raise ManifestError(f"manifest {path.name} is damaged: its hash does not match")
    return _parse(path, body)


def hash_files(folder: Path) -> dict[str, str]:
    """Path, relative to `folder`, of every file below it, to its SHA-256; each is synced to disk.

    Raises:
        ManifestError: something below is neither a file nor a folder.
    """
    hashes: dict[str, str] = {}
    for name in _list_files(folder):
        with open(folder / name, "rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
    for parent in {(folder / name).parent for name in hashes} | {folder, folder.parent}:
        sync_folder(parent)
    return hashes


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file below `folder` with its hash.

    Raises:
        ManifestError: naming the first file that is missing, damaged or not of this checkpoint.
    """
    if not folder.is_dir():
        raise ManifestError(f"folder {folder.name} is missing")
    found = set(_list_files(folder))
    for name, expected in sorted(manifest.files.items()):
        if name not in found:
            raise ManifestError(f"file {folder.name}/{name} is missing")
        with open(folder / name, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise ManifestError(f"file {folder.name}/{name} is damaged: its hash differs")
    if strangers := sorted(found - manifest.files.keys()):
        raise ManifestError(f"file {folder.name}/{strangers[0]} does not belong there")


def package_versions() -> dict[str, str | None]:
    """Versions of the packages that a checkpoint depends on; None for one that is not installed."""
    import ksim_cli

    versions: dict[str, str | None] = {"ksim": getattr(ksim_cli, "__version__", None)}
    for name, package in (
        ("jax", "jax"),
        ("mujoco", "mujoco"),
        ("mjx", "mujoco-mjx"),
        ("orbax", "orbax-checkpoint"),
        ("numpy", "numpy"),
    ):
        try:
            versions[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _list_files(folder: Path) -> list[str]:
    """Files below `folder`, sorted; hidden ones (a desktop's, a network disk's) do not count."""
    names: list[str] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*files, *folders]:
            path = Path(parent, name)
            if path.is_symlink():
                raise ManifestError(f"{path.relative_to(folder)} is a link")
        names.extend(
            Path(parent, name).relative_to(folder).as_posix()
            for name in files
            if not name.startswith(".")
        )
    return sorted(names)


def _parse(path: Path, body: dict[str, Any]) -> Manifest:
    """The manifest that `body` spells; its names are checked before any becomes a path."""
    try:
        manifest = Manifest(
            step=int(body["step"]),
            folder=body["folder"],
            versions=dict(body["versions"]),
            info=dict(body["info"]),
            tree={
                name: Leaf(tuple(leaf["shape"]), leaf["dtype"], leaf["kind"], leaf["impl"])
                for name, leaf in body["tree"].items()
            },
            files=dict(body["files"]),
        )
        names = [part for name in manifest.files for part in name.split("/")]
        strange = [name for name in names if not _PART.fullmatch(name)]
        if not _FOLDER.fullmatch(manifest.folder):
            strange.append(manifest.folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"manifest {path.name} lacks a field: {error!r}") from error
    if f"{manifest.step:08d}" != path.stem:
        raise ManifestError(f"manifest {path.name} is that of step {manifest.step}")
    if strange:
        raise ManifestError(f"manifest {path.name} names a file {strange[0]!r}")
    return manifest


def _dump(body: dict[str, Any]) -> str:
    """The one text of `body`: reading it and dumping it again gives the same bytes."""
    return json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n"


def _digest(body: dict[str, Any]) -> str:
    """SHA-256 of the text of `body`."""
    return hashlib.sha256(_dump(body).encode("utf-8")).hexdigest()
