"""What a person sees while something runs: lines, tables, a progress bar, and the same in a log.

On a terminal the bar and the long steps are live. Elsewhere (a file, a pipe, a dumb terminal) there
are plain lines only, few of them and without control characters. The log file is always plain.
"""

import contextlib
import io
import os
import re
import sys
import time
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from ksim_cli.io import wording

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.live import Live

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECONDS_BETWEEN_LINES = 5.0
_REFRESHES_PER_SECOND = 8.0


class Console:
    """Standard output and a run's log file; made by `open_console`."""

    def __init__(
        self,
        stream: TextIO,
        rich: "RichConsole | None",
        log: TextIO | None,
        errors: TextIO | None = None,
    ) -> None:
        """Write to `stream`, by `rich` where it is a terminal, and to `log` as plain text.

        Args:
            stream: where lines go.
            rich: shows them where it is a terminal.
            log: gets everything as plain text.
            errors: where warnings go if there is no terminal; None: standard error.
        """
        self._stream = stream
        self._errors = errors
        self._rich = rich
        self._log = log
        self._live: Live | None = None
        self._note: Note | None = None
        self._progress: Progress | None = None

    def print(self, text: str = "", style: str = "") -> None:
        """Show `text` as it is, brackets too; `style` (`bold`, `green`, …) is for terminals."""
        if self._rich is not None:
            self._rich.print(_clean(text), style=style or None, markup=False, soft_wrap=True)
        else:
            self._write(text)
        self.log(text)

    def warn(self, text: str) -> None:
        """Show a warning; where there is no terminal, on standard error."""
        if self._rich is not None:
            self._rich.print(
                f"warning: {_clean(text)}", style="yellow", markup=False, soft_wrap=True
            )
        else:
            print(f"warning: {_clean(text)}", file=self._errors or sys.stderr, flush=True)
        self.log(f"warning: {text}")

    def log(self, text: str) -> None:
        """Write `text` to the log file only, each line with the time of day."""
        if self._log is None:
            return
        stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        for line in _clean(text).split("\n"):
            self._log.write(f"{stamp}  {line}".rstrip() + "\n")
        self._log.flush()

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a table; numbers are aligned to the right."""
        cells = [[wording.value(cell) for cell in row] for row in rows]
        right = [
            bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
            for i in range(len(columns))
        ]
        lines = wording.table(title, columns, cells, right)
        if self._rich is None:
            self._write("\n".join(lines))
        else:
            self._rich.print(_rich_table(title, columns, cells, right))
        self.log("\n".join(lines))

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[None]:
        """Show that `text` (`compiling train step`) goes on, and at its end how long it took."""
        note = Note(_clean(text))
        quiet = self._progress is not None  # which shows the step while it goes on
        (self.log if quiet or self._rich is not None else self.plain_line)(f"{text} ...")
        outer, self._note = self._note, note
        finished = False
        try:
            with self._showing(note):
                yield
            finished = True
        finally:
            self._note = outer
            took = wording.seconds(time.monotonic() - note.started)
            if not finished:
                self.print(f"{text} failed after {took}", style="red")
            elif quiet:
                self.log(f"{text} took {took}")
            else:
                self.print(f"{text} took {took}", style="dim")

    @contextlib.contextmanager
    def progress(
        self,
        total_env_steps: int | None,
        done: int = 0,
        show: Sequence[str] = wording.SHOWN,
    ) -> "Generator[Progress]":
        """Show how far a run has come.

        Args:
            total_env_steps: environment steps at the end of the run; None if it has no end.
            done: environment steps made before now.
            show: patterns (`*loss*`) of the names to show from each row, in this order; where
                none fits, all are shown.
        """
        progress = Progress(self, total_env_steps, done, show)
        self._progress = progress
        try:
            with self._showing(progress):
                yield progress
        finally:
            self._progress = None
            progress.finish()

    def close(self) -> None:
        """Close the log file."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> "Console":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def live(self) -> bool:
        """Whether standard output is a terminal that shows live lines."""
        return self._rich is not None

    @property
    def note(self) -> "Note | None":
        """The innermost long step that goes on, which a progress display shows as well."""
        return self._note

    def plain_line(self, text: str) -> None:
        """Write one plain line where there is no terminal, and to the log in any case."""
        if self._rich is None:
            self._write(text)
        self.log(text)

    @contextlib.contextmanager
    def _showing(self, renderable: Any) -> Generator[None]:
        """Keep `renderable` at the bottom of the terminal, unless something is there already."""
        if self._rich is None or self._live is not None:
            yield
            return
        from rich.live import Live

        self._live = Live(
            renderable,
            console=self._rich,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=isinstance(renderable, Note),
        )
        try:
            with self._live:
                yield
        finally:
            self._live = None

    def _write(self, text: str) -> None:
        """Write plain text to the stream, with `?` for what its encoding cannot hold."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = _clean(text) + "\n"
        try:
            self._stream.write(line.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except BrokenPipeError:
            # Who read has read enough (`ksim train | head`); what runs shall not end for it.
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self._stream.fileno())
            os.close(devnull)


class Note:
    """A long step that goes on: a spinner, its text and the seconds so far."""

    def __init__(self, text: str) -> None:
        """Start the clock of the step called `text`."""
        self.text = text
        self.started = time.monotonic()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Draw the line; called at each refresh."""
        from rich.text import Text

        elapsed = time.monotonic() - self.started
        frames = "|/-\\" if options.ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        frame = frames[int(elapsed * _REFRESHES_PER_SECOND) % len(frames)]
        text = Text(overflow="ellipsis", no_wrap=True)
        text.append(f"{frame} ", style="cyan")
        text.append(self.text)
        text.append(f"  {wording.seconds(elapsed)}", style="dim")
        yield text


