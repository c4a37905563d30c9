"""How a configuration key declares itself: default, meaning, unit."""

import dataclasses
from typing import Any


def key(default: Any, help: str, unit: str = "") -> Any:
    """A dataclass field that knows its meaning.

    Args:
        default: default value; a dict or list is copied for each instance.
        help: one line for `ksim <command> --help`.
        unit: physical unit, empty if it has none.
    """
    metadata = {"help": help, "unit": unit}
    if isinstance(default, dict | list):
        copy = type(default)
        return dataclasses.field(default_factory=lambda: copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)
