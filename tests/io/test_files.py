import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.files import open_to_read, plain, read_json, replace_text, write_json


def test_write_json_turns_what_json_cannot_hold_into_null(tmp_path: Path):
    path = tmp_path / "summary.json"
    value = {"a": float("nan"), "b": [float("inf"), 1.5], "c": np.float32(2.0), "d": (1, True)}
    write_json(path, value)
    assert json.loads(path.read_text()) == {"a": None, "b": [None, 1.5], "c": 2.0, "d": [1, True]}


def test_json_of_a_stranger_is_read_within_bounds(tmp_path: Path):
    path = tmp_path / "eval.json"
    path.write_text('{"a": [1, null]}')
    assert read_json(path) == {"a": [1, None]} == read_json(path, 16)
    with pytest.raises(ValueError, match="larger than 15 bytes"):
        read_json(path, 15)
    os.truncate(path, 10**12)
    with pytest.raises(ValueError, match="larger than 10,000,000 bytes"):
        read_json(path)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "broken link"])
def test_only_a_file_is_opened_to_read(tmp_path: Path, kind: str):
    path = tmp_path / "eval.json"
    (tmp_path / "real.json").write_text("{}")
    make = {
        "link": lambda: path.symlink_to("real.json"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "broken link": lambda: path.symlink_to("absent"),
    }
    make[kind]()
    with pytest.raises(UserError, match=r"eval\.json: is"):
        open_to_read(path)
    with open_to_read(tmp_path / "real.json") as file:
        assert file.read() == b"{}"


def test_plain_of_arrays_and_paths(tmp_path: Path):
    assert plain({"x": np.array([1.0, np.nan]), 3: tmp_path}) == {
        "x": [1.0, None],
        "3": str(tmp_path),
    }


def test_plain_refuses_an_object():
    with pytest.raises(TypeError, match="object has no JSON form"):
        plain({"a": object()})


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def refuse(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"):
        replace_text(path, "2")
    assert path.read_text() == "1\n"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_disk_that_refuses_is_told_with_the_file(tmp_path: Path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_json(tmp_path / "summary.json", {})
    assert caught.value.filename == str(tmp_path / "summary.json")
    assert not list(tmp_path.iterdir())
