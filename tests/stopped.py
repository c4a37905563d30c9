"""A command that something is sent to, or that something happens to, at a named moment."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.run.commands import ROOT


@dataclasses.dataclass
class Left:
    """How a command ended that something was sent to.

    Attributes:
        status: exit status; negative: the signal that killed it.
        seconds: s from the signal to the end.
        output: standard output and error.
        sent: False where it had ended before.
    """

    status: int
    seconds: float
    output: str
    sent: bool


def stop(
    folder: Path,
    arguments: Sequence[str],
    moment: str | float | Callable[[], bool] | None,
    *numbers: int,
    act: Callable[[], object] | None = None,
    pause: float = 0.0,
    timeout: float = 120.0,
) -> Left:
    """Run `ksim <arguments>` in a folder and send it signals, or do something to it.

    Args:
        folder: where; `run_dir=run` or `resume=run` is among the arguments.
        arguments: what is typed.
        moment: when to send the first: a text that the output or the log then holds, s after the
            start, or what says so; None: as soon as it minds signals at all.
        numbers: the signals.
        act: what else happens at that moment.
        pause: s between two of them.
        timeout: s after which a moment has not come, or a process has not ended.
    """
    output, log = folder / "output.txt", folder / "run" / "train.log"
    before = log.stat().st_size if log.exists() else 0
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "ksim_cli", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )

    def come(start: float) -> bool:
        if moment is None:
            return handles(process.pid, signal.SIGTERM)
        if isinstance(moment, float):
            return time.monotonic() - start >= moment
        if callable(moment):
            return moment()
        said = log.read_bytes()[before:].decode() if log.exists() else ""
        return moment in output.read_text() + said

    try:
        start = time.monotonic()
        while process.poll() is None and not come(start):
            assert time.monotonic() - start < timeout, f"never came to {moment!r}"
            time.sleep(0.01)
        sent = process.poll() is None
        if act is not None:
            act()
        start = time.monotonic()
        for i, number in enumerate(numbers):
            time.sleep(pause if i else 0.0)
            process.send_signal(number)
        process.wait(timeout)
        seconds = time.monotonic() - start
    finally:
        process.kill()
        process.wait()
    return Left(process.returncode, seconds, output.read_text(), sent)


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for a signal; asked of Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
