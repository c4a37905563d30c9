"""Dumps of environments that were quarantined: `dumps/<what was at fault>.npz` in a run's folder.

Arrays by name: `step`, `env`, `iteration`, and of each control step of the rollout `action`,
`obs/<group>` before it, `view/<field>` after it, `command/<name>`, `reward/<name>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.errors import UserError, listing
from ksim_cli.io.files import make_folder, open_own
from ksim_cli.npz import read_arrays

_NEEDED = ("step", "env", "iteration", "action", "view/qpos", "view/qvel")
_DIMS: dict[str, int] = {**dict.fromkeys(_NEEDED[:3], 0), **dict.fromkeys(_NEEDED[3:], 2)}


@dataclass(frozen=True)
class Dump:
    """What is known of one environment around the step at which it was quarantined.

    Attributes:
        at_fault: key of what was not finite, e.g. `observations.imu`.
        arrays: see the module.
    """

    at_fault: str
    arrays: Mapping[str, Any]

    @property
    def step(self) -> int:
        """The control step of the rollout at which it was quarantined, the last that is known."""
        return int(self.arrays["step"])

    def steps(self, name: str) -> np.ndarray:
        """`[step + 1, ...]` an array up to that step."""
        return self.arrays[name][: self.step + 1]


def write_dump(folder: Path, dump: Dump) -> Path:
    """Writes a dump into the folder, which is made, and gives its path.

    One of before the run was resumed stays: the new one has its iteration in its name.
    """
    make_folder(folder)
    path = folder / f"{dump.at_fault}.npz"
    if path.exists() and not path.is_symlink():
        path = folder / f"{dump.at_fault}-{dump.arrays['iteration']}.npz"
    with open_own(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dump.arrays)
    return path


def read_dump(path: Path) -> Dump:
    """Reads a dump; nothing in it is run.

    Raises:
        UserError: it is missing or no dump, or its arrays do not belong together.
    """
    if not path.is_file():
        raise UserError(f"dump={path}: no such file. A run's are in its folder dumps/")
    try:
        arrays = read_arrays(path)
        if missing := [name for name in _NEEDED if name not in arrays]:
            raise ValueError(f"it lacks {listing(missing)}")
        per_step = [array for name, array in arrays.items() if name not in _NEEDED[:3]]
        for name, array in arrays.items():
            dims = _DIMS.get(name, 1 if name.startswith("reward/") else array.ndim)
            if array.ndim != dims or array.dtype.kind not in "biuf":
                raise ValueError(f"its {name} is {array.dtype} of {array.ndim} dimensions")
        if not 0 <= int(arrays["step"]) < min(len(array) for array in per_step):
            raise ValueError(f"it has no step {arrays['step']}")
    except (ValueError, TypeError) as error:
        raise UserError(f"dump={path}: cannot be read: {error}") from error
    return Dump(path.stem.removesuffix(f"-{int(arrays['iteration'])}"), arrays)
