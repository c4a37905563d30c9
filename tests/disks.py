"""Disks that are full, read-only or gone while a run is on them; real ones, so it takes root."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.run.commands import TINY, Done, course, ksim_process
from tests.stopped import stop

RUN = (*TINY, "save_every_n_steps=20", "save_every_n_seconds=null", "num_iterations=400")


@contextlib.contextmanager
def disk(size: str = "8m") -> Iterator[Path]:
    """A small disk in memory, mounted; what was left of it is removed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "disk"
        place.mkdir()
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
        try:
            yield place
        finally:
            unmount(place)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def unmount(place: Path) -> None:
    """At once, whoever still has files open there."""
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def can_mount() -> bool:
    try:
        with disk():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def fill(place: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = place / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return ballast


def saved_first(run: Path):
    return lambda: (run / "checkpoints" / "00000020").is_dir()


def is_told(done: Done, status: int, *words: str) -> str:
    """What is not as it should be about how a command ended; empty: nothing."""
    said = done.stdout + done.stderr
    missing = [word for word in words if word not in said]
    if done.returncode == status and not missing and "Traceback" not in said:
        return ""
    return f"status {done.returncode} instead of {status}, without {missing}: {said[-1000:]}"


def full(alone: Path) -> str:
    """It fills up while a run is trained; once there is room again the run is resumed."""
    with disk() as place:
        run = place / "run"
        ballast: list[Path] = []
        typed = ("train", *RUN, f"run_dir={run}")
        left = stop(place.parent, typed, saved_first(run), act=lambda: ballast.append(fill(place)))
        wrong = is_told(Done(left.status, left.output, ""), 4, "No space left on device")
        ballast[0].unlink()
        ksim_process("train", f"resume={run}", cwd=place.parent, check=0)
        return wrong or ("" if course(run) == course(alone) else "other rows")


def read_only(alone: Path) -> str:
    """A run on it is evaluated; none is begun or resumed."""
    with disk() as place:
        shutil.copytree(alone, place / "run")
        before = course(place / "run")
        mount("-o", "remount,ro", str(place))
        wrong = [
            is_told(ksim_process(*typed, cwd=place), status, *words)
            for typed, status, *words in (
                (("train", *RUN, "run_dir=new"), 2, "Read-only file system"),
                (("train", "resume=run", "num_iterations=401"), 2, "Read-only file system"),
                (("eval", "checkpoint=run"), 0, "episode return mean", "Read-only file system"),
            )
        ]
        same = "" if course(place / "run") == before else "other rows"
        return "\n".join(filter(None, [*wrong, same]))


def gone(alone: Path) -> str:
    """It goes while a run is trained, which begins its folder anew where the disk was."""
    with disk() as place:
        run = place / "run"
        typed = ("train", *RUN, f"run_dir={run}")
        left = stop(place.parent, typed, saved_first(run), act=lambda: unmount(place))
        wrong = is_told(Done(left.status, left.output, ""), 0, "was removed; it is made again")
        ksim_process("train", f"resume={run}", "num_iterations=401", cwd=place.parent, check=0)
        last = len(course(alone))
        same = [row for row in course(run) if row["iteration"] <= last]
        return wrong or ("" if same == course(alone)[-len(same) :] else "other rows")


DISKS = {"full": full, "read-only": read_only, "gone": gone}


def attempts() -> Iterator[tuple[str, str]]:
    """Name of what happens to a disk, and what was not as it should be; empty: nothing."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        ksim_process("train", *RUN, f"run_dir={alone}", cwd=folder, check=0)
        for name, happen in DISKS.items():
            yield name, happen(alone)
