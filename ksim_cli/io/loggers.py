"""The extra loggers beside metrics.jsonl. None of them can hold up a training, or end it."""

import importlib
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from PIL import Image

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.io.files import make_folder, plain, replace_text

_START_SECONDS = 120.0
"""For a logger to start; one may ask for a key."""

_CALL_SECONDS = 60.0
"""For a logger to take a row, before it is given up."""

_END_SECONDS = 120.0
"""For all loggers to hand over what they hold, at the end of a run; a long one's takes a while."""

_STOPPED_SECONDS = 15.0
"""The same where a run was stopped, and its scheduler does not wait."""

_FLUSH_SECONDS = 0.2
"""Between two times that TensorBoard's events are handed to the system."""

_MOST_ROWS = 10_000
"""Rows that wait for a logger, before it is given up."""


class Media(NamedTuple):
    """What was drawn of an evaluation.

    Attributes:
        iteration: the evaluation's.
        videos: files, `.mp4` or `.gif`, of the same.
        plots: files, `.png`.
    """

    iteration: int
    videos: tuple[Path, ...]
    plots: tuple[Path, ...]

    def video(self, suffix: str) -> Path | None:
        """The video in one form, None where there is none."""
        return next((path for path in self.videos if path.suffix == suffix), None)


class Sink(Protocol):
    """Somewhere else that rows go; all its methods are called from one thread."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Take one row of plain values."""
        ...

    def show(self, media: Media) -> None:
        """Take pictures."""
        ...

    def close(self) -> None:
        """Hand over what is still held."""
        ...


class Started(NamedTuple):
    """What a sink needs to start.

    Attributes:
        folder: the run's folder, which also names the run.
        config: the resolved configuration as plain data.
        iteration: the last one that the run keeps; what the sink has of later ones is to go.
    """

    folder: Path
    config: Mapping[str, Any]
    iteration: int


class _Worker:
    """A sink in a thread of its own, so that it may hang, raise or exit as it likes."""

    def __init__(self, name: str, start: Callable[[], Sink]) -> None:
        self.started = threading.Event()
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        self._rows: queue.Queue[Mapping[str, Any] | Media | None] = queue.Queue(_MOST_ROWS)
        self._busy_since: float | None = None
        # A daemon, since a process must be able to end while it hangs.
        threading.Thread(
            target=self._work, args=(start,), name=f"logger {name}", daemon=True
        ).start()

    def put(self, row: Mapping[str, Any] | Media | None) -> str | None:
        """Hand over a row, None for the last; the reason if the sink cannot be relied on."""
        if self.failure is not None:
            return f"{type(self.failure).__name__}: {self.failure}"
        since = self._busy_since
        if since is not None and time.monotonic() - since > _CALL_SECONDS:
            return f"no answer for {_CALL_SECONDS:.0f} s"
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            return f"{_MOST_ROWS} rows wait for it"
        return None

    def _work(self, start: Callable[[], Sink]) -> None:
        try:
            sink = start()
            self.started.set()
            while (row := self._rows.get()) is not None:
                self._busy_since = time.monotonic()
                sink.show(row) if isinstance(row, Media) else sink.log(row)
                self._busy_since = None
            sink.close()
        except BaseException as error:  # SystemExit too: a dead service must not end a training
            self.failure = error
        finally:
            self.started.set()
            self.ended.set()


class Loggers:
    """The extra sinks of a run. One that fails is named once and left out; the run goes on."""

    def __init__(
        self, sinks: Mapping[str, Callable[[], Sink]], warn: Callable[[str], None]
    ) -> None:
        """Start the sinks, all at once.

        Args:
            sinks: name -> what makes the sink, in the thread that it will be used in.
            warn: called with one sentence when one is dropped.
        """
        self._workers = {name: _Worker(name, start) for name, start in sinks.items()}
        self._warn = warn

    @property
    def names(self) -> list[str]:
        """Sinks that still take rows."""
        return list(self._workers)

    def wait_for_start(self) -> None:
        """Return once every sink has started.

        Raises:
            UserError: one cannot, or not in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        for name, worker in self._workers.items():
            if not worker.started.wait(max(0.0, deadline - time.monotonic())):
                reason: object = f"no answer for {_START_SECONDS:.0f} s"
            elif isinstance(error := worker.failure, ImportError):
                raise UserError(
                    f"logger.{name}: its package is not installed ({error}). "
                    f"Install it with: pip install 'ksim[{name}]' or leave logger.{name} out."
                ) from error
            elif error is not None:
                reason = " ".join(str(error).split()) or type(error).__name__
            else:
                continue
            raise UserError(
                f"logger.{name} cannot start: {reason}."
                f" Leave logger.{name} out to train without it."
            ) from worker.failure

    def log(self, row: Mapping[str, Any]) -> None:
        """Give `row` to every sink, without waiting for any."""
        values = plain(row)
        for name, worker in list(self._workers.items()):
            if reason := worker.put(dict(values)):
                self._drop(name, reason)

    def show(self, media: Media) -> None:
        """Give pictures to every sink, without waiting for any."""
        for name, worker in list(self._workers.items()):
            if reason := worker.put(media):
                self._drop(name, reason)

    def close(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Let every sink hand over what it holds, for some time.

        Args:
            is_stopped: asked again and again: whether the time is short.
        """
        began = time.monotonic()
        for name, worker in list(self._workers.items()):
            if reason := worker.put(None):
                self._drop(name, reason)
        for name, worker in list(self._workers.items()):
            waited = 0.0
            while not worker.ended.wait(0.05) and waited < (
                min(_END_SECONDS, _STOPPED_SECONDS) if is_stopped() else _END_SECONDS
            ):
                waited = time.monotonic() - began
            if not worker.ended.is_set():
                rest = "; wandb sync wandb/latest-run in its folder sends the rest"
                self._warn(
                    f"logger {name} was not done {waited:.0f} s after the end and is left."
                    f" metrics.jsonl has every row{rest if name == 'wandb' else ''}"
                )
            elif worker.failure is not None:
                self._drop(name, f"{type(worker.failure).__name__}: {worker.failure}")
        self._workers.clear()

    def _drop(self, name: str, reason: str) -> None:
        """Say that `name` failed, and go on without it."""
        del self._workers[name]
        self._warn(
            f"logger {name} failed and is left out from now on ({reason})."
            " The run goes on; metrics.jsonl has every row."
        )


