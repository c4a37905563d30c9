"""Holds the shape of the code: budgets, the direction of imports, what must never appear.

The checks read the sources with `ast` and import nothing. Each is itself tried on small bad sources
at the end of the file, so that a check that stops working is noticed.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import ksim_cli

ROOT = Path(__file__).parent.parent
PACKAGE = "ksim_cli"

LAYERS = (
    (
        "",
        "errors",
        "paths",
        "own_code",
        "option",
        "registry",
        "synonyms",
        "types",
        "quarantine",
        "clock",
        "rng",
        "trees",
        "npz",
        "hdf5",
    ),
    ("config",),
    ("physics",),
    ("motion",),
    ("mdp",),
    ("env",),
    ("models", "rl"),
    ("task", "tasks", "task_model", "load_task"),
    ("run", "io", "view"),
    ("cli", "commands", "__main__"),
)
"""Parts of the package; each may import its own layer and those above it in this table."""

CLOSED = {
    "rl": ("physics", "mdp"),
    "io": ("task", "tasks", "env", "view"),
    "view": ("run", "tasks", "task_model"),
    "task": ("tasks", "task_model", "load_task"),
    "models": ("rl", "env"),
}
"""Imports that the layers would allow and the design does not: part -> parts it never imports.

`run` may import `io` and `view`, never the reverse; tasks are loaded by name, never imported.
"""

LATE = {
    ("__main__", "cli"): "an import that is interrupted before signals are watched is a traceback",
    ("cli", "commands"): "a command's imports are paid when it runs; --help and list stay light",
    ("commands", "mdp"): "only `ksim list` of types needs them",
    ("commands", "models"): "only `ksim list` of types needs them",
    ("commands", "rl"): "only `ksim list` of types needs them",
    ("commands", "run"): "JAX is imported when the configuration has passed its checks",
    ("view.drawer", "view"): "which library draws is decided before MuJoCo is imported",
    ("commands", "io.gl"): "chosen before MuJoCo is imported, by the commands that render",
}
"""Imports inside functions: module -> imported module or part, and why they are late."""

OUTSIDE = {
    "rich": ("ksim_cli/io/console.py", "ksim_cli/io/dashboard.py"),
    "matplotlib": ("ksim_cli/view/",),
    "plotext": ("ksim_cli/view/",),
    "hydra": ("ksim_cli/config/",),
    "omegaconf": ("ksim_cli/config/",),
    "mujoco.mjx": ("ksim_cli/physics/",),
    "mujoco.batch": ("ksim_cli/physics/",),
    "safetensors": ("ksim_cli/io/",),
    "h5py": ("ksim_cli/io/", "ksim_cli/hdf5.py"),
}
"""Other people's modules that only some files may import."""

STANDARD_LIBRARY_ONLY = (
    "__main__",
    "io.streams",
    "run.signals",
    "cli",
    "paths",
    "own_code",
    "errors",
    "option",
    "registry",
    "synonyms",
    "config.schema",
    "config.components",
    "config.options",
    "config.help",
    "config.aliases",
    "config.looking",
)
"""What `ksim --help`, `ksim list` and a mistyped key load."""

RUNS_CODE = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
"""Modules that read a file by running what is in it."""

