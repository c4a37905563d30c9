"""Run folders: made once, held by one trainer, found again by name (no numpy, no JAX)."""

import contextlib
import os
import re
import shutil
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import Any

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.io.checkpoint_files import committed_steps
from ksim_cli.io.files import open_own, read_json, refuse_link

RUNS = Path("runs")
"""Folder of all runs, relative to the current folder."""

_TIME_FORMAT = "%Y-%m-%d_%H-%M-%S"
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)(?:-(\d+))?")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_STEP = re.compile(r"(\d+)(?:-\d+)?")
FILES = (
    *(".lock", "train.log", "metrics.jsonl", "wandb_id.txt", "summary.json", "eval.json"),
    *("config.yaml", "memory.prof", "report.html"),
)
"""Files that ksim writes in a run's folder."""

FOLDERS = (
    *("checkpoints", "seeds", "tensorboard", "dumps", "code", "videos", "plots", "datasets"),
    *("wandb", "live", "motion", "sources"),
)
"""Folders that it writes there; what else there is is left alone."""

_SEARCH_DEPTH = 4  # runs/<task>/<time>, runs/<group>/<task>/<time>, runs/sweeps/<time>/<n>


class RunFolder:
    """One run's folder: `runs/<task>/<time>`, or wherever `run_dir` put it.

    Attributes:
        path: the folder.
        config: the resolved configuration.
        checkpoints: folder of the checkpoints; made by the first save.
        metrics: one JSON row per logged iteration.
        summary: what the run came to, written at its end.
        log: what the console showed, as plain text.
        live: folder of the newest policy, renewed all the time while it is trained, for viewers.
        report: what `ksim report` makes of it.
        dumps: folder of what was quarantined.
        code: folder of the user's own code, as it was when training began.
        motion: folder of the reference motions, as they were then.
        sources: folder of what was taken from other runs then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.log = path / "train.log"
        self.live = path / "live"
        self.report = path / "report.html"
        self.dumps = path / "dumps"
        self.code = path / "code"
        self.motion = path / "motion"
        self.sources = path / "sources"

    def seed_folder(self, seed: int) -> Path:
        """What belongs to one of several seeds that were trained together."""
        return self.path / "seeds" / str(seed)

    @classmethod
    def create(cls, root: Path, task: str, now: datetime | None = None) -> "RunFolder":
        """Make a new folder `root/<task>/<YYYY-MM-DD_HH-MM-SS>`, with `-1`, `-2`, … if taken.

        Args:
            root: folder of all runs, made if missing.
            task: the task's name; a `/` in it becomes a folder level.
            now: local time for the name; None is the present.

        Raises:
            UserError: the task's name cannot be a folder name.
        """
        if not all(_NAME.fullmatch(part) for part in task.split("/")):
            raise UserError(
                f"task: {task!r} cannot name a run folder. Allowed: letters, digits, '_', '-', '.' "
                "(not first) and '/' between levels. run_dir=<folder> chooses the folder instead."
            )
        parent = root / task
        parent.mkdir(parents=True, exist_ok=True)
        stamp = (now or datetime.now()).strftime(_TIME_FORMAT)
        path, number = parent / stamp, 0
        while True:
            try:
                path.mkdir()
                return cls(path)
            except FileExistsError:
                number += 1
                path = parent / f"{stamp}-{number}"
            except FileNotFoundError:  # another run began nothing and took its empty parent away
                parent.mkdir(parents=True, exist_ok=True)

    def motion_copies(self, count: int) -> list[Path]:
        """The copies of its reference motions, one for each file; none where one is missing."""
        copies = [self.motion / f"{i}.npz" for i in range(count)]
        return copies if all(path.is_file() for path in copies) else []

    @property
    def begun(self) -> bool:
        """Whether something was trained, so that there is something to lose."""
        return self.metrics.exists() or self.checkpoints.exists()

    def discard(self, whole: bool) -> None:
        """Takes back a run that never began.

        Args:
            whole: the folder was made for it and goes, and its parent if that is empty; else what
                makes it a run.
        """
        if not whole:
            self.config.unlink(missing_ok=True)
            for folder in (self.code, self.sources):
                shutil.rmtree(folder, ignore_errors=True)
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()

    def check(self, writes: bool = False) -> None:
        """Refuses a folder that would lead elsewhere, or whose files are not what they should be.

        Only names that ksim writes are looked at. The folder itself may be a link, and what is
        only read may be: `checkpoints`, moved to a larger disk.

        Args:
            writes: whether checkpoints are going to be written.

        Raises:
            UserError: it names a link, a folder in place of a file or the reverse.
        """
        for name in (*FILES, *FOLDERS):
            path = self.path / name
            if name == "checkpoints" and path.is_symlink() and path.is_dir() and not writes:
                continue
            refuse_link(path)
            if path.is_dir() if name in FILES else path.is_file():
                is_now, should_be = ("folder", "file") if name in FILES else ("file", "folder")
                raise UserError(f"{path}: is a {is_now}, where a {should_be} belongs. Move it away")
            if name in FOLDERS and name != "wandb":  # which links to its own newest files
                for folder, folders, files in os.walk(path):
                    for each in (*folders, *files):
                        refuse_link(Path(folder, each))

    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was saved; it may be damaged."""
        return bool(committed_steps(self.checkpoints))

    def read_summary(self) -> dict[str, Any]:
        """What the run came to; nothing where it has not ended.

        Raises:
            UserError: it is not what ksim wrote.
        """
        if not self.summary.is_file():
            return {}
        try:
            summary = read_json(self.summary)
            each = summary["eval_return_per_seed"]
            numbers = [summary["eval_return_mean"], summary["iterations"], *each]
            if not all(isinstance(number, int | float | None) for number in numbers):
                raise TypeError("what should be a number is none")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{self.summary}: not a summary that ksim wrote ({error!r:.100}). Remove it:"
                f" ksim train resume={self.path} writes it anew"
            ) from error
        return summary

    @contextlib.contextmanager
    def lock(self) -> Generator[None]:
        """Hold the folder for one trainer; the kernel lets go when the process dies.

        Raises:
            UserError: another trainer holds it, or as in `check`.
        """
        from filelock import FileLock, Timeout

        self.check(writes=True)
        path = self.path / ".lock"
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            holder = ""
            with contextlib.suppress(OSError):  # Windows lets nobody else read it
                holder = path.read_bytes()[:32].decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise UserError(
                f"{self.path} is being trained by {who}. One trainer per run folder: wait for "
                "it, stop it, or start a new run by leaving out resume and run_dir."
            ) from error
        try:
            with contextlib.suppress(OSError), open_own(path, "wb") as file:
                file.write(f"{os.getpid()}\n".encode("ascii"))
            yield
        finally:
            lock.release()


