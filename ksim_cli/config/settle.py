"""What a composed configuration says only together with what was typed, and where."""

import dataclasses
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ksim_cli.config.schema import PATHS, RunConfig, term_paths
from ksim_cli.config.typed import REMOVED, split_choices
from ksim_cli.config.validate import divisors
from ksim_cli.errors import UserError, listing, nearest

_FOLDERS = ("run_dir", "dataset_save_path")
_WRITTEN = (*_FOLDERS, "out")
"""Paths of folders that are yet to be made, and of all that is."""


def typed_keys(overrides: Iterable[str]) -> frozenset[str]:
    """Keys of overrides: `rewards.x.weight`, and of `joints={*_knee:{kp:1}}` `joints.*_knee.kp`."""
    keys: set[str] = set()
    for override in overrides:
        key, _, value = override.partition("=")
        keys |= _inside(key.lstrip("+~"), value)
    return frozenset(keys)


def _inside(key: str, value: str) -> set[str]:
    if not (value.startswith("{") and value.endswith("}") and len(value) > 2):
        return {key}
    keys: set[str] = set()
    for pair in split_choices(value[1:-1]):
        name, _, inner = pair.partition(":")
        keys |= _inside(f"{key}.{name.strip()}", inner.strip())
    return keys


def kept_entries(section: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entries of a section without those that were set to null or taken out.

    Raises:
        UserError: one was to be taken out that is not there.
    """
    for entry, value in section.items():
        if isinstance(value, Mapping) and list(value) == [REMOVED]:
            others = [other for other in section if other != entry]
            raise UserError(
                f"{name}.{entry}: cannot be removed, there is no such entry."
                f"{nearest(entry, others)}\n  {name}: {listing(others)}"
            )
    return {
        entry: value
        for entry, value in section.items()
        if value is not None and not (isinstance(value, Mapping) and REMOVED in value)
    }


def with_paths(config: RunConfig, folder: Path, typed: Collection[str]) -> RunConfig:
    """The config whose paths mean what they meant where they were typed.

    Args:
        config: as it was composed.
        folder: where the command was typed; the process may be in another by now.
        typed: keys that were typed.
    """
    moved = folder != Path.cwd()
    changes: dict[str, Any] = {}

    def placed(value: str, is_written: bool = False) -> str:
        path = Path(value).expanduser()
        if moved and (is_written or (folder / path).exists()):
            path = folder / path
        return value if path == Path(value) else str(path)

    for key in (key for key in PATHS if "." not in key):
        value = getattr(config, key)
        if value not in (None, "", "latest"):
            changes[key] = placed(value, key in _WRITTEN)
    algo = config.algo if isinstance(config.algo, Mapping) else {}
    if algo.get("type") == "distill" and algo["teacher"] not in ("", "latest"):
        changes["algo"] = {**algo, "teacher": placed(algo["teacher"])}
    for section, name, path in term_paths(config):
        terms = changes.setdefault(section, dict(getattr(config, section)))
        terms[name] = {**terms[name], "path": placed(path)}
    motions = [placed(path) for path in config.motion.files]
    changes["motion"] = dataclasses.replace(config.motion, files=motions)
    model = config.task.model
    if "task.model" in typed and model and (folder / Path(model).expanduser()).is_file():
        path = (folder / Path(model).expanduser()).resolve()
        changes["task"] = dataclasses.replace(config.task, model=str(path))
    return dataclasses.replace(config, **changes)


def refuse_files(config: RunConfig) -> None:
    """Refuses a file where a folder is to be made.

    Raises:
        UserError: it names the key and the file.
    """
    for key in _FOLDERS:
        value = getattr(config, key)
        for path in (Path(value), *Path(value).parents) if value is not None else ():
            if path.exists() and not path.is_dir():
                raise UserError(
                    f"{key}={value}: {path} is a file, and a folder is to be made there"
                )


def with_batch_size(config: RunConfig, typed: Collection[str]) -> RunConfig:
    """The config whose batch size follows `num_envs` where nobody typed it.

    It is the largest divisor up to what it would have been; the devices that were typed divide it,
    where they can.
    """
    size, num_envs = config.batch_size, config.num_envs
    devices = config.num_devices or 1
    fits = num_envs % size == 0 and (size % devices == 0 or num_envs % devices)
    default = next(f.default for f in dataclasses.fields(config) if f.name == "batch_size")
    follows = "num_envs" in typed or "num_devices" in typed or size == default
    if fits or "batch_size" in typed or not follows or num_envs > 10**9:
        return config
    small = [d for d in divisors(num_envs) if d <= max(size, devices)]
    best = max(small, key=lambda d: (d % devices == 0, d))
    print(f"ksim: batch_size={best} (was {size}) follows num_envs={num_envs}", file=sys.stderr)
    return dataclasses.replace(config, batch_size=best)


_FREE_CAMERA = ("track_body_id", "distance", "azimuth", "elevation", "lookat")


def with_camera(config: RunConfig, typed: Collection[str]) -> RunConfig:
    """The config without the camera that its task names where keys of the free one were typed."""
    free = any(f"render_{name}" in typed for name in _FREE_CAMERA)
    if config.render_camera_name is None or "render_camera_name" in typed or not free:
        return config
    return dataclasses.replace(config, render_camera_name=None)
