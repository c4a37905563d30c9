"""Reading arrays of an HDF5 file that anybody may have written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 2**30
"""What the arrays that are read at once may come to: a small file can unfold to any size."""

_DAMAGED = (OSError, KeyError, AttributeError, ValueError, RuntimeError, TypeError, MemoryError)
"""What h5py raises where somebody wrote other bytes."""


def read_arrays(path: Path, group: str = "/") -> dict[str, np.ndarray]:
    """The arrays of numbers and of text in a group, by their path in it; no link is followed.

    Raises:
        ValueError: it is no HDF5, is damaged, unfolds to too much, or has no such group.
    """
    import h5py

    arrays: dict[str, np.ndarray] = {}
    size = 0

    def keep(name: str, found: Any) -> None:
        nonlocal size
        if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
            return  # the latter two read other files
        is_text = h5py.check_string_dtype(found.dtype) is not None
        if not is_text and found.dtype.kind not in "biuf":
            return
        size += found.nbytes
        if size > MOST_BYTES:
            raise ValueError(f"its arrays take more than {MOST_BYTES} bytes")
        arrays[name] = np.array(found.asstr("utf-8")[()], str) if is_text else np.array(found[()])

    try:
        with h5py.File(path, "r") as file:
            if group != "/" and not isinstance(file.get(group, getlink=True), h5py.HardLink):
                raise ValueError(f"it has no group {group}")
            chosen: Any = file[group]
            chosen.visititems(keep)
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return arrays


def read_names(path: Path) -> list[str]:
    """Names of what is at the top of a file.

    Raises:
        ValueError: it is no HDF5, or is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return [str(name) for name in file]
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of numbers and of text by name."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            if values.dtype.kind == "U":
                file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
            else:
                file.create_dataset(name, data=values)
