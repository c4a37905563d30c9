"""The types that a user's own `tasks/` registers, read and not run. Standard library only.

`ksim list` shall show them, and shall execute nothing: a decorator `@REWARDS.register("x")` above a
class says all there is to say.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ksim_cli import registry
from ksim_cli.paths import project_root


class OwnType(NamedTuple):
    """A type registered in the user's project.

    Attributes:
        name: its registered name.
        description: the first line of its docstring.
        parameters: its own fields as they are written; what it inherits is not among them.
        file: where it stands, relative to the project.
    """

    name: str
    description: str
    parameters: str
    file: str


def own_types(section: str) -> list[OwnType]:
    """The types of a section, as `rewards`, by name; of a file that cannot be read none."""
    root = project_root()
    if root is None:
        return []
    kinds = {name for name, each in vars(registry).items() if each is registry.KINDS.get(section)}
    found: list[OwnType] = []
    for file in sorted((root / "tasks").rglob("*.py")):
        found += _registered(file, str(file.relative_to(root)), kinds)
    return sorted(found)


def _registered(file: Path, shown: str, kinds: set[str]) -> Iterator[OwnType]:
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # its task says what is wrong with it
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for name in _names(node, kinds):
                description = (ast.get_docstring(node) or "").partition("\n")[0]
                fields = [
                    ast.unparse(each)
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each)
                ]
                yield OwnType(name, description, ", ".join(fields) or "(none)", shown)


def _names(node: ast.ClassDef, kinds: set[str]) -> Iterator[str]:
    """What a class is registered as by decorators `KIND.register("name")`."""
    for each in node.decorator_list:
        if not isinstance(each, ast.Call) or not isinstance(each.func, ast.Attribute):
            continue
        kind = each.func.value
        called = kind.id if isinstance(kind, ast.Name) else getattr(kind, "attr", None)
        if each.func.attr != "register" or called not in kinds or not each.args:
            continue
        if isinstance(each.args[0], ast.Constant) and isinstance(each.args[0].value, str):
            yield each.args[0].value
