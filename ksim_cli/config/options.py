"""The options of each config group, from the user's project and the built-in one.

Standard library only: nothing is imported or executed, YAML files give their first comment line.
"""

from dataclasses import dataclass
from pathlib import Path

from ksim_cli.paths import GROUPS, builtin_root, project_root, project_roots


@dataclass(frozen=True)
class Option:
    """One option of a group.

    Attributes:
        name: what is typed after `group=`.
        source: `built-in`, `./configs` or `./tasks`.
        description: its first comment line.
        shadows: whether it stands before a built-in option of the same name.
    """

    name: str
    source: str
    description: str
    shadows: bool = False


def list_options() -> dict[str, list[Option]]:
    """group -> its options, the user's before the built-in ones of the same name."""
    groups = {group: _group(group) for group in GROUPS}
    return {group: found for group, found in groups.items() if found}


def tasks_without_config() -> list[str]:
    """Names of the user's tasks that have a Python file and no YAML anywhere."""
    own, roots = project_root(), project_roots()
    written = {path.stem for root in roots for path in _files(root, "task")}
    return [] if own is None else [name for name in task_files(own) if name not in written]


def task_files(root: Path) -> list[str]:
    """Names of the Python files of tasks in a project root, sorted."""
    files = [p.stem for p in (root / "tasks").glob("*.py")]
    folders = [p.parent.name for p in (root / "tasks").glob("*/__init__.py")]
    return sorted({n for n in (*files, *folders) if not n.startswith("_")})


def _group(group: str) -> list[Option]:
    options: dict[str, Option] = {}
    for root in reversed(project_roots()):
        source = "built-in" if root == builtin_root() else "./configs"
        for path in _files(root, group):
            shadows = path.stem in options
            options[path.stem] = Option(path.stem, source, _description(path), shadows)
    if group == "task":
        for name in tasks_without_config():
            options[name] = Option(name, "./tasks", "no YAML: the class's own defaults")
    return [options[name] for name in sorted(options)]


def _files(root: Path, group: str) -> list[Path]:
    return [path for path in (root / "configs" / group).glob("*.yaml") if path.is_file()]


def _description(path: Path) -> str:
    """The first comment line of a YAML file that is not a directive."""
    for line in path.read_text("utf-8", errors="replace").splitlines():
        text = line.strip()
        if not text.startswith("#"):
            return ""
        text = text.lstrip("#").strip()
        if text and not text.startswith("@"):
            return text
    return ""
