"""A mistake as one message: what is wrong, what was got, what exists, what to type."""

import dataclasses
import re
import sys
import traceback
import typing
from collections.abc import Iterator
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from ksim_cli.config.aliases import ALIASES
from ksim_cli.config.components import COMPONENTS
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError, listing, nearest, of_a_disk
from ksim_cli.paths import GROUPS
from ksim_cli.registry import convert

_GLOBAL_GROUPS = ("task", "experiment", "render")
"""Groups whose files set keys of the whole run."""


class JobFailedError(Exception):
    """A job of a sweep failed; what there is to say has been printed.

    Args:
        status: the exit status it stands for.
    """

    def __init__(self, status: int = 1) -> None:
        super().__init__(status)
        self.status = status


def report(error: Exception, command: str, wants_full_error: bool) -> int:
    """Prints an error; returns the exit status: 2 for the user's mistake, 1 for a failed job."""
    if isinstance(error, JobFailedError):
        return error.status
    message = explain(error)
    if message is None or wants_full_error:
        traceback.print_exception(error)
    if message is None:
        return 1
    print(f"ksim {command}: {message}", file=sys.stderr)
    return 2


def explain(error: BaseException) -> str | None:
    """The message for a mistake of the user; None if the error is none."""
    for cause in _chain(error):
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, yaml.YAMLError):
            return f"YAML error: {' '.join(str(cause).split())}"
        if isinstance(cause, OmegaConfBaseException):
            return _omegaconf(cause, _place(error))
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}': cannot be read: a bracket or quote is not closed, or a character"
            " is not allowed outside quotes. In the shell: \"KEY='VALUE'\""
        )
    if isinstance(error, HydraException):
        return _hydra(str(error))
    if isinstance(error, RuntimeError) and 'detect "srun"' in str(error):
        return (
            "hydra/launcher=slurm: there is no SLURM here (no srun). Start it on a login node, or"
            " leave out hydra/launcher to run the jobs here"
        )
    if isinstance(error, RecursionError):
        return (
            "a config includes itself. A file that extends the built-in one of the same name needs"
            " another name"
        )
    return of_a_disk(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the innermost last."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _place(error: BaseException) -> str:
    """The option whose file is at fault, as `task/mine`; empty if it is the command line."""
    found = re.search(r"In '([^']+)'", str(error))
    return found[1] if found else ""


def _omegaconf(cause: OmegaConfBaseException, place: str) -> str:
    path = str(cause.full_key or cause.key or "")
    text = str(cause.msg or cause).splitlines()[0]
    where = f"In '{place}': " if place else ""
    if "not in" in text and path:
        return where + _unknown(path, cause.parent_node) + _package_line(path, place)
    field = _field(path)
    if field is None:
        return f"{where}{path}: {text}" if path else f"{where}{text}"
    meaning = f"\n  {path}: {field.metadata.get('help', '')}"
    try:
        element = typing.get_args(field.type)[0] if path.endswith("]") else field.type
        convert(cause.value, element, path)
    except UserError as error:
        return f"{where}{error}{meaning}"
    return f"{where}{path}: {text}{meaning}"


def _unknown(path: str, parent: Any) -> str:
    """A key that does not exist, and those beside it."""
    above, _, name = path.rpartition(".")
    if name in ALIASES and not above:
        return f"no key '{path}'. It is called '{ALIASES[name]}' now: write that"
    names = [str(key) for key in parent] if parent is not None else []
    paths = [f"{above}.{each}" if above else each for each in names]
    if path in GROUPS:  # without options it is no group to Hydra
        return f"no option of '{path}': there is none. Add ./configs/{path}/NAME.yaml"
    if not above:
        return f"no key '{path}'.{nearest(path, paths)} See ksim train --help"
    return f"no key '{path}'.{nearest(path, paths)}\n  {above}: {listing(names)}"


def _package_line(path: str, place: str) -> str:
    """The remark that a file says the wrong thing about where its keys belong."""
    group = place.partition("/")[0]
    if group in _GLOBAL_GROUPS and path.partition(".")[0] == group:
        return (
            f"\n  The keys of a file in configs/{group} are those of the whole run."
            " Its first line is # @package _global_"
        )
    if group in GROUPS and group not in _GLOBAL_GROUPS and "." not in path:
        return f"\n  A file in configs/{group} holds fields of '{group}' and has no @package line"
    return ""


def _field(path: str) -> "dataclasses.Field[Any] | None":
    """The field of a key, or of the list it is an element of; None: not in the schema."""
    group, _, name = path.partition("[")[0].partition(".")
    top = {each.name: each for each in dataclasses.fields(RunConfig)}.get(group)
    if top is None or not name:
        return top
    schemas = [*COMPONENTS.get(group, {}).values(), top.type]
    known: list[Any] = [each for each in schemas if dataclasses.is_dataclass(each)]
    fields = (field for each in known for field in dataclasses.fields(each))
    return next((each for each in fields if each.name == name), None)


def _missing(error: MissingConfigException) -> str:
    name = str(error.missing_cfg_file or "")
    if "hydra/launcher/submitit" in str(error):
        return (
            "hydra/launcher=slurm: needs Hydra's submitit launcher. Type pip install 'ksim[sweep]'"
        )
    group, _, choice = name.rpartition("/")
    choices = list(error.options or [])
    if choices:
        more = ""
        if group in ("hydra/launcher", "hydra/sweeper"):
            more = "\n  others are plugins of Hydra to be installed; the extra `sweep` brings some"
        return (
            f"no {group or 'config'} '{choice}'.{nearest(choice, choices)}"
            f"\n  {group}: {listing(choices)}{more}"
        )
    found = re.search(r"Could not find '([^']+)'", str(error))
    group, _, choice = (found[1] if found else name).rpartition("/")
    if group in GROUPS:
        return f"no {group} '{choice}'\n  {group}: (none; add ./configs/{group}/{choice}.yaml)"
    return str(error).splitlines()[0]


def _hydra(text: str) -> str:
    must = re.search(r"You must specify '([^']+)'", text)
    if must:
        found = re.findall(r"^\s+([\w.-]+)$", text.split("Available options:")[-1], re.M)
        return f"needs {must[1]}=...\n  {must[1]}: {listing(found)}"
    sweep = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '([^']*)'", text)
    if sweep:
        typed = sweep[1].lstrip("+")
        key, _, value = typed.partition("=")
        types = {f.name: f.type for f in dataclasses.fields(RunConfig)}
        may_be_list = key not in GROUPS and types.get(key, list) in (list, list[float])
        more = f"\n  one value that is a list: {key}=[{value}]" if may_be_list else ""
        return f"{typed}: several values. Add -m for one job each: -m {typed}{more}"
    absent = re.search(r"Could not delete from config. '([^']+)' does not exist", text)
    if absent:
        section = absent[1].partition(".")[0]
        return (
            f"{absent[1]}: cannot be removed, there is no such entry."
            f" --cfg job -p {section} shows those that there are"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if "HYDRA_FULL_ERROR" not in line]
    return lines[0] + "".join(f"\n  {line}" for line in lines[1:4])
