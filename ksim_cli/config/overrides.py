"""What the user typed after the command, looked through before Hydra sees it."""

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ksim_cli.config.aliases import ALIASES, RUN_MODES
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, nearest
from ksim_cli.paths import GROUPS

FREE_SECTIONS = (
    "actuators",
    "observations",
    "rewards",
    "terminations",
    "resets",
    "commands",
    "events",
    "randomization",
)
"""Sections of terms: any field of a term may be set, written in YAML or not."""

_FLAGS = {"-m", "--multirun", "--resolve", "--hydra-help", "-r", "--run"}
_FLAGS_WITH_VALUE = {
    *("-c", "--cfg", "-p", "--package", "-cn", "--config-name"),
    *("-cp", "--config-path", "-cd", "--config-dir"),
}
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_KEYS = {f.name for f in dataclasses.fields(RunConfig)}


@dataclass(frozen=True)
class CommandLine:
    """Arguments of a command, for Hydra.

    Attributes:
        flags: options of Hydra, as they were typed.
        overrides: `key=value`, with old names replaced by today's.
    """

    flags: list[str]
    overrides: list[str]

    def value(self, key: str) -> str | None:
        """The value given to a key, None if it is not among the overrides."""
        for override in self.overrides:
            name, _, value = override.partition("=")
            if name.lstrip("+") == key:
                return value.strip("'\"")
        return None

    def without(self, *keys: str) -> "CommandLine":
        """The same without some overrides."""
        kept = [o for o in self.overrides if o.partition("=")[0].lstrip("+") not in keys]
        return dataclasses.replace(self, overrides=kept)

    @property
    def multirun(self) -> bool:
        """Whether this is a sweep."""
        return "-m" in self.flags or "--multirun" in self.flags


def parse(command: str, arguments: list[str]) -> CommandLine:
    """Splits flags from overrides and checks the names of the keys.

    Raises:
        UserError: an unknown flag or key, something that is no `key=value`, a key given twice.
    """
    flags, overrides = [], []
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("-"):
            flags.extend(_flag(argument, rest))
        elif flags and flags[-1] in ("-i", "--info") and argument in _INFO:
            flags.append(argument)
        else:
            overrides.extend(_override(command, argument))
    _refuse_twice(overrides)
    return CommandLine(flags=flags, overrides=overrides)


def _flag(argument: str, rest: Iterator[str]) -> list[str]:
    name = argument.partition("=")[0]
    if name in _FLAGS:
        return [argument]
    if name in ("-i", "--info"):
        return [argument]
    if name in _FLAGS_WITH_VALUE:
        if "=" in argument:
            return [argument]
        value = next(rest, None)
        if value is None:
            raise UserError(f"{argument}: needs a value, as in {argument} job")
        return [argument, value]
    key = name.lstrip("-").replace("-", "_")
    value = argument.partition("=")[2] or next(rest, "VALUE")
    if key in _KEYS or key in GROUPS or key in ALIASES:
        raise UserError(
            f"no option '{name}'. Keys are given without dashes: {ALIASES.get(key, key)}={value}"
        )
    known = [*_FLAGS, *_FLAGS_WITH_VALUE, "--info"]
    raise UserError(f"no option '{name}'.{nearest(name, known)} Keys are given as key=value")


def _override(command: str, argument: str) -> list[str]:
    name, equals, value = argument.partition("=")
    key = name.lstrip("+~").partition("@")[0]
    if not equals and not name.startswith("~"):
        hint = f" Type {key}=VALUE" if _known(key) else f"{nearest(key, _names())}"
        raise UserError(f"'{argument}': expected key=value.{hint}")
    if key == "run_mode":
        if value not in RUN_MODES:
            raise UserError(f"run_mode={value}: one of {', '.join(RUN_MODES)}")
        meaning = RUN_MODES[value]
        _say(f"run_mode={value} is {meaning or 'what ksim train does anyway'} now")
        return [meaning] if meaning else []
    if key in ALIASES:
        _say(f"'{key}' is called '{ALIASES[key]}' now")
        key = ALIASES[key]
        name = key
    if not _known(key):
        raise UserError(
            f"no key or group '{key}'.{nearest(key, _names())}"
            f"\n  see: ksim {command} --help, ksim list"
        )
    section = key.partition(".")[0]
    if section in FREE_SECTIONS and "." in key and not name.startswith(("+", "~")):
        name = f"++{name}"
    elif name.startswith("+") and "." not in key and key not in GROUPS and "/" not in key:
        name = key  # +seed=3 means seed=3: the key is known
    return [f"{name}={value}" if equals else name]


def _known(key: str) -> bool:
    first = key.partition(".")[0]
    return first in _KEYS or key in GROUPS or first.partition("/")[0] == "hydra"


def _names() -> list[str]:
    return [*_KEYS, *GROUPS, *ALIASES, "hydra"]


def _say(text: str) -> None:
    print(f"ksim: {text}", file=sys.stderr)


def _refuse_twice(overrides: list[str]) -> None:
    seen: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if key in seen and not key.startswith("~"):
            raise UserError(f"'{key}' is given twice: {seen[key]} and {override}. Keep one of them")
        seen[key] = override
