"""Errors in a user's own code: told by file and line of his project, with the likely cause.

Standard library only. What goes wrong in ksim or elsewhere stays a crash with its whole traceback.
"""

import inspect
import os
import traceback
from collections.abc import Sequence
from pathlib import Path

from ksim_cli.errors import NOTE
from ksim_cli.paths import PACKAGE, project_root

_STANDARD_LIBRARY = Path(os.__file__).parent
_ENVIRONMENT = {"site-packages", "dist-packages"}
"""Where packages are installed, which may be below a user's project."""

_SHOWN = 6
"""Most frames that are shown, the innermost last."""

_NUMBER = (
    "in compiled code a value is not a number yet. For int(), float(), .item() and NumPy's"
    " functions take those of jax.numpy"
)
CAUSES = (
    (
        "TracerBoolConversionError",
        "",
        "in compiled code a value is not True or False yet. For `if`, `and`, `max` and comparisons"
        " in a row write jnp.where(condition, a, b), `&` and jnp.maximum",
    ),
    (
        "NonConcreteBooleanIndexError",
        "",
        "in compiled code it is not known how many elements a mask leaves. Write"
        " jnp.where(mask, x, 0)",
    ),
    ("ConcretizationTypeError", "", _NUMBER),
    ("TracerArrayConversionError", "", _NUMBER),
    ("TracerIntegerConversionError", "", _NUMBER),
    (
        "UnexpectedTracerError",
        "",
        "a value was kept on self or in a global. What lasts from step to step is the term's carry",
    ),
    (
        "FrozenInstanceError",
        "",
        "a term does not change. What lasts from step to step is its carry: return value, carry",
    ),
    ("TypeError", "non-frozen dataclass", "write @dataclass(frozen=True, kw_only=True)"),
    ("TypeError", "non-default argument", "write @dataclass(frozen=True, kw_only=True)"),
    ("TypeError", "item assignment", "arrays of JAX do not change: x = x.at[i].set(value)"),
    ("ModuleNotFoundError", "", "install it here: pip install {name}"),
)
"""Name of an error's class, part of its text, and what is mostly wrong then."""


def explain_own(error: BaseException) -> str | None:
    """The message for an error that the user's own code raised; None: it came from elsewhere.

    It says the term, file and line, what was raised, his own frames, and the likely cause.
    """
    root = project_root()
    if root is None:
        return None
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(NOTE)]
    frames = _own_frames(error, root, notes)
    if not frames:
        return None
    last = frames[-1]
    where = f"{_short(last.filename, root)}:{last.lineno}"
    named = f"{notes[0].removeprefix(NOTE)} ({where})" if notes else where
    text = str(error.msg if isinstance(error, SyntaxError) else error).strip().split("\n")[0]
    lines = [f"{named}: {type(error).__name__}: {text}".rstrip(": ")]
    for frame in frames[-_SHOWN:]:
        lines.append(f"  {_short(frame.filename, root)}:{frame.lineno}: {frame.line}")
    if cause := _likely_cause(error):
        lines.append(f"  Mostly: {cause}")
    return "\n".join(lines)


def place_of(cls: type) -> str:
    """` (file:line)` of a class's `__call__`, or of the class; empty for a built-in one."""
    root = project_root()
    try:
        file = inspect.getsourcefile(cls)
        code = getattr(vars(cls).get("__call__"), "__code__", None)
        line = code.co_firstlineno if code is not None else inspect.getsourcelines(cls)[1]
    except (TypeError, OSError):
        return ""
    if root is None or file is None or not is_own(file, root):
        return ""
    return f" ({_short(file, root)}:{line})"


def _own_frames(
    error: BaseException, root: Path, notes: Sequence[str] = ()
) -> list[traceback.FrameSummary]:
    """Frames of the project; of one of ksim further in only what a term called is his own doing."""
    if isinstance(error, SyntaxError):
        if error.filename is None or not is_own(error.filename, root):
            return []
        line = (error.text or "").strip()
        return [traceback.FrameSummary(error.filename, error.lineno, "", line=line)]
    own: list[traceback.FrameSummary] = []
    for frame in traceback.extract_tb(error.__traceback__):
        if is_own(frame.filename, root):
            own.append(frame)
        elif own and not notes and Path(frame.filename).is_relative_to(PACKAGE):
            own.clear()
    return own


def is_own(filename: str, root: Path) -> bool:
    """Whether a file is the user's: in his `tasks/` or beside it, but in no environment."""
    path = Path(filename)
    others = any(path.is_relative_to(each) for each in (PACKAGE, _STANDARD_LIBRARY))
    return path.is_relative_to(root) and not others and not _ENVIRONMENT.intersection(path.parts)


def _short(filename: str, root: Path) -> str:
    return Path(filename).relative_to(root).as_posix()


def _likely_cause(error: BaseException) -> str:
    classes = {cls.__name__ for cls in type(error).__mro__}
    for name, part, cause in CAUSES:
        if name in classes and part in str(error):
            return cause.format(name=getattr(error, "name", ""))
    return ""
