"""Videos and pictures that lie in a run's folder."""

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ksim_cli.io.runs import RunFolder
from ksim_cli.view.page import MEDIA

FOLDERS = ("videos", "pictures")
"""Folders of a run's that hold what was filmed and drawn."""

_MOST_FILES = 10_000


def newest_media(run: RunFolder) -> list[Path]:
    """The newest video, or animation, and the newest picture of a run; links are not followed."""
    newest: dict[bool, tuple[float, Path]] = {}
    for path in itertools.islice(_files(run.path), _MOST_FILES):
        facts = path.lstat()
        if path.suffix.lower() not in MEDIA or not stat.S_ISREG(facts.st_mode):
            continue
        moves = not MEDIA[path.suffix.lower()].startswith("image/") or path.suffix.lower() == ".gif"
        newest[moves] = max(newest.get(moves, (0.0, path)), (facts.st_mtime, path))
    return [newest[moves][1] for moves in (True, False) if moves in newest]


def _files(root: Path) -> Iterator[Path]:
    for name in FOLDERS:
        if (root / name).is_symlink():
            continue
        for folder, _, files in os.walk(root / name):
            yield from (Path(folder, file) for file in files)
