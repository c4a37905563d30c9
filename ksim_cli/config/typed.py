"""Text of one override: paths that need no quotes, patterns in keys, and what is too large to read.

Hydra's grammar has no place for `*` in a key, nor for brackets, commas and `=` in a value without
quotes; here both are written in the way that it reads.
"""

import os
import re

from ksim_cli.errors import UserError

REMOVED = "_removed_"
"""Field that marks an entry, named by a pattern, which is to be taken out."""

MAX_OVERRIDES = 1000
MAX_LENGTH = 10_000
MAX_DEPTH = 32
"""What no command line needs, and what would be read for minutes."""

_NAME = re.compile(r"[A-Za-z_$][\w$-]*|\d+", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_]\w*\(.*\)", re.ASCII | re.DOTALL)
_OPENING, _CLOSING = "([{", ")]}"


def quoted(text: str) -> str:
    """A text as the value of an override that means it letter by letter."""
    text = text.replace("${", "\\${")  # not the value of another key
    # A backslash stands for itself, but not before a quote.
    doubled = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (m[2] and "\\'"), text)
    return f"'{doubled}'"


def unquoted(value: str) -> str:
    """The text that a value means, with or without quotes."""
    if not _is_quoted(value):
        return value
    inner, quote = value[1:-1], value[0]
    inner = re.sub(rf"(\\+)({quote}|$)", lambda m: m[1][: len(m[1]) // 2] + m[2], inner)
    return inner.replace("\\${", "${")


def path_value(value: str, multirun: bool) -> str:
    """The value of a key that takes a path, whatever characters that holds.

    `~` is the home folder. Of a sweep, `a,b` are two paths where there is none of that name.
    """
    if value in ("", "null") or _is_quoted(value) or (multirun and _FUNCTION.fullmatch(value)):
        return value
    path = os.path.expanduser(value)
    if os.path.exists(path):  # unlike a Path's it raises nothing: a long name is no file yet
        return quoted(path)
    if multirun and "," in value:
        return ",".join(path_value(each, multirun=False) for each in value.split(","))
    return quoted(path).replace("\\${", "${")  # run_dir=out/${seed}


def path_list(value: str, multirun: bool) -> str:
    """The value of a key that takes a list of paths: `[a.npz,b.npz]`, or one without brackets.

    Of a sweep, `a,b` are two lists where there is no file of that name.
    """
    if value in ("", "null"):
        return "[]"
    if value.startswith("["):
        lists = split_choices(value) if multirun else [value]
        inner = (each.removeprefix("[").removesuffix("]") for each in lists)
        paths = ([path_value(path.strip(), False) for path in split_choices(x)] for x in inner)
        return ",".join(f"[{','.join(filter(None, each))}]" for each in paths)
    written = path_value(value, multirun)
    return ",".join(f"[{each}]" for each in split_choices(written))


def split_key(key: str) -> tuple[str, list[str]]:
    """A key as the part that Hydra can read and the names, from the first pattern on, after it.

    `joints.*_knee.kp` is `joints` and `["*_knee", "kp"]`.
    """
    names = key.split(".")
    plain = next((i for i, name in enumerate(names) if not _NAME.fullmatch(name)), len(names))
    return ".".join(names[:plain]), names[plain:]


def nested_value(key: str, names: list[str], value: str, multirun: bool) -> str:
    """A value inside of a mapping: of `["*_knee", "kp"]` and 100 `{*_knee:{kp:100}}`.

    Raises:
        UserError: a sweep by a function, which reaches no pattern.
    """
    values = split_choices(value) if multirun else [value]
    if multirun and any(_FUNCTION.fullmatch(each) for each in values):
        raise UserError(
            f"{key}={value}: the key of a sweep by a function is without patterns."
            f" Write its values out: {key}=1,2"
        )
    for name in reversed(names):
        escaped = re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", name)
        values = [f"{{{escaped}:{each}}}" for each in values]
    return ",".join(values)


def split_choices(value: str) -> list[str]:
    """The choices of `a,[b,c],'d,e'`: split at the commas outside of brackets and quotes."""
    choices, depth, quote = [""], 0, ""
    for letter in value:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == "," and depth == 0 and not quote:
            choices.append("")
        else:
            choices[-1] += letter
    return choices


def refuse_too_large(overrides: list[str]) -> None:
    """Refuses what would take minutes to be read.

    Raises:
        UserError: too many overrides, or one that is too long or too deeply nested.
    """
    if len(overrides) > MAX_OVERRIDES:
        raise UserError(
            f"{len(overrides)} overrides: at most {MAX_OVERRIDES}. Put them into a file:"
            " configs/experiment/NAME.yaml, experiment=NAME"
        )
    for override in overrides:
        head = f"{override[:40]}…" if len(override) > 40 else override
        if len(override) > MAX_LENGTH:
            raise UserError(
                f"'{head}': {len(override)} characters, at most {MAX_LENGTH}. Put it into a file:"
                " configs/experiment/NAME.yaml, experiment=NAME"
            )
        depth = deepest = 0
        for letter in override:
            depth += (letter in _OPENING) - (letter in _CLOSING)
            deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            raise UserError(f"'{head}': brackets in brackets {deepest} deep, at most {MAX_DEPTH}")


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