class Progress:
    """How far a run has come; made by `Console.progress`."""

    def __init__(self, console: Console, total: int | None, done: int, show: Sequence[str]) -> None:
        """Start at `done` of `total` environment steps."""
        self._console = console
        self._total = total
        self._meter = wording.Meter(done, total)
        self._show = show
        self._cells: list[tuple[str, str]] = []
        self._printed_at: float | None = None
        self._pending = False

    def update(self, env_steps: int, row: dict[str, Any]) -> None:
        """Take the newest state.

        Args:
            env_steps: environment steps of the whole run so far.
            row: scalars by name, as they go to metrics.jsonl; None is shown as `-`.
        """
        self._meter.add(env_steps)
        self._cells = wording.pick(row, self._show)
        now = time.monotonic()
        due = self._printed_at is None or now - self._printed_at >= _SECONDS_BETWEEN_LINES
        self._pending = not due
        if due:
            self._printed_at = now
            self._console.plain_line(self._line())

    def finish(self) -> None:
        """Print the last state, if it has not been."""
        if self._pending:
            self._console.plain_line(self._line())
            self._pending = False

    def _line(self) -> str:
        """The state as one plain line."""
        cells = [f"{name} {value}" for name, value in self._cells]
        return "  ".join([*self._meter.parts(), *cells])

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Draw the bar, the scalars below it, and what goes on; called at each refresh."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        percent, *rest = self._meter.parts()
        text = "  ".join(rest)
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1, min_width=4)
        bar.add_column(no_wrap=True)
        bar.add_row(
            Text(percent, style="bold"),
            ProgressBar(total=self._total, completed=self._meter.steps, pulse=self._total is None),
            Text(text),
        )
        yield bar
        for line in wording.columns(self._cells, options.max_width):
            yield _scalars(line)
        if self._console.note is not None:
            yield self._console.note


def open_console(log_path: Path | None, stream: TextIO | None = None) -> Console:
    """The console of this process.

    Args:
        log_path: file that gets everything as plain text, appended to; None for no log.
        stream: where to write; None is standard output.
    """
    out = sys.stdout if stream is None else stream
    log = open(log_path, "a", encoding="utf-8") if log_path is not None else None  # noqa: SIM115
    rich = None
    if out.isatty():
        from rich.console import Console as RichConsole

        rich = RichConsole(file=out, highlight=False)
        if rich.is_dumb_terminal:
            rich = None
    return Console(out, rich, log)


def silent_console() -> Console:
    """One that shows nothing, for a process that is not the one to speak."""
    return Console(io.StringIO(), None, None, errors=io.StringIO())


def _clean(text: str) -> str:
    """`text` without control characters, which a name from a file could smuggle in."""
    return _CONTROL.sub("", text)


def _scalars(cells: Sequence[tuple[str, str]]) -> Any:
    """One line of padded names and values, the names dim."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    for number, (name, value) in enumerate(cells):
        line.append("   " if number else "     ")
        line.append(name, style="dim")
        line.append(f" {value}")
    return line


def _rich_table(
    title: str, columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> Any:
    """The table as a terminal shows it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(_clean(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD
    )
    for name, to_right in zip(columns, right, strict=True):
        table.add_column(
            Text(_clean(name), style="dim"),
            justify="right" if to_right else "left",
            overflow="fold",
        )
    for row in cells:
        table.add_row(*[Text(_clean(cell)) for cell in row])
    return table
