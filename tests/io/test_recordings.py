"""Datasets are read back as they were written; one that somebody changed is one message."""

import json

import h5py
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.datasets import EpisodeWriter
from ksim_cli.io.recordings import read_recording


@pytest.fixture
def folder(tmp_path):
    """One episode of three steps, of two positions and one velocity."""
    steps = np.arange(3.0, dtype=np.float32)[:, None, None]
    rows = {
        "observations": steps + np.zeros(4),
        "actions": steps + np.ones(1),
        "rewards": steps[..., 0],
        "terminations": np.array([[False], [False], [True]]),
        "truncations": np.zeros((3, 1), bool),
        "infos/qpos": steps + np.array([0.5, 1.5]),
        "infos/qvel": -steps,
        "infos/command/goal": steps,
    }
    info = {"task": "arm/left", "ctrl_dt": 0.02}
    with EpisodeWriter(tmp_path, 4, 1, "arm/left-v0", info) as writer:
        writer.add_rollout(rows, np.full((3, 1, 4), 9.0))
    return tmp_path


def test_what_was_written_is_read(folder):
    recording = read_recording(folder)
    assert (recording.task, recording.ctrl_dt, recording.count) == ("arm/left", 0.02, 1)
    episode = recording.episode(0)
    assert episode["infos/qpos"].tolist() == [[0.5, 1.5], [1.5, 2.5], [2.5, 3.5]]
    assert episode["observations"][:, 0].tolist() == [0.0, 1.0, 2.0], "not what was seen at the end"
    assert episode["infos/command/goal"].tolist() == [[0.0], [1.0], [2.0]]
    assert episode["terminations"].tolist() == [False, False, True]


def test_what_is_not_there_is_named(tmp_path, folder):
    with pytest.raises(UserError, match=r"no dataset there\. Name the folder"):
        read_recording(folder / "data")
    with pytest.raises(UserError, match="its episode_1 cannot be read"):
        read_recording(folder).episode(1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("task", "../../elsewhere", r"its task '\.\./\.\./elsewhere' is no name"),
        ("task", {}, "is no name"),
        ("total_episodes", 0, "nothing to show"),
        ("ctrl_dt", -1.0, "nothing to show"),
        ("ctrl_dt", "fast", "none of ksim's"),
        ("ksim", [], "none of ksim's"),
    ],
)
def test_metadata_that_somebody_changed(folder, name, value, message):
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    part = metadata if name in metadata else metadata["ksim"]
    part[name] = value
    path.write_text(json.dumps(metadata))
    with pytest.raises(UserError, match=message):
        read_recording(folder)


def shorten(file, path):
    values = file[path][:-1]
    del file[path]
    file[path] = values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("episode_0"), "its episode_0 cannot be read"),
        (lambda file: file.pop("episode_0/infos/qpos"), "infos/qpos of its episode_0 is missing"),
        (lambda file: shorten(file, "episode_0/rewards"), "actions of its episode_0 is of shape"),
    ],
)
def test_episodes_that_somebody_changed(folder, change, message):
    with h5py.File(folder / "data" / "main_data.hdf5", "r+") as file:
        change(file)
    with pytest.raises(UserError, match=message):
        read_recording(folder).episode(0)
