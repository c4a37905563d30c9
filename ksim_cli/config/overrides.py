"""Parsing of the command line, before Hydra sees it."""

import dataclasses
import re
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ksim_cli.config.aliases import ALIASES, ALIASES_OF_TRAIN, MEANINGS, RUN_MODES
from ksim_cli.config.options import list_options
from ksim_cli.config.schema import COMPONENT_SECTIONS, PATHS, TERM_SECTIONS, RetargetKeys, RunConfig
from ksim_cli.config.sources import refuse_code_typed
from ksim_cli.config.typed import (
    REMOVED,
    nested_value,
    path_list,
    path_value,
    quoted,
    refuse_too_large,
    split_key,
    unquoted,
)
from ksim_cli.errors import UserError, nearest
from ksim_cli.paths import GROUPS

_FLAGS = ("-m", "--multirun", "--resolve", "--hydra-help", "-r", "--run")
_FLAGS_WITH_VALUE = {
    **dict.fromkeys(("-c", "--cfg"), ("job", "hydra", "all")),
    **dict.fromkeys(("-p", "--package", "-cn", "--config-name", "-cd", "--config-dir"), ()),
}
"""Flag -> its values; empty where any will do."""

MOTIONS = "motion.files"
"""Key of a list of paths, which `motion=` is short for."""

SHOWN_FIRST = ("checkpoint", "policy", "dataset", "dump")
"""Keys that say what `ksim view` shows, beside which a motion is not shown by itself."""

_RETARGETING = tuple(f.name for f in dataclasses.fields(RetargetKeys))

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_ACTS = (
    *(f"{key}=true" for key in ("run_model_viewer", "run_environment", "collect_dataset")),
    *("run_mode=view", "run_mode=collect_dataset"),
)
"""Arguments by which `ksim train` is another command."""

_TYPES: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(RunConfig)}


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
        """The value given to a key; None if it was not given, or given as null."""
        for override in self.overrides:
            name, _, value = override.partition("=")
            if name.lstrip("+") == key:
                return None if value == "null" else unquoted(value)
        return None

    def replace(self, key: str, value: str) -> "CommandLine":
        """The same with a key set to a text, whatever characters that holds."""
        kept = self.without(key).overrides
        return dataclasses.replace(self, overrides=[*kept, f"{key}={quoted(value)}"])

    def without(self, *keys: str) -> "CommandLine":
        """The same without some overrides."""
        kept = [o for o in self.overrides if o.partition("=")[0].lstrip("+") not in keys]
        return dataclasses.replace(self, overrides=kept)

    @property
    def multirun(self) -> bool:
        """True for a sweep."""
        return _is_multirun(self.flags)


def parse(command: str, arguments: list[str]) -> CommandLine:
    """Splits flags from overrides and checks the names of the keys.

    Raises:
        UserError: an unknown flag or key, something that is no `key=value`, a key given twice,
            what would run code, or more than can be read.
    """
    flags, typed = [], []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        if argument.startswith("-"):
            flags.extend(_flag(argument, rest))
        else:
            typed.append(argument)
    refuse_too_large(typed)
    aliases = ALIASES
    if command == "train" and not any(argument.lower() in _ACTS for argument in typed):
        aliases = ALIASES | ALIASES_OF_TRAIN
    given = [each for argument in typed for each in _named(command, argument, aliases)]
    _refuse_twice(given)
    _refuse_retargeting(command, given)
    multirun = _is_multirun(flags)
    overrides = [_written(each, multirun) for each in given]
    line = CommandLine(flags=flags, overrides=overrides)
    if line.multirun and any(f in ("-c", "--cfg") or f.startswith("--cfg=") for f in flags):
        raise UserError("--cfg shows one job's config: leave out --multirun")
    folder = line.value("run_dir")
    if line.multirun and folder is not None and "," not in folder and "${" not in folder:
        raise UserError(
            "run_dir= is the folder of one run, and a sweep has several. Leave it out, or set"
            f" hydra.sweep.dir={folder}: each job gets a folder in there"
        )
    return line


def _flag(argument: str, rest: deque[str]) -> list[str]:
    """A flag and its value, which may be the first of the rest."""
    name, equals, value = argument.partition("=")
    if name in _FLAGS and not equals:
        return [argument]
    if name in ("-i", "--info"):
        if not equals:  # written out, else Hydra takes an override for the value
            value = rest.popleft() if rest and rest[0] in _INFO else "all"
        if value not in _INFO:
            raise UserError(f"{argument}: one of {', '.join(_INFO)}.{nearest(value, _INFO)}")
        return [name, value]
    if name in _FLAGS_WITH_VALUE:
        choices = _FLAGS_WITH_VALUE[name]
        if not equals and rest:
            value = rest.popleft()
        example = choices[0] if choices else "VALUE"
        if not value:
            raise UserError(f"{name}: needs a value, as in {name} {example}")
        if choices and value not in choices:
            raise UserError(
                f"{name} {value}: one of {', '.join(choices)}.{nearest(value, choices)}"
            )
        return [name, value]
    key = name.lstrip("-").replace("-", "_")
    if _known(key) or key in ALIASES:
        value = value or (rest[0] if rest else "VALUE")
        raise UserError(
            f"no option '{name}'. Keys are given without dashes: {ALIASES.get(key, key)}={value}"
        )
    known = [*_FLAGS, *_FLAGS_WITH_VALUE, "--info"]
    raise UserError(f"no option '{name}'.{nearest(name, known)} Keys are given as key=value")


