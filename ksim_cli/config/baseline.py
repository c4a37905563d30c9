"""A run's configuration against that of its task alone."""

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ksim_cli.config.compose import Start, launch, to_run_config
from ksim_cli.config.options import list_options
from ksim_cli.config.resuming import leaves
from ksim_cli.config.saved import config_text
from ksim_cli.config.schema import RunConfig


@dataclass(frozen=True)
class Difference:
    """A key whose value is not the default, or that was typed.

    Attributes:
        key: its name.
        value: in the run.
        default: of the task, or of ksim.
        typed: whether it, or what it belongs to, was typed.
    """

    key: str
    value: Any
    default: Any
    typed: bool


def defaults_of(task: str) -> tuple[dict[str, Any], bool]:
    """Every key's value where nothing but the task is typed, and whether there is such a task here.

    Nothing of the task's Python is imported. Without the task the values are ksim's own.
    """
    found: list[RunConfig] = []
    if task in [option.name for option in list_options().get("task", [])]:
        root = logging.getLogger()
        level, handlers = root.level, root.handlers[:]
        with contextlib.redirect_stderr(io.StringIO()):
            launch("train", [f"task={task}"], lambda c: found.append(to_run_config(c)), Start)
        root.setLevel(level)
        root.handlers[:] = handlers
    config = found[0] if found else RunConfig()
    return dict(leaves(yaml.safe_load(config_text(config)))), bool(found)


def differences(
    config: Mapping[str, Any], defaults: Mapping[str, Any], typed: Collection[str] = ()
) -> Iterator[Difference]:
    """What differs from the defaults, and what was typed though it does not.

    Args:
        config: key -> value, as `leaves` gives them.
        defaults: the same of the defaults.
        typed: keys that were typed; one that names a section stands for all in it.
    """
    sections = tuple(f"{key}." for key in typed)
    for key, value in config.items():
        was_typed = key in typed or key.startswith(sections)
        default = defaults.get(key)
        if value != default or key in typed:
            yield Difference(key, value, default, was_typed)
    for key in sorted(typed):
        kind = next((f"{key}.{name}" for name in ("name", "type") if f"{key}.{name}" in config), "")
        if key not in config and kind and config[kind] == defaults.get(kind):
            yield Difference(kind, config[kind], defaults.get(kind), True)
