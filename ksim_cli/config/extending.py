"""Tasks whose YAML extends another task's: the chain of options, and the class that it means."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ksim_cli.config import options
from ksim_cli.config.components import TaskConfig
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.paths import project_root, project_roots, task_file


def resolve_task(task: TaskConfig, name: str | None, is_typed: bool) -> TaskConfig:
    """The section `task` with its name, its class and what it extends filled in.

    The class is the one that `task.type` asks for on the command line or in a file that is no
    task's; else that of the nearest option in the chain which states a type or has a class named
    like itself; else `task`.

    Args:
        task: as it was composed.
        name: the chosen option; None: the section is a saved run's, which has all of it.
        is_typed: `task.type` was given on the command line.

    Raises:
        UserError: no file could register a class of that name.
    """
    if name is not None:
        stated = _stated_types(name)
        kind = task.type
        if not is_typed and kind in ("", *stated.values()):
            kinds = (own or (each if _has_class(each) else "") for each, own in stated.items())
            kind = next(filter(None, kinds), "task")
        task = dataclasses.replace(task, name=name, type=kind, extends=[*stated][1:])
    _refuse_unknown(task.type)
    return task


def _stated_types(name: str) -> dict[str, str]:
    """Option -> the `task.type` in its own YAML, or ""; the option itself, then what it extends."""
    stated: dict[str, str] = {}
    pending = [name]
    while pending:
        option = pending.pop(0)
        if option in stated:
            continue
        files = (root / "configs" / "task" / f"{option}.yaml" for root in project_roots())
        file = next((file for file in files if file.is_file()), None)
        values = {} if file is None else _read(file)
        section = values.get("task")
        stated[option] = str(section.get("type") or "") if isinstance(section, dict) else ""
        # Of several, a later one overrides an earlier one.
        pending = [*reversed([*_extended(values.get("defaults"))]), *pending]
    return stated


def _read(file: Path) -> dict[str, Any]:
    values = yaml.safe_load(file.read_text("utf-8"))
    return values if isinstance(values, dict) else {}


def _extended(defaults: Any) -> Iterator[str]:
    """Options of the group `task` in a defaults list of one of them: `x`, `/task/x`, `/task: x`."""
    for entry in defaults if isinstance(defaults, list) else ():
        if isinstance(entry, dict):
            entry = "".join(f"{key.partition('@')[0]}/{value}" for key, value in entry.items())
        option = entry.partition("@")[0].removeprefix("/task/")
        if option != "_self_" and "/" not in option:
            yield option


def _has_class(name: str) -> bool:
    return any(task_file(root, name) for root in project_roots())


def _refuse_unknown(kind: str) -> None:
    """Refuses a task that no file is named after, while that can still be told without JAX."""
    own = project_root()
    if kind == "task" or _has_class(kind):
        return
    if own is not None and (own / "tasks" / "__init__.py").is_file():
        return  # it may register a task of any name
    names = {"task", *(n for root in project_roots() for n in options.task_files(root))}
    raise UserError(
        f"task.type={kind}: no task '{kind}'.{nearest(kind, names)}\n  available: {listing(names)}"
    )
