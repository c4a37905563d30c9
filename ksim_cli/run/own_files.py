"""The user's own files behind a run: kept when training begins, looked at whenever it is read."""

import sys
from pathlib import Path

from ksim_cli.io.console import Console
from ksim_cli.io.kept_code import changed_code, keep_code, own_files
from ksim_cli.io.runs import RunFolder
from ksim_cli.paths import builtin_root, project_root
from ksim_cli.task import Task, model_file


def keep_own_files(run: RunFolder, task: Task) -> None:
    """Keeps the files that a run is trained with; nothing where all is built in."""
    if files := _files(task):
        keep_code(run.code, files)


def warn_of_changes(run: RunFolder, task: Task, console: Console) -> bool:
    """Warns of what changed since the run was trained; whether something did."""
    changed = changed_code(run.code, _files(task))
    if changed:
        console.warn(
            f"{run.path} was trained with other code: {', '.join(changed)}."
            f" What it was trained with is in {run.code}"
        )
    return bool(changed)


def _files(task: Task) -> dict[str, Path]:
    names = [n for n in sys.modules if n == "tasks" or n.startswith("tasks.")]
    modules = [file for n in names if (file := getattr(sys.modules[n], "__file__", None))]
    section, model = task.config.task, model_file(task)
    if model.is_relative_to(builtin_root()):
        model = None
    return own_files(project_root(), (section.type, *section.extends), modules, model)