def newest_run(root: Path) -> RunFolder:
    """The run under `root` that was started last, sweeps' jobs included.

    Raises:
        UserError: there is none.
    """
    runs = _runs_below(root)
    if not runs:
        raise UserError(
            f"No run found in {root}. Train one first (ksim train task=<name>) "
            "or name one with checkpoint=<run folder>."
        )
    return RunFolder(max(runs, key=_started))


def newest_with_checkpoint(root: Path) -> RunFolder | None:
    """The run under `root` that was started last, of those with a checkpoint; None: no such run."""
    runs = [run for run in _runs_below(root) if RunFolder(run).has_checkpoint()]
    return RunFolder(max(runs, key=_started)) if runs else None


def find_run(spec: str, root: Path) -> RunFolder:
    """The run that `spec` names.

    Args:
        spec: `latest`; a run folder or a path inside one; a folder of runs (its newest is taken);
            the same relative to `root`; or a run folder's bare name.
        root: folder of all runs.

    Raises:
        UserError: there is no such run.
    """
    return _locate(spec, root)[0]


def find_runs(spec: str, root: Path) -> list[RunFolder]:
    """The runs that `spec` names: all in a folder of runs, such as a sweep's, else one.

    Args:
        spec: as in `find_run`; a folder of runs means all of them, the oldest first.
        root: folder of all runs.

    Raises:
        UserError: there is no such run.
    """
    for path in (Path(spec).expanduser(), root / spec) if spec != "latest" else ():
        if _run_around(path) is not None:
            break
        if path.is_dir() and (runs := _runs_below(path)):
            return [RunFolder(run) for run in sorted(runs, key=_started)]
    return [find_run(spec, root)]


