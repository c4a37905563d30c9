"""Checkpoints on disk: `00001000/` with arrays in safetensors and `manifest.json`.

A step is written whole under a hidden name, fsynced and renamed. Saved anew while it stands, it is
`00001000-1` and counts from the rename on; only then the older one goes, so that no moment is
without either. Only the process that saves may call what writes or removes; the rest only looks.

Before an array is read, the manifest, the headers and the sizes of the files are held against one
another, so that a forged size allocates nothing, and then the hashes. Reading runs no code.
Importing this module does not import numpy.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ksim_cli import __version__
from ksim_cli.errors import UserError
from ksim_cli.io.files import make_folder, plain, sync

FORMAT = 2
"""Version of the format; raised when an older ksim could not read a new checkpoint."""

MANIFEST = "manifest.json"
FILES = POLICY_FILE, STATE_FILE = "policy.safetensors", "state.safetensors"
"""Files of arrays: the part of the saved tree under the key `policy`, and the rest."""

_BITS = {"float": (16, 32, 64), "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64)}
DTYPES = {"bool": "BOOL", "bfloat16": "BF16"} | {
    f"{name}{bits}": f"{name[0].upper()}{bits}" for name, sizes in _BITS.items() for bits in sizes
}
"""Types that can be saved: numpy's name to that in a header."""

_PACKAGES = ("jax", "mujoco", "mujoco-mjx", "flax", "optax", "safetensors", "numpy")
_MAX_MANIFEST_BYTES = 2**26
_STEP = re.compile(r"(\d{8,})(?:-(\d+))?")
_TEMPORARY = ".ksim-tmp"
_dump = partial(json.dumps, sort_keys=True, indent=1, allow_nan=False)


@dataclass(frozen=True)
class Leaf:
    """One leaf of the saved tree.

    Attributes:
        shape: shape of the stored array; of PRNG keys, that of their data.
        dtype: its numpy name; of PRNG keys, that of their data.
        kind: `array` (jax), `numpy`, `key<generator>`, `int`, `float` or `bool`.
        file: file that holds it.
    """

    shape: tuple[int, ...]
    dtype: str
    kind: str
    file: str = ""


@dataclass(frozen=True)
class Manifest:
    """Contents of a checkpoint.

    Attributes:
        step: its number.
        versions: package to version, at the time of saving.
        info: the facts that were saved with the tree.
        files: each of `FILES` to its SHA-256.
        tree: path of each leaf to its description.
    """

    step: int
    versions: dict[str, str]
    info: dict[str, Any]
    files: dict[str, str]
    tree: dict[str, Leaf]


class DamagedError(Exception):
    """The reason why a checkpoint, or one of its files, cannot be used."""


