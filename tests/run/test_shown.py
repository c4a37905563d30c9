import os

import pytest

from ksim_cli.io.runs import RunFolder
from ksim_cli.run.shown import newest_media


@pytest.fixture
def run(tmp_path):
    for i, name in enumerate(
        (
            "videos/old.mp4",
            "videos/0/frame.png",
            "videos/deep/new.gif",
            "videos/notes.txt",
            "videos/x.svg",
        )
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (1000 + i, 1000 + i))
    return RunFolder(tmp_path)


def names(run):
    return [path.relative_to(run.path).as_posix() for path in newest_media(run)]


def test_the_newest_video_and_the_newest_picture(run):
    assert names(run) == ["videos/deep/new.gif", "videos/0/frame.png"]
    (run.path / "videos/NEW.MP4").write_bytes(b"x")
    assert names(run)[0] == "videos/NEW.MP4"


def test_links_pipes_and_other_folders_are_passed_over(run, tmp_path):
    (tmp_path / "other.mp4").write_bytes(b"x")
    (run.path / "videos/link.mp4").symlink_to(tmp_path / "other.mp4")
    os.mkfifo(run.path / "videos/pipe.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.mp4").write_bytes(b"x")
    (run.path / "pictures").symlink_to(tmp_path / "elsewhere")
    (run.path / "videos/more").symlink_to(tmp_path / "elsewhere")
    assert names(run) == ["videos/deep/new.gif", "videos/0/frame.png"]


def test_a_run_that_was_never_filmed(tmp_path):
    assert newest_media(RunFolder(tmp_path)) == []