FACE = ksim_cli._HOMES
"""Name that the package itself gives -> the module it comes from."""

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
    return [*FACE.get(module.removeprefix(f"{PACKAGE}."), module).split("."), ""][1]


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
    """Line and dotted name of everything imported; `from a import b` gives `a.b`.

    With `top_level` only what importing the file imports, not what its functions do.
    """
    package = source.module.split(".")
    if not source.path.endswith("/__init__.py"):
        package = package[:-1]
    pending: list[ast.AST] = [source.tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            yield from ((node.lineno, ".".join([*base, each.name])) for each in node.names)
        elif not (top_level and isinstance(node, Function)):
            pending.extend(ast.iter_child_nodes(node))


def wrong_way(source: Source) -> Iterator[str]:
    """Imports against the direction, or that the design closes."""
    rank = {name: i for i, names in enumerate(LAYERS) for name in names}
    own = part(source.module)
    for line, name in imports(source) if source.module != PACKAGE else ():
        if name.split(".")[0] != PACKAGE:
            continue
        other = part(name)
        if other not in rank:
            other = ""  # a name of the package itself
        where = f"{source.path}:{line}: {own} imports {name}"
        if own not in rank:
            yield f"{source.path}: part '{own}' stands in no layer of LAYERS"
            return
        if rank[other] > rank[own]:
            yield f"{where}, which stands to its right"
        if other in CLOSED.get(own, ()):
            yield f"{where}, which the design closes"


def not_its_business(source: Source) -> Iterator[str]:
    """Imports of other people's modules where they do not belong."""
    for line, name in imports(source):
        for module, allowed in OUTSIDE.items():
            inside = name == module or name.startswith(f"{module}.")
            if inside and not source.path.startswith(allowed):
                yield f"{source.path}:{line}: imports {name}; only {', '.join(allowed)} may"


def not_light(source: Source) -> Iterator[str]:
    """Imports at the top of a module that must load the standard library only."""
    if source.module.removeprefix(f"{PACKAGE}.") not in STANDARD_LIBRARY_ONLY:
        return
    light = {f"{PACKAGE}.{name}" for name in STANDARD_LIBRARY_ONLY}
    for line, name in imports(source, top_level=True):
        first = name.split(".")[0]
        ours = first == PACKAGE and (
            any(name == each or name.startswith(f"{each}.") for each in light)
            or name == f"{PACKAGE}.__version__"
        )
        if not ours and first not in sys.stdlib_module_names:
            yield f"{source.path}:{line}: imports {name}, which is not light"


def runs_code(source: Source) -> Iterator[str]:
    """What could run code from a file, or measure time by a clock that jumps."""
    for line, name in imports(source):
        if name.split(".")[0] in RUNS_CODE:
            yield f"{source.path}:{line}: imports {name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "time.time"):
                yield f"{source.path}:{node.lineno}: calls {called}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield f"{source.path}:{node.lineno}: allow_pickle"
        if isinstance(node, ast.Constant) and node.value == "_target_":
            yield f"{source.path}:{node.lineno}: names _target_"


CHECKS = (
    over_size,
    over_budget,
    undocumented,
    wrong_way,
    not_its_business,
    not_light,
    runs_code,
)
PACKAGE_SOURCES = sources("ksim_cli", "tasks")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_package_keeps_its_shape(check: Callable[[Source], Iterator[str]]) -> None:
    complaints = [text for source in PACKAGE_SOURCES for text in check(source)]
    assert not complaints, "\n".join(complaints)


def arrows() -> dict[str, set[str]]:
    """Module -> modules of the package it imports anywhere, in a function too.

    What is imported from the package itself counts for the module that defines it; the package
    has no arrows of its own, it is not there for itself.
    """
    modules = {source.module: source for source in PACKAGE_SOURCES}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, source in modules.items():
        for _, imported in imports(source):
            home = FACE.get(imported.removeprefix(f"{PACKAGE}."), imported)
            targets = {home, home.rpartition(".")[0]} & modules.keys()
            graph[name] |= targets - {name} if name != PACKAGE else set()
    return graph


def test_no_import_cycle() -> None:
    assert find_cycle(arrows()) == []


def test_no_cycle_of_folders() -> None:
    folders: dict[str, set[str]] = {}
    for name, targets in arrows().items():
        folders.setdefault(part(name), set()).update(map(part, targets))
    assert find_cycle({name: targets - {name} for name, targets in folders.items()}) == []


def test_late_imports_are_those_that_are_allowed() -> None:
    late: set[tuple[str, str]] = set()
    for source in PACKAGE_SOURCES:
        at = source.module.removeprefix(PACKAGE).lstrip(".")
        for _, name in set(imports(source)) - set(imports(source, top_level=True)):
            if name.split(".")[0] == PACKAGE:
                late.add(allowed_late(at, name.removeprefix(PACKAGE).lstrip(".")))
    assert late == set(LATE)


def allowed_late(at: str, name: str) -> tuple[str, str]:
    """The entry of `LATE` that allows an import, else the import itself."""
    fitting = [each for each in LATE if each[0] == at and f"{name}.".startswith(f"{each[1]}.")]
    return fitting[0] if fitting else (at, name)


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, or nothing."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for target in sorted(graph[name]):
            found = visit(target, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in sorted(graph):
        found = visit(name, [])
        if found:
            return found
    return []


WITHOUT_A_TEST_OF_THEIR_OWN = {
    "ksim_cli/__init__.py": "a version and a path",
    "ksim_cli/__main__.py": "run by tests/test_cli.py",
    "ksim_cli/types.py": "pytrees without behaviour",
}


def test_tests_mirror_the_package() -> None:
    missing = [
        source.path
        for source in sources("ksim_cli")
        if not source.path.endswith("__init__.py")
        and source.path not in WITHOUT_A_TEST_OF_THEIR_OWN
        and not _mirror(source.path).is_file()
    ]
    assert not missing, f"no test mirrors {', '.join(missing)}"
    gone = [path for path in WITHOUT_A_TEST_OF_THEIR_OWN if not (ROOT / path).is_file()]
    assert not gone


def _mirror(path: str) -> Path:
    inner = Path(path).relative_to(PACKAGE)
    return ROOT / "tests" / inner.parent / f"test_{inner.name}"


BAD = {
    "over_size": "def f():\n" + "    x = 1\n" * 61,
    "over_budget": "def f(a, b, c, d, e, g, h, i, j):\n    pass\n",
    "undocumented": "def public():\n    pass\n",
    "wrong_way": "from ksim_cli.run import train\n",
    "not_its_business": "import rich\n",
    "runs_code": "import pickle\n",
}


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c.__name__ in BAD], ids=lambda check: check.__name__
)
def test_each_check_finds_what_it_is_for(check: Callable[[Source], Iterator[str]]) -> None:
    assert list(check(Source("ksim_cli/rl/bad.py", BAD[check.__name__])))
    good = Source("ksim_cli/rl/good.py", '"""Good."""\n\nimport jax\n')
    assert not list(check(good))


def test_light_modules_are_checked() -> None:
    assert list(not_light(Source("ksim_cli/cli.py", "import jax\n")))
    assert not list(not_light(Source("ksim_cli/cli.py", "def f():\n    import jax\n")))


def test_cycles_are_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert find_cycle({"a": {"b"}, "b": set()}) == []
    assert allowed_late("cli", "commands.train") == ("cli", "commands")
    assert allowed_late("cli", "commandment") == ("cli", "commandment")


def test_nesting_and_methods_are_counted() -> None:
    nested = "def a():\n def b():\n  def c():\n   def d(): pass\n"
    assert list(over_budget(Source("ksim_cli/rl/bad.py", nested)))
    methods = "class A:\n" + "".join(f" def m{i}(self): pass\n" for i in range(16))
    assert list(over_budget(Source("ksim_cli/rl/bad.py", methods)))
