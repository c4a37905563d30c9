"""A mistake as one message: what is wrong, what was got, what exists, what to type."""

import re
import sys
import traceback
from collections.abc import Iterator

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from ksim_cli.errors import UserError, listing, nearest


class JobFailedError(Exception):
    """A job crashed; its traceback has been printed."""


def report(error: Exception, command: str, wants_full_error: bool) -> int:
    """Prints an error; returns the exit status: 2 for the user's mistake, 1 for a failed job."""
    if wants_full_error:
        traceback.print_exception(error)
    if isinstance(error, JobFailedError):
        return 1
    message = explain(error)
    if message is None:
        traceback.print_exception(error)
        return 1
    print(f"ksim {command}: {message}", file=sys.stderr)
    return 2


def explain(error: BaseException) -> str | None:
    """The message for a mistake of the user; None if the error is none."""
    if isinstance(error, UserError):
        return str(error)
    for cause in _chain(error):
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, yaml.YAMLError):
            return f"YAML error: {' '.join(str(cause).split())}"
        if isinstance(cause, OmegaConfBaseException):
            return _omegaconf(cause, error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, HydraException):
        return _hydra(error)
    if isinstance(error, RecursionError):
        return (
            "a config includes itself. A file that extends the built-in one of the same name needs"
            " another name"
        )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, the innermost last."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _omegaconf(cause: OmegaConfBaseException, error: BaseException) -> str:
    full_key = str(cause.full_key or cause.key or "")
    text = str(cause.msg or cause).splitlines()[0]
    where = re.search(r"In '([^']+)'", str(error))
    place = f"In '{where.group(1)}': " if where else ""
    if "not in" in text and full_key:
        parent = full_key.rpartition(".")[0]
        name = full_key.rpartition(".")[2]
        names = [str(k) for k in cause.parent_node] if cause.parent_node is not None else []
        hint = nearest(name, names)
        message = f"{place}no key '{full_key}'.{hint}"
        if names:
            message += f"\n  {parent or 'keys'}: {listing(names)}"
        if full_key.startswith("task.") and place:
            message += "\n  A task's YAML sets keys of the whole run. Its first line is"
            message += " # @package _global_"
        return message
    return f"{place}{full_key}: {text}" if full_key else f"{place}{text}"


def _missing(error: MissingConfigException) -> str:
    name = error.missing_cfg_file or ""
    choices = list(error.options or [])
    group, _, choice = str(name).rpartition("/")
    if not choices:
        return " ".join(str(error).split())
    choices = [c for c in choices if not c.endswith("_schema")]
    hint = f"{nearest(choice, choices)}\n  {group}: {listing(choices)}"
    return f"no {group or 'config'} '{choice}'.{hint}"


def _hydra(error: HydraException) -> str:
    text = str(error)
    must = re.search(r"You must specify '([^']+)'", text)
    if must:
        found = re.findall(r"^\s+([\w.-]+)$", text.split("Available options:")[-1], re.M)
        choices = [c for c in found if not c.endswith("_schema")]
        return f"needs {must.group(1)}=...\n  {must.group(1)}: {listing(choices)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if "HYDRA_FULL_ERROR" not in line]
    return lines[0] + "".join(f"\n  {line}" for line in lines[1:4])
