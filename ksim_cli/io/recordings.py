"""Reading the datasets of `ksim collect` back, whoever wrote them; see `ksim_cli.io.datasets`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ksim_cli.errors import UserError
from ksim_cli.hdf5 import read_arrays
from ksim_cli.io.files import read_json

_TASK = re.compile(r"[\w-]+(/[\w-]+)*", re.ASCII)

_NEEDED = {"rewards": 1, "actions": 2, "observations": 2, "infos/qpos": 2, "infos/qvel": 2}
"""Arrays of an episode that are shown, and their axes; the first is time."""


@dataclass(frozen=True)
class Recording:
    """A dataset that is to be shown.

    Attributes:
        path: its folder.
        task: the task it was recorded of.
        ctrl_dt: s between two steps.
        count: episodes in it.
    """

    path: Path
    task: str
    ctrl_dt: float
    count: int

    def episode(self, index: int) -> dict[str, Any]:
        """Arrays `[T, ...]` of an episode by their path in it; those of `_NEEDED` are there.

        Raises:
            UserError: it cannot be read.
        """
        name = f"episode_{index}"
        try:
            found = read_arrays(self.path / "data" / "main_data.hdf5", name)
        except ValueError as error:
            raise UserError(f"dataset={self.path}: its {name} cannot be read: {error}") from error
        arrays = {path: x for path, x in found.items() if x.dtype.kind in "biuf" and x.ndim}
        steps = len(arrays.get("rewards", ()))
        if "observations" in arrays:  # one more: what was seen after the last step
            arrays["observations"] = arrays["observations"][:steps]
        for path, dims in _NEEDED.items():
            array = arrays.get(path)
            if array is None or array.ndim != dims or len(array) != steps or not steps:
                given = "missing" if array is None else f"of shape {list(array.shape)}"
                raise UserError(
                    f"dataset={self.path}: {path} of its {name} is {given}. Only what ksim collect"
                    " recorded can be shown"
                )
        return {path: array for path, array in arrays.items() if len(array) == steps}


def read_recording(path: Path) -> Recording:
    """What a folder holds, from its metadata.

    Raises:
        UserError: it holds no dataset of ksim's.
    """
    file = path / "data" / "metadata.json"
    try:
        metadata = read_json(file)
        ours: Mapping[str, Any] = metadata["ksim"]
        recording = Recording(
            path, str(ours["task"]), float(ours["ctrl_dt"]), int(metadata["total_episodes"])
        )
    except FileNotFoundError as error:
        raise UserError(
            f"dataset={path}: no dataset there. Name the folder that ksim collect wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"dataset={path}: its {file.name} is none of ksim's: {error}") from error
    if not _TASK.fullmatch(recording.task):
        raise UserError(f"dataset={path}: its task {recording.task!r} is no name. Type task=...")
    if recording.count < 1 or not 0.0 < recording.ctrl_dt < 1e3:
        raise UserError(
            f"dataset={path}: {recording.count} episodes of steps of {recording.ctrl_dt} s:"
            " nothing to show"
        )
    return recording