def open_loggers(
    names: Sequence[str],
    folder: Path,
    config: Mapping[str, Any],
    iteration: int,
    warn: Callable[[str], None],
) -> Loggers:
    """Open the sinks called `names` (`tensorboard`, `wandb`).

    Args:
        names: the sinks wanted.
        folder: the run's folder, which also names the run.
        config: the resolved configuration as plain data; `logger.wandb_project` is read from it.
        iteration: the last one that the run keeps, 0 for a new run: sinks are cut back to it.
        warn: told once about a sink that fails later.

    Raises:
        UserError: an unknown name, a package that is not installed, or a sink that cannot start.
    """
    for name in names:
        if name not in _SINKS:
            raise UserError(
                f"logger: no logger {name!r}. Available: {listing(_SINKS)}.{nearest(name, _SINKS)}"
            )
    started = Started(folder, plain(config), iteration)
    sinks = {name: _starting(name, started) for name in names}
    loggers = Loggers(sinks, warn)
    loggers.wait_for_start()
    return loggers


def _starting(name: str, started: Started) -> Callable[[], Sink]:
    return lambda: _SINKS[name](started)


class _TensorBoard:
    """Event files in the run's folder, read by `tensorboard --logdir`."""

    def __init__(self, started: Started) -> None:
        module = importlib.import_module("tensorboardX")
        make_folder(started.folder / "tensorboard")
        # TensorBoard forgets what earlier files have from this step on.
        self._writer = module.SummaryWriter(
            logdir=str(started.folder / "tensorboard"),
            purge_step=started.iteration + 1,
            flush_secs=_FLUSH_SECONDS,
            filename_suffix=f".{started.iteration}",
        )
        text = json.dumps(started.config, indent=2)
        self._writer.add_text("config", f"```json\n{text}\n```", started.iteration)

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, int | float) and name != "iteration":
                self._writer.add_scalar(name, value, row["iteration"])

    def show(self, media: Media) -> None:
        # As they are: written by tensorboardX they would be decoded, and encoded again.
        proto = importlib.import_module("tensorboardX.proto.summary_pb2")
        video = media.video(".gif")
        shown = [("video", video)] if video is not None else []
        shown += [(f"plots/{path.stem}", path) for path in media.plots]
        for tag, path in shown:
            with Image.open(path) as picture:
                width, height = picture.size
            image = proto.Summary.Image(
                height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes()
            )
            summary = proto.Summary(value=[proto.Summary.Value(tag=tag, image=image)])
            self._writer.file_writer.add_summary(summary, media.iteration)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """One run at Weights & Biases, taken up again when the run is."""

    def __init__(self, started: Started) -> None:
        self._module = module = importlib.import_module("wandb")
        make_folder(started.folder / "wandb")
        kept = started.folder / "wandb_id.txt"
        if not kept.exists():
            replace_text(kept, secrets.token_hex(8) + "\n")
        section = started.config.get("logger") or {}
        self._run = module.init(
            project=section.get("wandb_project") or "ksim",
            name=f"{started.folder.parent.name}/{started.folder.name}",
            id=kept.read_text(encoding="utf-8").strip(),
            resume="allow",
            dir=str(started.folder),
            config=started.config,
        )
        # A run that was killed has sent rows from after its checkpoint. They come again, the same,
        # and history there can only grow.
        self._next = self._newest = getattr(self._run, "starting_step", 0)

    def log(self, row: Mapping[str, Any]) -> None:
        if row["iteration"] >= self._next:
            values = {name: value for name, value in row.items() if value is not None}
            self._run.log(values, step=row["iteration"])
            self._newest = row["iteration"]

    def show(self, media: Media) -> None:
        # They come late, and history can only grow: they stand beside the newest row.
        shown: dict[str, Any] = {"pictures_iteration": media.iteration}
        if (video := media.video(".mp4")) is not None:
            shown["video"] = self._module.Video(str(video), format="mp4")
        shown |= {f"plots/{path.stem}": self._module.Image(str(path)) for path in media.plots}
        self._run.log(shown, step=max(self._newest, media.iteration))

    def close(self) -> None:
        self._run.finish()


_SINKS: Mapping[str, Callable[[Started], Sink]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
}
