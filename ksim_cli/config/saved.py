"""The configuration in a run folder: written resolved, read as plain data.

A config may come from a stranger's checkpoint, so reading it never runs or resolves anything, and
no name in it leads out of a folder.
"""

import dataclasses
import hashlib
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from ksim_cli.config.components import schema_of
from ksim_cli.config.schema import TERM_SECTIONS, RunConfig
from ksim_cli.config.sources import refuse_too_large
from ksim_cli.errors import UserError

MAX_BYTES = 1_000_000
_NOT_SAVED = (
    *("checkpoint", "resume", "run_dir", "policy", "run_model_viewer", "collect_dataset"),
    *("dataset_save_path", "checkpoint_seed", "num_devices", "dump", "dataset"),
    *("viewer", "viewer_host", "viewer_port"),
)
"""Keys of one command, not of the run.

A foreign config shall not choose where ksim writes, nor whom it lets in.
"""

_PLAIN_NAME = re.compile(r"[\w+-][\w .+-]*(/[\w+-][\w .+-]*)*")
"""Names that become files and folders; a `/` makes a level."""

_FORBIDDEN_KEY = re.compile(r"^_.*_$")


_CONTINUES, _SEAL = "# goes on from: ", "# SHA-256 of the above: "


def config_text(config: RunConfig, before: Collection[str] = ()) -> str:
    """Every key and its value as plain YAML, for the run folder, under a seal.

    Args:
        config: the run's.
        before: hashes of the configs that this one replaced, where a run went on with another.
    """
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in _NOT_SAVED}
    text = yaml.safe_dump(values, sort_keys=False)
    return sealed(text + "".join(f"{_CONTINUES}{each}\n" for each in before))


def sealed(text: str) -> str:
    """The text with its hash as a last line, so that a change or a cut is noticed."""
    return f"{text}{_SEAL}{hash_of(text)}\n"


def hashes_of(text: str) -> list[str]:
    """The hash of a config, and before it those of the configs that it replaced."""
    return [*re.findall(rf"^{_CONTINUES}(\w+)$", text, flags=re.MULTILINE), hash_of(text)]


def hash_of(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _refuse_unsealed(text: str, path: Path) -> None:
    """Refuses what was changed since ksim wrote it: its rows would not be those of its values."""
    body, _, seal = text.rpartition(_SEAL)
    if seal.strip() != hash_of(body):
        raise UserError(
            f"{path}: was changed, or cut off, since ksim wrote it (or an earlier ksim did), and"
            " the run was not trained with that. To change a value, type it: ksim train resume=RUN"
            " KEY=VALUE"
        )


def read_config(path: Path) -> dict[str, Any]:
    """Reads a saved config.

    Keys that this version does not know are dropped with a line on stderr.

    Raises:
        UserError: unreadable, too large, or holding anything but plain data.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; a run folder has one")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES} bytes, so not a config that ksim wrote")
    try:
        text = path.read_text("utf-8")
        refuse_too_large(text, str(path))
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken | yaml.TagToken):
                raise UserError(f"{path}: anchors, aliases and tags are not allowed in it")
        saved = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(saved, dict):
        raise UserError(f"{path}: not a config that ksim wrote")
    _refuse_code(saved, str(path))
    _refuse_paths(saved, path)
    _refuse_unsealed(text, path)
    return _known(saved, path)


def _refuse_paths(saved: dict[str, Any], path: Path) -> None:
    """Refuses names that would lead out of the folders they are used in."""
    sections = {key: saved[key] for key in TERM_SECTIONS if isinstance(saved.get(key), dict)}
    named = [(f"{key}.{name}", name) for key in sections if key != "joints" for name in saved[key]]
    if isinstance(task := saved.get("task"), dict):
        extends = task.get("extends")
        extends = extends if isinstance(extends, list) else []
        named += [(f"task.{key}", task.get(key)) for key in ("name", "type")]
        named += [("task.extends", name) for name in extends]
    for key, name in named:
        if isinstance(name, str) and name and not _PLAIN_NAME.fullmatch(name):
            raise UserError(
                f"{path}: {key}: '{name}' is no plain name. Allowed: letters, digits, '_', '-',"
                " '+', '.' (not first) and '/' between levels"
            )


def _known(saved: dict[str, Any], path: Path) -> dict[str, Any]:
    """Keys that this version knows; the rest is named on stderr."""
    known: dict[str, Any] = {}
    unknown: list[str] = []
    types: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(RunConfig)}
    for key, value in saved.items():
        if key not in types or key in _NOT_SAVED:
            unknown.append(key)
            continue
        schema = types[key] if dataclasses.is_dataclass(types[key]) else schema_of(key, value)
        if schema is not None and isinstance(value, dict):
            fields = {f.name for f in dataclasses.fields(schema)}
            unknown += [f"{key}.{name}" for name in value if name not in fields]
            value = {name: item for name, item in value.items() if name in fields}
        known[key] = value
    if unknown:
        print(f"{path}: left out, not used here: {', '.join(sorted(unknown))}", file=sys.stderr)
    return known


def _refuse_code(value: Any, where: str) -> None:
    """Refuses what is not plain data, and what Hydra or OmegaConf would act upon."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or "${" in key or _FORBIDDEN_KEY.match(key):
                raise UserError(f"{where}: key '{key}' is not allowed in a saved config")
            _refuse_code(item, f"{where}:{key}")
    elif isinstance(value, list):
        for item in value:
            _refuse_code(item, where)
    elif isinstance(value, str):
        if "${" in value or value == "???":
            raise UserError(f"{where}: '{value}' is not allowed in a saved config")
    elif value is not None and not isinstance(value, bool | int | float):
        raise UserError(f"{where}: {value} is a {type(value).__name__}, which no key holds")