def _named(command: str, argument: str, aliases: Mapping[str, str]) -> list[str]:
    """An argument with today's name of its key, once that is known to exist."""
    name, equals, value = argument.partition("=")
    removes = name.startswith("~")
    key = name.lstrip("+~").partition("@")[0]
    if not equals and not removes:
        hint = f" Type {key}=VALUE" if _known(key) else nearest(key, _names())
        raise UserError(f"'{argument}': expected key=value, without spaces.{hint}")
    if key == "run_mode":
        return _run_mode(value)
    if key in MEANINGS and not removes:
        meaning = MEANINGS[key].format(value)
        _say(f"'{argument}' is {meaning} now")
        return [meaning]
    if key in aliases and not removes:
        _say(f"'{key}' is called '{aliases[key]}' now")
        key = name = aliases[key]
    if not _known(key):
        raise UserError(
            f"no key or group '{key}'.{nearest(key, _names())}"
            f"\n  see: ksim {command} --help, ksim list"
        )
    if removes:
        return [_removal(argument, key)]
    if key in GROUPS and value in ("", "null"):
        return _no_option(key, value)
    refuse_code_typed(key, value)
    if key == "hydra.run.dir":
        raise UserError(f"{argument}: the folder of a run is run_dir. Type run_dir={value}")
    if key.partition(".")[0].partition("/")[0] == "hydra" or "@" in name:
        return [f"{name}={value}"]
    if value == "{}" and key.partition(".")[0] in (*TERM_SECTIONS, *COMPONENT_SECTIONS):
        raise UserError(
            f"{key}={{}}: changes nothing, for Hydra merges it into what is there."
            f" ~{key.partition('.')[0]}.NAME removes one entry"
        )
    if key in ("task.name", "task.extends"):
        raise UserError(f"{key}={value}: is filled in by ksim. Type task=OPTION instead")
    if key.startswith(("algo.teacher_model", "algo.teacher_observations")):
        raise UserError(f"{key}={value}: is filled in by ksim. Type algo.teacher=RUN instead")
    return [f"{key}={value}"]  # +seed=3 means seed=3: the key is there


def _written(override: str, multirun: bool) -> str:
    """An override as Hydra reads it: paths quoted, patterns inside of mappings."""
    name, _, value = override.partition("=")
    if name in ("motion", MOTIONS) and not value.startswith("{"):
        return f"{MOTIONS}={path_list(value, multirun)}"
    if _takes_path(name, value):
        value = path_value(value, multirun)
        override = f"{name}={value}"
    key = name.removeprefix("~")
    section, dot, entry = key.partition(".")
    if not dot or section not in TERM_SECTIONS:
        return override
    removes = key != name or value == "null"
    head, names = split_key(key)
    if names and removes and names == entry.split("."):
        return f"{head}={nested_value(key, [*names, REMOVED], 'true', multirun)}"
    if names and key != name:
        raise UserError(
            f"{override}: a pattern can be removed as an entry only, as in ~{section}.{names[0]}"
        )
    if names:
        return f"{head}={nested_value(key, names, value, multirun)}"
    return f"~{key}" if removes and "." not in entry else override


def _takes_path(key: str, value: str) -> bool:
    """Whether a key takes a path: a term's `path` does, unless it holds numbers (way points)."""
    if key.partition(".")[0] in TERM_SECTIONS:
        return key.endswith(".path") and not re.match(r"[\[{]|[\d.+-]+$", value)
    return key in PATHS or key in ("hydra.sweep.dir", "hydra.launcher.submitit_folder")


def _run_mode(value: str) -> list[str]:
    if value not in RUN_MODES:
        raise UserError(f"run_mode={value}: one of {', '.join(RUN_MODES)}")
    meaning = RUN_MODES[value]
    _say(f"run_mode={value} is {meaning or 'what ksim train does anyway'} now")
    return [meaning] if meaning else []


def _removal(argument: str, key: str) -> str:
    """Only what a section names may be removed: the keys of the schema are always there."""
    section, dot, _ = key.partition(".")
    if dot and section in TERM_SECTIONS:
        return argument
    names = ", ".join(TERM_SECTIONS)
    raise UserError(
        f"{argument}: '{key}' cannot be removed; to go back to its default, leave it out."
        f"\n  ~SECTION.NAME removes one entry of {names}"
    )


def _no_option(group: str, value: str) -> list[str]:
    """`group=` or `group=null`: nothing to say for an optional group, a mistake for another."""
    names = [option.name for option in list_options().get(group, [])]
    if group == "experiment" and value == "null":
        return []
    options = ", ".join(names) or f"(none; add ./configs/{group}/NAME.yaml)"
    raise UserError(f"{group}={value}: needs an option\n  {group}: {options}")


def _known(key: str) -> bool:
    first = key.partition(".")[0]
    return first in _TYPES or key in GROUPS or first.partition("/")[0] == "hydra"


def _names() -> list[str]:
    return [*_TYPES, *GROUPS, *ALIASES, *MEANINGS, "hydra"]


def _say(text: str) -> None:
    print(f"ksim: {text}", file=sys.stderr)


def _refuse_retargeting(command: str, overrides: list[str]) -> None:
    """Keys of `ksim retarget` would do nothing elsewhere."""
    for override in overrides if command != "retarget" else ():
        key = override.partition("=")[0].lstrip("+~")
        if key in _RETARGETING or key.partition(".")[0] == "retarget":
            raise UserError(f"{override}: is for ksim retarget. Leave it out")


def _is_multirun(flags: list[str]) -> bool:
    return "-m" in flags or "--multirun" in flags


def _refuse_twice(overrides: list[str]) -> None:
    seen: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0].lstrip("+")
        if key in seen and not key.startswith("~"):
            raise UserError(
                f"'{key}' is given twice: {seen[key].lstrip('+')} and {override.lstrip('+')}."
                " Keep one of them"
            )
        seen[key] = override