def package_versions() -> dict[str, str]:
    """Versions of ksim and of those packages it stands on that are installed."""
    versions = {"ksim": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def step_folders(folder: Path) -> dict[int, Path]:
    """Folder of each step, in order; whatever is called like one counts.

    Raises:
        UserError: the checkpoints are of an earlier version of ksim.
    """
    found = _named_steps(folder)
    earlier = any(path.is_file() for path in folder.glob("[0-9]*.json"))
    if earlier and not any(committed for _, committed, _, _ in found):
        raise UserError(
            f"{folder}: these checkpoints are of an earlier version of ksim and cannot be read;"
            " train anew, or go on with that version"
        )
    return {step: path for step, _, _, path in found}  # of a step saved anew the last one


def committed_steps(folder: Path) -> list[int]:
    """Steps that have a manifest, in order; what it says is not looked at.

    Raises:
        UserError: as in `step_folders`.
    """
    return [step for step, path in step_folders(folder).items() if (path / MANIFEST).is_file()]


def write_step(folder: Path, manifest: Manifest, arrays: dict[str, Any]) -> None:
    """Write a checkpoint that appears in `folder` whole or not at all, after a power cut too.

    Args:
        folder: the run's folder of checkpoints.
        manifest: the checkpoint's, still without its files.
        arrays: the contiguous numpy arrays by the paths of its leaves.
    """
    from safetensors.numpy import save_file

    step = f"{manifest.step:08d}"
    make_folder(folder)
    temporary = _temporary(folder / step)
    temporary.mkdir()
    try:
        tree = {path: replace(leaf, file=_file_of(path)) for path, leaf in manifest.tree.items()}
        for name in FILES:
            part = {path: array for path, array in arrays.items() if tree[path].file == name}
            save_file(part, temporary / name)
        hashes = {name: _hash_file(temporary / name) for name in FILES}
        body = plain(asdict(replace(manifest, tree=tree, files=hashes)))
        text = _seal({"format": FORMAT, **body})
        (temporary / MANIFEST).write_text(text, "utf-8", newline="\n")
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        taken = [again for number, _, again, _ in _named_steps(folder) if number == manifest.step]
        os.rename(temporary, folder / (f"{step}-{max(taken) + 1}" if taken else step))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(folder)


def remove_others(folder: Path, steps: Collection[int]) -> None:
    """Remove all checkpoints but `steps`, what a later save has replaced, and killed saves."""
    kept = {path for step, path in step_folders(folder).items() if step in steps}
    for _, committed, _, path in _named_steps(folder):
        if committed and path not in kept:
            os.rename(path, _temporary(path))  # first, so that no half of it looks whole
    for path in folder.glob(f".*{_TEMPORARY}"):
        shutil.rmtree(path)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the checkpoint in `folder`; its other files are not looked at.

    Raises:
        DamagedError: it is missing, damaged, or of a newer format.
    """
    where = _require_file(folder / MANIFEST)
    try:
        if (size := os.path.getsize(folder / MANIFEST)) > _MAX_MANIFEST_BYTES:
            raise ValueError(f"it has {size} bytes")
        text = (folder / MANIFEST).read_bytes().decode("utf-8")
        body = json.loads(text)
        if body["format"] > FORMAT:
            raise DamagedError(
                f"written in format {body['format']}, this ksim reads up to {FORMAT}; "
                f"install ksim {body['versions']['ksim']} or newer"
            )
        del body["digest"]
        if text != _seal(body):
            raise ValueError("its hash does not match")
        del body["format"]
        tree = {
            path: Leaf(tuple(leaf["shape"]), str(leaf["dtype"]), str(leaf["kind"]), leaf["file"])
            for path, leaf in body["tree"].items()
        }
        if f"{body['step']:08d}" != folder.name.split("-")[0]:
            raise ValueError(f"it is of step {body['step']}")
        if {*body["files"]} != {*FILES} or not {leaf.file for leaf in tree.values()} <= {*FILES}:
            raise ValueError(f"it names other files than {FILES}")
        return Manifest(**body | {"info": dict(body["info"]), "tree": tree})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{where} is damaged: {error!r:.200}") from error


def check_step(folder: Path) -> None:
    """Check every file of a checkpoint; hidden ones (a desktop's) do not count.

    Raises:
        DamagedError: naming the first file that is missing, damaged or not of this checkpoint.
    """
    manifest = read_manifest(folder)
    for name in FILES:
        check_file(folder, name, manifest)
    for name in sorted({*os.listdir(folder)} - {MANIFEST, *FILES}):
        if not name.startswith("."):
            raise DamagedError(f"file {folder.name}/{name} does not belong there")


def check_file(folder: Path, name: str, manifest: Manifest) -> None:
    """Hold header and size of a file against the manifest, then its hash; no array is read.

    Raises:
        DamagedError: the file is missing, damaged, or holds something else.
    """
    where = _require_file(folder / name)
    leaves = {path: leaf for path, leaf in manifest.tree.items() if leaf.file == name}
    told = {path: ([*leaf.shape], DTYPES.get(leaf.dtype)) for path, leaf in leaves.items()}
    try:
        with safe_open(folder / name, framework="np") as file:
            slices = {path: file.get_slice(path) for path in file.keys()}  # noqa: SIM118
            header = {path: (each.get_shape(), each.get_dtype()) for path, each in slices.items()}
    except SafetensorError as error:
        raise DamagedError(f"{where} is damaged: {error}") from error
    for path in sorted(header.keys() | told.keys()):
        if header.get(path) != told.get(path):
            raise DamagedError(f"{where} does not hold what the manifest says of {path}")
    if _hash_file(folder / name) != manifest.files[name]:
        raise DamagedError(f"{where} is damaged: its hash differs")


def read_arrays(folder: Path, manifest: Manifest, paths: Collection[str]) -> dict[str, Any]:
    """Read some leaves as numpy, each once its file has passed the checks.

    Files that hold none of them are not looked at.

    Raises:
        DamagedError: as in `check_file`.
    """
    arrays: dict[str, Any] = {}
    for name in sorted({manifest.tree[path].file for path in paths}):
        check_file(folder, name, manifest)
        with safe_open(folder / name, framework="np") as file:
            own = [path for path in paths if manifest.tree[path].file == name]
            arrays |= {path: file.get_tensor(path) for path in own}
    return arrays


def _named_steps(folder: Path) -> list[tuple[int, bool, int, Path]]:
    """Step, whether it is committed, how often saved anew, and path; what counts most is last."""
    matches = ((path, _STEP.fullmatch(path.name)) for path in folder.glob("[0-9]*"))
    return sorted(
        (int(match[1]), (path / MANIFEST).is_file(), int(match[2] or 0), path)
        for path, match in matches
        if match
    )


def _file_of(path: str) -> str:
    """File for the leaf at `path` of the saved tree."""
    return POLICY_FILE if path.split("/")[0] == "policy" else STATE_FILE


def _temporary(path: Path) -> Path:
    """A hidden name beside `path` that no reader takes for a step."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}")


def _require_file(path: Path) -> str:
    """The name of a file for messages; links, folders and pipes are refused."""
    where = f"file {path.parent.name}/{path.name}"
    if path.parent.is_symlink():
        raise DamagedError(f"folder {path.parent.name} is a link")
    if path.is_symlink() or not path.is_file():
        raise DamagedError(f"{where} is missing" + ", or no regular file" * os.path.lexists(path))
    return where


def _hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(body: dict[str, Any]) -> str:
    """The only text of `body`, its SHA-256 among it."""
    return _dump({**body, "digest": hashlib.sha256(_dump(body).encode("utf-8")).hexdigest()})