def find_checkpoint(spec: str | None, root: Path) -> tuple[RunFolder, int | None]:
    """The run that `spec` names and, where it names one, the step of its checkpoint.

    Args:
        spec: as in `find_run`, or a checkpoint such as `<run>/checkpoints/00001000`;
            None takes the newest run.
        root: folder of all runs.

    Returns:
        The run, and the step, or None where the newest good checkpoint is to be taken.

    Raises:
        UserError: there is no such run, or the run has no such checkpoint.
    """
    run, inside = _locate(spec or "latest", root)
    if len(inside) < 2 or inside[0] != "checkpoints":
        return run, None
    match = _STEP.fullmatch(inside[1])
    steps = committed_steps(run.checkpoints)
    if match and int(match[1]) in steps:
        return run, int(match[1])
    raise UserError(
        f"No checkpoint {inside[1]!r} in {run.path}."
        f" Complete ones: {listing(f'{step:08d}' for step in steps)}."
        f" Give the run folder alone to take its newest: {run.path}"
    )


def _locate(spec: str, root: Path) -> tuple[RunFolder, tuple[str, ...]]:
    """The run that `spec` names, and the parts of the path that `spec` gives inside it."""
    if spec == "latest":
        return newest_run(root), ()
    for path in (Path(spec).expanduser(), root / spec):
        run = _run_around(path)
        if run is not None:
            return RunFolder(run), path.relative_to(run).parts
        if path.is_dir() and _runs_below(path):
            return newest_run(path), ()
    runs = sorted(_runs_below(root), key=_started, reverse=True)
    names = [run.relative_to(root).as_posix() for run in runs]
    named = [name for name in names if name.rpartition("/")[2] == spec]
    if len(named) == 1:
        return RunFolder(root / named[0]), ()
    if named:
        raise UserError(
            f"Several runs in {root} are called {spec!r}: {listing(named)}. Give one of these."
        )
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    raise UserError(
        f"No run {spec!r}: neither a run folder (one with a config.yaml) nor a path inside one."
        f"{nearest(spec, names)} Newest runs in {root}: {shown or '(none)'}. "
        "'latest' takes the newest."
    )


def _run_around(path: Path) -> Path | None:
    """The run folder that `path` is or lies in; None where it is neither."""
    candidates = [path]
    if path.is_file():
        candidates.append(path.parent)
    candidates += [above.parent for above in (path, *path.parents) if above.name == "checkpoints"]
    return next((each for each in candidates if (each / "config.yaml").is_file()), None)


def _runs_below(root: Path) -> list[Path]:
    """Folders with a config.yaml some levels under `root`; hidden ones are skipped."""
    found: list[Path] = []
    for name, folders, files in os.walk(root, followlinks=True):  # what cannot be read is left out
        path = Path(name)
        folders[:] = [each for each in folders if not each.startswith(".")]
        if path != root and "config.yaml" in files:
            found.append(path)
            folders.clear()
        elif len(path.relative_to(root).parts) == _SEARCH_DEPTH:
            folders.clear()
    return sorted(found)


def _started(run: Path) -> tuple[float, int, int]:
    """When a run was started: by its name (copies keep it), else by its config's file time."""
    modified = (run / "config.yaml").stat().st_mtime
    match = _STAMP.fullmatch(run.name)
    if match is None:
        return modified, int(run.name) if run.name.isdigit() else 0, 0
    try:
        seconds = datetime.strptime(match[1], _TIME_FORMAT).timestamp()
    except ValueError:  # thirteen o'clock in the thirteenth month: a name like any other
        return modified, 0, 0
    return seconds, int(match[2] or 0), 1
