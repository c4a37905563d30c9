"""Project roots: folders of configs and tasks, the built-in one and the user's."""

import os
from pathlib import Path

from ksim_cli.errors import UserError

PACKAGE = Path(__file__).resolve().parent

GROUPS = (
    "experiment",
    "actuators",
    "rewards",
    "randomization",
    "algo",
    "model",
    "engine",
    "optimizer",
    "curriculum",
    "logger",
    "render",
    "task",
)
"""Config groups, in the order they are composed: a task overrides those before it."""


_folder: Path | None = None


def stay_in(folder: Path | None) -> None:
    """Takes a folder for the current one of the user, whatever the process's own is by now.

    Args:
        folder: where the command was typed; None: the current folder.
    """
    global _folder
    _folder = folder


def builtin_root() -> Path:
    """The built-in project root: the package in an installation, the repository in a checkout."""
    for root in (PACKAGE, PACKAGE.parent):
        if (root / "configs" / "train.yaml").is_file():
            return root
    raise RuntimeError("no built-in configs: the installation of ksim is broken; install it again")


def project_root() -> Path | None:
    """The user's own project root: `$KSIM_PROJECT` or the folder that the command was typed in.

    A folder is one if it has `configs/<group>/` for a group of ksim, or `tasks/`. None where it is
    not, or where it is the built-in root itself.

    Raises:
        UserError: `$KSIM_PROJECT` names a folder that is none.
    """
    named = os.environ.get("KSIM_PROJECT")
    root = Path(_folder or Path.cwd(), named or "").resolve()
    is_project = (root / "tasks").is_dir() or any(
        (root / "configs" / group).is_dir() for group in GROUPS
    )
    if named and not is_project:
        raise UserError(
            f"KSIM_PROJECT={named}: holds neither tasks/ nor configs/<group>/. Name the folder that"
            " does, or unset it to take the current folder"
        )
    return root if is_project and root != builtin_root() else None


def project_roots() -> list[Path]:
    """All project roots, the user's first."""
    own = project_root()
    return [builtin_root()] if own is None else [own, builtin_root()]


def task_file(root: Path, name: str) -> Path | None:
    """The Python file of a task in a project root, if it has one."""
    for path in (root / "tasks" / f"{name}.py", root / "tasks" / name / "__init__.py"):
        if path.is_file():
            return path
    return None
