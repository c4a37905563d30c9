"""Nothing in a run's folder is written through a link."""

import os
from pathlib import Path

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.console import open_console
from ksim_cli.io.datasets import EpisodeWriter
from ksim_cli.io.dumps import Dump, write_dump
from ksim_cli.io.files import make_folder, open_own
from ksim_cli.io.kept_code import keep_code
from ksim_cli.io.metrics import MetricsLog
from ksim_cli.io.runs import FILES, FOLDERS, RunFolder
from ksim_cli.view.video import write_frames

NAMES = (*FILES, *FOLDERS, "checkpoints/00000001", "dumps/x.npz", "videos/a/00000.png")


def write_everywhere(run: RunFolder) -> None:
    for name in NAMES:
        path = run.path / name
        if not os.path.lexists(path) and not (run.path / name.split("/")[0]).is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name in FOLDERS or path.name == "00000001" else path.touch()


@pytest.mark.parametrize("kind", ["file", "folder", "nowhere"])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_a_link_is_not_trained(tmp_path: Path, name: str, kind: str):
    run, canary = RunFolder(tmp_path / "run"), tmp_path / "canary"
    if kind == "file":
        canary.write_text("mine")
    elif kind == "folder":
        canary.mkdir()
    link = run.path / name
    link.parent.mkdir(parents=True)
    link.symlink_to(canary)
    write_everywhere(run)
    with pytest.raises(UserError, match="is a link, and nothing is written") as caught, run.lock():
        pass
    assert str(link) in str(caught.value)
    assert name == ".lock" or not (run.path / ".lock").read_text()
    assert canary.read_text() == "mine" if kind == "file" else True
    assert not list(canary.iterdir()) if kind == "folder" else True
    assert canary.exists() or kind == "nowhere"


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path, name: str):
    run = RunFolder(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="neither a file nor a folder"):
        run.check()


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_folder_for_a_file_and_the_reverse(tmp_path: Path, name: str):
    path = tmp_path / name
    path.touch() if name in FOLDERS else path.mkdir()
    with pytest.raises(UserError, match=r"belongs\. Move it away"):
        RunFolder(tmp_path).check()


def test_links_of_the_users_own_are_followed(tmp_path: Path):
    (tmp_path / "disk" / "00000001").mkdir(parents=True)
    run = tmp_path / "disk" / "run"
    run.mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    (run / "notes").symlink_to(tmp_path)  # of no name that ksim writes
    (run / "wandb").mkdir()
    (run / "wandb" / "latest-run").symlink_to(tmp_path)
    with RunFolder(tmp_path / "runs" / "run").lock():
        pass
    (run / "checkpoints").symlink_to(tmp_path / "disk")
    RunFolder(run).check()  # it is read only
    with pytest.raises(UserError, match="checkpoints: is a link"):
        RunFolder(run).check(writes=True)


WRITERS = {
    "train.log": lambda path: open_console(path).print("x"),
    "metrics.jsonl": lambda path: MetricsLog(path).append({"iteration": 1}),
    "file": lambda path: open_own(path, "wb"),
    "code": lambda path: keep_code(path, {}),
    "folder": make_folder,
    "dumps": lambda path: write_dump(path, Dump("x", {"step": np.zeros(1)})),
    "x.npz": lambda path: write_dump(path.parent, Dump("x", {"step": np.zeros(1)})),
    "frames": lambda path: write_frames(path, []),
    "00000.png": lambda path: write_frames(path.parent, [np.zeros((2, 2, 3), np.uint8)]),
    "data": lambda path: EpisodeWriter(path.parent, 1, 1, "a/b-v0", {}),
}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("name", WRITERS)
def test_each_writer_looks_for_itself(tmp_path: Path, name: str, exists: bool):
    canary, path = tmp_path / "canary", tmp_path / "run" / name
    path.parent.mkdir()
    if exists:
        canary.touch()
    path.symlink_to(canary)
    with pytest.raises(UserError, match=f"{name}: is a link, and nothing"):
        WRITERS[name](path)
    assert canary.exists() == exists
    assert not exists or canary.read_bytes() == b""
