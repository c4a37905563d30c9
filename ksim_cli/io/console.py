"""Lines, tables and progress on standard output, and the same in the run's log.

On a terminal progress is live. Elsewhere (a file, a pipe, a dumb terminal) there are plain lines
only, few of them and without control characters. The log file is always plain.
"""

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import rich.console
from rich import progress as bars
from rich.table import Column, Table
from rich.text import Text

from ksim_cli.errors import UserError
from ksim_cli.io import formatting
from ksim_cli.io.course import read_course
from ksim_cli.io.dashboard import POINTS, Bars, Dashboard, Words
from ksim_cli.io.files import open_own

_SECONDS_BETWEEN_LINES = 5.0
"""Outside a terminal, s between two lines of what goes on."""

_SPEED_SECONDS = 300.0
_REFRESHES = 4
"""A second, of a terminal: what it costs is taken from training."""

_PLAIN_WIDTH = 1000
"""Width of tables outside a terminal, characters: no cell is wrapped."""


class Console:
    """Standard output and a run's log file; made by `open_console`.

    Args:
        stream: where lines go.
        errors: where warnings go if `stream` is no terminal.
        log: gets everything as plain text; None for no log.
    """

    def __init__(self, stream: TextIO, errors: TextIO, log: TextIO | None = None) -> None:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # `?` for what its encoding cannot hold
        self._rich = _RichConsole(
            file=stream, force_terminal=stream.isatty(), highlight=False, markup=False, emoji=False
        )
        self._errors = errors
        self._log = log
        self._bars: Bars | None = None

    @property
    def live(self) -> bool:
        """True on a terminal, where progress and long steps are shown while they go on."""
        return self._rich.is_terminal and not self._rich.is_dumb_terminal

    def print(self, text: str = "", style: str = "") -> None:
        """Show `text` as it is, brackets too; `style` (`bold`, `green`, …) is for terminals."""
        self.show(text, style)
        self.log(text)

    def show(self, text: str, style: str = "") -> None:
        """Print without logging."""
        self._rich.print(formatting.clean(text), style=style or None, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Show a warning; where there is no terminal, on standard error."""
        if self.live:
            return self.print(f"warning: {text}", style="yellow")
        print(f"warning: {formatting.clean(text)}", file=self._errors, flush=True)
        self.log(f"warning: {text}")

    def log(self, text: str) -> None:
        """Write `text` to the log file only, each line with the time of day."""
        if self._log is not None:
            stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
            lines = [
                f"{stamp}  {line}".rstrip() + "\n" for line in formatting.clean(text).split("\n")
            ]
            try:
                self._log.writelines(lines)
                self._log.flush()
            except (OSError, ValueError) as error:  # a full disk shall not end what goes on
                log, self._log = self._log, None
                with contextlib.suppress(OSError, ValueError):
                    log.close()
                self.warn(f"the log cannot be written any more: {error}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a table; numbers are aligned to the right."""
        table = Table(title=Text(formatting.clean(title), "bold"), title_justify="left", box=None)
        table.padding = (0, 0, 0, 2)
        for i, name in enumerate(columns):
            numeric = bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
            justify = "right" if numeric else "left"
            table.add_column(Text(formatting.clean(name), "dim"), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*[Text(formatting.clean(formatting.value(cell))) for cell in row])
        plain = io.StringIO()
        rich.console.Console(file=plain, width=_PLAIN_WIDTH, color_system=None).print(table)
        text = "\n".join(line.rstrip() for line in plain.getvalue().splitlines())
        if not self.live:
            return self.print(text)
        self._rich.print(table)
        self.log(text)

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[None]:
        """Show that `text` (`compiling train step`) goes on, and at its end how long it took."""
        quiet = self._bars is not None  # a progress that shows the step while it goes on
        (self.log if quiet or self.live else self.print)(f"{text} ...")
        with self._bar(formatting.clean(text)) as (_, task):
            try:
                with self._signs_of_life(text):
                    yield
            except BaseException:
                self.print(f"{text} failed after {formatting.seconds(task.elapsed or 0)}", "red")
                raise
        took = f"{text} took {formatting.seconds(task.elapsed or 0)}"
        self.log(took) if quiet else self.print(took, "dim")

    @contextlib.contextmanager
    def waiting(self, text: str) -> Generator[None]:
        """Show that `text` goes on, and nothing at its end."""
        if not self.live:
            self.print(f"{text} ...")
        with self._bar(formatting.clean(text)), self._signs_of_life(text):
            yield

    @contextlib.contextmanager
    def _signs_of_life(self, text: str) -> Generator[None]:
        """Print now and then, where there is no terminal, that `text` goes on."""
        if self.live:
            yield
            return
        start, over = time.monotonic(), threading.Event()

        def speak() -> None:
            while not over.wait(_SECONDS_BETWEEN_LINES):
                self.print(f"{text} ... {formatting.seconds(time.monotonic() - start)}")

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextlib.contextmanager
    def progress(
        self,
        total_env_steps: int | None,
        done: int = 0,
        show: Sequence[str] = (),
        past: Path | None = None,
    ) -> "Generator[Progress]":
        """Show how far a run has come.

        Args:
            total_env_steps: environment steps at the end of the run; None if it has no end.
            done: environment steps made before now.
            show: patterns (`*loss*`) of the names to show from each row, in this order; where
                none fits, all are shown.
            past: rows of the run before now, for the courses that a terminal shows.
        """
        board = None
        if self.live:
            course = None
            with contextlib.suppress(OSError, UserError):
                course = read_course(past, POINTS)[0] if past is not None else None
            board = Dashboard(show, course)
        with self._bar("", total_env_steps, done, board) as (display, task):
            progress = Progress(self, display, task, show)
            try:
                yield progress
            finally:
                progress.finish()

    @contextlib.contextmanager
    def _bar(
        self,
        text: str,
        total: int | None = None,
        done: int = 0,
        board: Dashboard | None = None,
    ) -> "Generator[tuple[Bars, bars.Task]]":
        """Keep a line at the bottom of a terminal, below those there are."""
        with contextlib.ExitStack() as stack:
            display = self._bars
            if display is None:
                self._bars = display = stack.enter_context(
                    Bars(
                        bars.SpinnerColumn(),
                        bars.TextColumn("{task.description}", markup=False),
                        bars.BarColumn(None, table_column=Column(ratio=1)),
                        Words(Column(no_wrap=True)),
                        bars.TimeElapsedColumn(),
                        console=self._rich,
                        transient=True,
                        expand=True,
                        disable=not self.live,
                        refresh_per_second=_REFRESHES,
                        speed_estimate_period=_SPEED_SECONDS,
                        get_time=time.monotonic,
                    )
                )
                stack.callback(setattr, self, "_bars", None)
            words = _how_far if board is not None else _nothing
            number = display.add_task(text, total=total, completed=done, words=words, board=board)
            stack.callback(display.remove_task, number)
            yield display, display.tasks[-1]

    def close(self) -> None:
        """Close the log file, and end what is live on a terminal: its cursor comes back."""
        if self._bars is not None:
            self._bars.stop()
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Progress:
    """How far a run has come; made by `Console.progress`."""

    def __init__(
        self, console: Console, display: "Bars", task: bars.Task, show: Sequence[str]
    ) -> None:
        self._console, self._display, self._task, self._show = console, display, task, show
        self._printed_at = float("-inf")
        self._row: dict[str, Any] | None = None
        self._pending = False

    def update(self, env_steps: int, row: dict[str, Any]) -> None:
        """Take the newest state.

        Args:
            env_steps: environment steps of the whole run so far.
            row: scalars by name, as they go to metrics.jsonl; None is shown as `-`.
        """
        self._row, self._pending = row, True
        self._display.update(self._task.id, completed=env_steps)
        if (board := self._task.fields["board"]) is not None:
            board.add({**row, "env_steps": env_steps})
        if time.monotonic() - self._printed_at >= _SECONDS_BETWEEN_LINES:
            self._printed_at = time.monotonic()
            self._flush()

    def finish(self) -> None:
        """Print the last state, if it has not been; a terminal's display ends here."""
        if self._console.live:
            self._console.show(self._line())
        if self._pending:
            self._flush()

    def _flush(self) -> None:
        """Print the state, on a terminal, which shows it anyway, to the log only."""
        self._pending = False
        (self._console.log if self._console.live else self._console.print)(self._line())

    def _line(self) -> str:
        """The state in one line; nothing before the first."""
        if self._row is None:
            return ""
        cells = formatting.pick(self._row, self._show)
        return "  ".join([*_how_far(self._task), *(f"{name} {text}" for name, text in cells)])


def _how_far(task: bars.Task) -> list[str]:
    """How far a run has come, in words: share, steps, rate, time that is left."""
    share = f"{task.percentage / 100:3.0%}" if task.total else "..."
    goal = f"/{formatting.count(task.total)}" if task.total else ""
    words = [share, f"{formatting.count(task.completed)}{goal} steps"]
    if task.speed:
        words.append(f"{formatting.count(task.speed)}/s")
    if task.speed and task.time_remaining is not None:
        words.append(f"ETA {formatting.seconds(task.time_remaining)}")
    return words


def _nothing(task: bars.Task) -> list[str]:
    return []


class _RichConsole(rich.console.Console):
    """Rich's console, which a reader that has gone does not stop."""

    def on_broken_pipe(self) -> None:
        # Who read has read enough (`ksim train | head`); what runs shall not end for it.
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


def open_console(log_path: Path | None, stream: TextIO | None = None) -> Console:
    """The console of this process.

    Args:
        log_path: file that gets everything as plain text, appended to; None for no log.
        stream: where to write; None is standard output.
    """
    log = open_own(log_path, "a") if log_path is not None else None
    return Console(sys.stdout if stream is None else stream, sys.stderr, log)


def silent_console() -> Console:
    """A console that shows nothing, for a process that is not the one to speak."""
    return Console(io.StringIO(), io.StringIO())
