"""The user's own files behind a run: kept when training begins, looked at whenever it is read."""

import sys
from pathlib import Path

from ksim_cli.config.schema import term_paths
from ksim_cli.io.console import Console
from ksim_cli.io.kept_code import changed_code, keep_code, model_files, own_files
from ksim_cli.io.runs import RunFolder
from ksim_cli.own_code import is_own
from ksim_cli.paths import builtin_root, project_root
from ksim_cli.task import Task, model_file


def keep_own_files(run: RunFolder, task: Task) -> None:
    """Keeps the files that a run is trained with; nothing where all is built in."""
    if files := _files(task):
        keep_code(run.code, files)


def warn_of_changes(run: RunFolder, task: Task, console: Console) -> bool:
    """Warns of what changed since the run was trained; whether something did."""
    changed = changed_code(run.code, _files(task), project_root())
    if changed:
        console.warn(
            f"{run.path} was trained with other code: {', '.join(changed)}."
            f" What it was trained with is in {run.code}"
        )
    return bool(changed)


def _files(task: Task) -> dict[str, Path]:
    config, root, model = task.config, project_root(), model_file(task)
    imported = {name: getattr(each, "__file__", None) for name, each in [*sys.modules.items()]}
    # The main module is a script of ksim's; it may lie in an environment inside the project.
    files = [file for name, file in imported.items() if file and name != "__main__"]
    modules = [file for file in files if root is not None and is_own(file, root)]
    named = set[Path]() if model.is_relative_to(builtin_root()) else model_files(model)
    named |= {Path(path) for _, _, path in term_paths(config)}
    return own_files(root, (config.task.type, *config.task.extends), modules, named)
