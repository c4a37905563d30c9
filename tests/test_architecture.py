"""Holds the shape of the code: budgets, the direction of imports, what must never appear.

The checks read the sources with `ast` and import nothing. Each is itself tried on small bad sources
at the end of the file, so that a check that stops working is noticed.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "ksim_cli"

LAYERS = (
    ("", "errors", "paths", "registry", "types", "config"),
    ("physics",),
    ("mdp",),
    ("env",),
    ("models", "rl"),
    ("task", "tasks"),
    ("run", "io"),
    ("cli", "commands", "__main__"),
)
"""Parts of the package; each may import its own layer and those above it in this table."""

CLOSED = {
    "rl": ("physics", "mdp"),
    "io": ("task", "tasks", "env"),
    "task": ("tasks",),
    "models": ("rl", "env"),
}
"""Imports that the layers would allow and the design does not: part -> parts it never imports.

`run` may import `io`, never the reverse; tasks are loaded by name, never imported.
"""

OUTSIDE = {
    "rich": ("ksim_cli/io/console.py",),
    "hydra": ("ksim_cli/config/",),
    "omegaconf": ("ksim_cli/config/",),
    "mujoco.mjx": ("ksim_cli/physics/",),
    "mujoco.batch": ("ksim_cli/physics/",),
    "orbax": ("ksim_cli/io/",),
    "h5py": ("ksim_cli/io/",),
}
"""Other people's modules that only some files may import."""

STANDARD_LIBRARY_ONLY = (
    "cli",
    "paths",
    "errors",
    "registry",
    "config.schema",
    "config.components",
    "config.options",
    "config.help",
    "config.aliases",
)
"""What `ksim --help`, `ksim list` and a mistyped key load."""

RUNS_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
"""Modules that read a file by running what is in it."""

MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS, MAX_METHODS, MAX_NESTING = 400, 60, 8, 15, 2
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One parsed file: its path from the root, and its text."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        """Dotted name; the files of tasks/ count as `ksim_cli.tasks`."""
        name = self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"{PACKAGE}.{name}" if name.split(".")[0] == "tasks" else name


def sources(*folders: str) -> list[Source]:
    """Every Python file below some folders of the repository."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]


def part(module: str) -> str:
    """The part of the package a module belongs to: `ksim_cli.io.runs` -> `io`."""
    return (module.split(".") + [""])[1]


def walk(node: ast.AST, outer: int = 0) -> Iterator[tuple[Function | ast.ClassDef, int]]:
    """Every function and class, with the number of functions around it."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, Function)
        if is_function or isinstance(child, ast.ClassDef):
            yield child, outer
        yield from walk(child, outer + is_function)


def parameters(function: Function) -> int:
    """Parameters a caller sees: `self` and `cls` do not count."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    stars = [each for each in (given.vararg, given.kwarg) if each]
    return len(names) - (names[:1] in (["self"], ["cls"])) + len(stars)


def over_size(source: Source) -> Iterator[str]:
    """Files and functions that are too long."""
    lines = len(source.text.splitlines())
    if lines > MAX_FILE:
        yield f"{source.path}: {lines} lines, at most {MAX_FILE}"
    for node, _ in walk(source.tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if isinstance(node, Function) and length > MAX_FUNCTION:
            yield f"{source.path}:{node.lineno}: {node.name} has {length} lines, at most 60"


def over_budget(source: Source) -> Iterator[str]:
    """Too many parameters or methods, functions nested too deep."""
    for node, outer in walk(source.tree):
        where = f"{source.path}:{node.lineno}: {node.name}"
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(each, Function) for each in node.body)
            is_menu = source.path == "ksim_cli/task.py" and node.name == "Task"
            if methods > MAX_METHODS and not is_menu:
                yield f"{where} has {methods} methods, at most {MAX_METHODS}"
            continue
        if parameters(node) > MAX_PARAMETERS:
            yield f"{where} has {parameters(node)} parameters, at most {MAX_PARAMETERS}"
        if outer > MAX_NESTING:
            yield f"{where} is nested in {outer} functions, at most {MAX_NESTING}"


def undocumented(source: Source) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path}:1: the module has no docstring"
    scopes: list[ast.Module | ast.ClassDef] = [source.tree]
    while scopes:
        for node in scopes.pop().body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            names = {ast.unparse(each).split(".")[-1] for each in node.decorator_list}
            if not ast.get_docstring(node) and not names & {"override", "overload", "setter"}:
                yield f"{source.path}:{node.lineno}: {node.name} has no docstring"
            if isinstance(node, ast.ClassDef):
                scopes.append(node)


def imports(source: Source, top_level: bool = False) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported; `from a import b` gives `a.b`."""
    package = source.module.split(".")
    if not source.path.endswith("/__init__.py"):
        package = package[:-1]
    lazy = {
        id(inner)
        for node in ast.walk(source.tree if top_level else ast.Module([], []))
        if isinstance(node, Function)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree := source.tree) if not top_level else _eager(source.tree):
        del tree
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, each.name])) for each in node.names)
    del lazy
