"""Reading arrays of a `.npz` that anybody may have written."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

MOST_BYTES = 2**30
"""What all arrays of a file may come to: a small file can unfold to any size."""

_DAMAGED = (
    *(ValueError, TypeError, KeyError, OSError, EOFError, MemoryError, RuntimeError),
    *(AttributeError, zipfile.BadZipFile, zlib.error),
)
"""What readers of ZIP and of arrays raise where somebody wrote other bytes."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; nothing in it is run.

    Raises:
        ValueError: it is no `.npz`, is damaged, or unfolds to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := sum(each.file_size for each in archive.infolist())) > MOST_BYTES:
                raise ValueError(f"its arrays take {size} bytes")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGED as error:
        raise ValueError(str(error) or type(error).__name__) from error
