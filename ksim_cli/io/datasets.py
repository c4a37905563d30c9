"""Datasets of episodes in the layout of Minari (Farama Foundation): HDF5 and a metadata file.

Written without Minari; `minari.MinariDataset(<folder>/data)` reads the result.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.io.files import make_folder, refuse_link, write_json

MINARI_VERSION = "0.5.4"
"""Version of the layout; Minari refuses a dataset of one it does not know."""

_ID = re.compile(r"(?:\w[\w/-]*[\w-]/)?[\w-]+-v\d+", re.ASCII)

Episode = dict[str, np.ndarray]


def choose_id(asked: str | None, path: Path, task: str, run: str) -> str:
    """The name under which Minari knows a dataset.

    Minari finds a dataset in its own folder by this name: it is then the path in that folder.

    Args:
        asked: the name that is wanted; None: one that fits.
        path: the dataset's folder.
        task: the task's name, and
        run: what the dataset is of, for a dataset that lies elsewhere.

    Raises:
        UserError: not a name by Minari's rule, or another than the folder's.
    """
    root = os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets"
    home, folder = Path(root).expanduser().resolve(), path.resolve()
    inside = folder.relative_to(home).as_posix() if folder.is_relative_to(home) else None
    space, name = (re.sub(r"[^A-Za-z0-9_-]+", "-", each).strip("-") for each in (task, run))
    if len(space) < 2:  # too short for Minari
        space = f"task-{space}".rstrip("-")
    chosen = asked or inside or f"{space}/{name or 'run'}-v0"
    if not _ID.fullmatch(chosen):
        key = f"dataset_id={asked}" if asked else f"dataset_save_path={path}"
        raise UserError(
            f"{key}: Minari wants NAME-v0 or SPACE/NAME-v0, of letters, digits, '_' and '-'"
        )
    if inside is not None and inside != chosen:
        raise UserError(
            f"dataset_id={asked}: in Minari's folder it must be the dataset's path there,"
            f" {inside}. Leave it out, or dataset_save_path={home / chosen}"
        )
    return chosen


class EpisodeWriter:
    """Writes episodes as they end; an episode may span rollouts.

    After each rollout the files on disk are consistent: a run that is killed leaves a dataset of
    all episodes that had ended by then.

    Args:
        path: the dataset's folder, made here; its data go to `<path>/data`.
        observation_size: elements of an observation.
        action_size: elements of an action.
        dataset_id: Minari's name of the dataset, as from `choose_id`.
        info: facts for the metadata, under `ksim`.

    Raises:
        UserError: the folder holds a dataset already.
    """

    def __init__(
        self,
        path: Path,
        observation_size: int,
        action_size: int,
        dataset_id: str,
        info: Mapping[str, Any],
    ) -> None:
        import h5py

        self._folder = path / "data"
        if (self._folder / "metadata.json").exists():
            raise UserError(
                f"dataset_save_path={path}: holds a dataset already. Remove it or choose another"
            )
        make_folder(self._folder)
        refuse_link(self._folder / "main_data.hdf5")
        self._metadata: dict[str, Any] = {
            "dataset_id": dataset_id,
            "minari_version": MINARI_VERSION,
            "data_format": "hdf5",
            "jpeg_encoding": False,
            "observation_space": _box(observation_size),
            "action_space": _box(action_size),
            "algorithm_name": "ksim",
            "ksim": dict(info),
        }
        self._file = h5py.File(self._folder / "main_data.hdf5", "w", track_order=True)
        self._open: list[list[Episode]] = []
        self.total_steps = 0
        self.total_episodes = 0
        self.cut_at_end = 0
        self._flush()

    def add_rollout(self, rows: Mapping[str, np.ndarray], final_obs: np.ndarray) -> None:
        """Adds a rollout; episodes that end in it are written.

        Args:
            rows: path in an episode -> `[T, N, ...]`: `observations` before each action, `actions`,
                `rewards`, `terminations` (bool, the episode ended by itself), `truncations` (bool,
                it was cut for lack of time), and any `infos/...` of each step, after it.
            final_obs: `[T, N, O]` observations after each step, before any reset.
        """
        ended = rows["terminations"] | rows["truncations"]
        num_steps, num_envs = ended.shape
        if not self._open:
            self._open = [[] for _ in range(num_envs)]
        for env in range(num_envs):
            start = 0
            for end in [*(np.flatnonzero(ended[:, env]) + 1), num_steps]:
                if start == end:
                    continue
                part = {path: x[start:end, env] for path, x in rows.items()}
                self._open[env].append(part | {"last": final_obs[end - 1, env]})
                if ended[end - 1, env]:
                    self._write(env)
                start = end
        self._flush()

    def close(self) -> None:
        """Writes the episodes under way, truncated where they are, and closes the files, once."""
        if not self._file:
            return
        for env, parts in enumerate(self._open):
            if parts:
                parts[-1]["truncations"] = parts[-1]["truncations"].copy()
                parts[-1]["truncations"][-1] = True
                self.cut_at_end += 1
                self._write(env)
        self._flush()
        self._file.close()

    def __enter__(self) -> "EpisodeWriter":
        """The writer itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the dataset, also after an error: what was recorded is kept."""
        self.close()

    def _write(self, env: int) -> None:
        parts, self._open[env] = self._open[env], []
        episode = {
            key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key != "last"
        }
        last = parts[-1]["last"][None]
        episode["observations"] = np.concatenate([episode["observations"], last])
        group = self._file.create_group(f"episode_{self.total_episodes}")
        steps = len(episode["rewards"])
        group.attrs.update({"id": self.total_episodes, "total_steps": steps, "env": env})
        for key, values in episode.items():
            group.create_dataset(key, data=values)
        self.total_episodes += 1
        self.total_steps += steps

    def _flush(self) -> None:
        """Data first, then the metadata that speak of them."""
        self._file.flush()
        counts = {
            "total_episodes": self.total_episodes,
            "total_steps": self.total_steps,
            "dataset_size": round((self._folder / "main_data.hdf5").stat().st_size / 1e6, 1),
        }
        ours = {**self._metadata["ksim"], "cut_at_end": self.cut_at_end}
        metadata = {**self._metadata, **counts, "ksim": ours}
        write_json(self._folder / "metadata.json", metadata)


def _box(size: int) -> str:
    """An unbounded box of `size` float32, as Minari writes a space."""
    limits = {"low": [-math.inf] * size, "high": [math.inf] * size}
    return json.dumps({"type": "Box", "dtype": "float32", "shape": [size], **limits})
