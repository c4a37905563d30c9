"""Tasks by name: the module that registers one is found, imported, and its class built."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.paths import builtin_root, project_root, task_file
from ksim_cli.registry import TASKS
from ksim_cli.task import Task

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def make_task(config: RunConfig) -> Task:
    """The task that a config names; what it extends is imported too, for the terms it registers.

    Raises:
        UserError: see `load_task`.
    """
    for name in config.task.extends:
        _import(name)
    return load_task(config.task.type)(config)


def load_task(name: str) -> Any:
    """The task class registered under `name`, from the user's `tasks/` first.

    Only `tasks/<name>.py` (or `tasks/<name>/`) is imported, so that a broken neighbour does no
    harm; and the user's `tasks/__init__.py`, if there is one, whatever the task: terms of his own
    that built-in tasks shall know go there.

    Raises:
        UserError: no such task, or its file does not register it.
    """
    file = _import(name)
    if file is not None and name not in TASKS.names():
        raise UserError(
            f"{file}: registers no task '{name}'. Put @TASKS.register(\"{name}\") above its class"
        )
    return TASKS.get(name, "task.type")


def _import(name: str) -> Path | None:
    """Imports the file of a task, the user's or the built-in one; None where there is none."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"task.type={name}: cannot be a task. It is the name of a file in tasks/, without"
            " .py: letters, digits and _"
        )
    own = project_root()
    if own is not None and (own / "tasks").is_dir():
        _user_package(own / "tasks")
        if (file := task_file(own, name)) is not None:
            if f"tasks.{name}" not in sys.modules and task_file(builtin_root(), name) is not None:
                print(f"ksim: task {name}: {file} is imported, not the built-in", file=sys.stderr)
            importlib.import_module(f"tasks.{name}")
            return file
    if (file := task_file(builtin_root(), name)) is not None:
        importlib.import_module(f"ksim_cli.tasks.{name}")
    return file


def _user_package(folder: Path) -> None:
    """Makes `tasks` the user's folder, whatever other `tasks` may stand on the module path."""
    if list(getattr(sys.modules.get("tasks"), "__path__", ())) == [str(folder)]:
        return
    for name in [n for n in sys.modules if n == "tasks" or n.startswith("tasks.")]:
        del sys.modules[name]
    init = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "tasks", init, submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None  # its name is a Python file's
    package = importlib.util.module_from_spec(spec)
    sys.modules["tasks"] = package
    try:
        if init.is_file():
            spec.loader.exec_module(package)
    except BaseException:
        del sys.modules["tasks"]  # half a package would hide the error from the next job
        raise
