"""Declaration of a configuration key: default, meaning, unit, and the values it allows."""

import dataclasses
import math
import operator
from collections.abc import Sequence
from typing import Any

from ksim_cli.errors import nearest

_WORDS = {"gt": "above", "ge": "at least", "le": "at most", "lt": "below"}
_FITS = {name: getattr(operator, name) for name in _WORDS}


def option(
    default: Any,
    help: str,
    unit: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field that knows its meaning.

    Args:
        default: default value; a dict or list is copied for each instance.
        help: one line for `ksim <command> --help`.
        unit: physical unit, empty if it has none.
        gt: the value must be larger than this.
        ge: the smallest value allowed.
        le: the largest value allowed.
        lt: the value must be smaller than this.
        choices: the values allowed, if they can be listed.
    """
    limits = {"gt": gt, "ge": ge, "le": le, "lt": lt}
    metadata = {"help": help, "unit": unit, "limits": limits, "choices": tuple(choices)}
    if isinstance(default, dict | list):
        copy = type(default)
        return dataclasses.field(default_factory=lambda: copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def refusal(field: "dataclasses.Field[Any]", value: Any) -> str | None:
    """Complaint about the value of a key; None where it is allowed.

    Args:
        field: the key's field; one that was not made by `option` allows all numbers.
        value: a value of the right type; of a list each element. Null is allowed wherever the type
            allows it.
    """
    if isinstance(value, list | tuple):
        refusals = (refusal(field, each) for each in value)
        return next((each for each in refusals if each is not None), None)
    choices = field.metadata.get("choices") or ()
    if choices and value is not None and value not in choices:
        return f"is not one of {', '.join(choices)}.{nearest(str(value), choices)}"
    limits = field.metadata.get("limits")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if limits is None:
        return "must be a number" if math.isnan(value) else None
    if not math.isfinite(value):
        return "must be finite"
    broken = [
        f"{_WORDS[name]} {limit:.12g}"
        for name, limit in limits.items()
        if limit is not None and not _FITS[name](value, limit)
    ]
    return f"must be {' and '.join(broken)}" if broken else None
