from pathlib import Path

import numpy as np
import pytest

from ksim_cli.io import checkpoint_files as files
from ksim_cli.io.manifest import Manifest, hash_files, write_manifest


def commit(folder: Path, step: int, name: str | None = None) -> Path:
    path = folder / (name or f"{step:08d}")
    path.mkdir()
    (path / "_CHECKPOINT_METADATA").write_text("{}")
    manifest = Manifest(step, path.name, {}, {}, {}, hash_files(path))
    write_manifest(files.manifest_path(folder, step), manifest)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_arrays_round_trip_whole_and_in_part(tmp_path: Path):
    arrays = {"a/b": np.arange(3, dtype=np.int8), "%2E%2E": np.float64(0.1) * np.ones((2, 2))}
    files.save_arrays(tmp_path / "x", arrays)
    for paths in (list(arrays), ["a/b"], []):
        back = files.load_arrays(tmp_path / "x", paths)
        assert sorted(back) == sorted(paths)
        assert all(back[path].tobytes() == arrays[path].tobytes() for path in paths)
        assert all(back[path].dtype == arrays[path].dtype for path in paths)


def test_steps_are_read_from_names(tmp_path: Path):
    assert files.committed_steps(tmp_path / "none") == []
    for name in ("00000003.json", "123456789.json", "3.json", "best.json", "00000004.json.tmp"):
        (tmp_path / name).touch()
    for name in ("00000005", "00000006-1", "00000007.orbax-checkpoint-tmp", "8"):
        (tmp_path / name).mkdir()
    assert files.committed_steps(tmp_path) == [3, 123456789]
    assert files.seen_steps(tmp_path) == [3, 5, 6, 123456789]


def test_free_name_avoids_what_is_there(tmp_path: Path):
    assert files.free_name(tmp_path, 5) == "00000005"
    (tmp_path / "00000005").mkdir()
    (tmp_path / "00000005-1").touch()
    assert files.free_name(tmp_path, 5) == "00000005-2"


def test_leftovers_go_and_strangers_stay(tmp_path: Path):
    commit(tmp_path, 1)
    commit(tmp_path, 2, "00000002-1")
    damaged = commit(tmp_path, 3)
    files.manifest_path(tmp_path, 3).write_text("damaged")
    stay = {*names(tmp_path), "00000009", "notes.txt", "best"}
    for name in ("00000009", "best"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    for name in (
        "00000004.orbax-checkpoint-tmp",
        "00000004-1.orbax-checkpoint-tmp-17",
        "00000005.removed",
    ):
        (tmp_path / name / "d").mkdir(parents=True)
    for name in ("00000002", "00000006"):  # replaced; committed without a manifest
        (tmp_path / name).mkdir()
        (tmp_path / name / "_CHECKPOINT_METADATA").touch()
    (tmp_path / ".00000004.json.0aff.tmp").touch()
    files.remove_leftovers(tmp_path)
    assert set(names(tmp_path)) == stay
    assert damaged.is_dir()


@pytest.mark.parametrize(
    ("keep", "left"), [(1, [5]), (2, [4, 5]), (3, [2, 4, 5]), (9, [1, 2, 4, 5])]
)
def test_retain(tmp_path: Path, keep: int, left: list[int]):
    for step in (1, 2, 4, 5, 8):
        commit(tmp_path, step)
    files.retain(tmp_path, 5, keep)
    assert files.seen_steps(tmp_path) == files.committed_steps(tmp_path) == left


def test_remove_attempt_takes_only_its_own(tmp_path: Path):
    for name in ("00000004", "00000005.orbax-checkpoint-tmp-3", "00000005"):
        (tmp_path / name).mkdir()
    files.remove_attempt(tmp_path, "00000005")
    assert names(tmp_path) == ["00000004"]
    files.remove_attempt(tmp_path / "none", "00000005")
