"""Standard output and error that cannot end what runs: closed, full, or with nobody reading.

Standard library only.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Any

_FILES = {"stdout": (1, "output"), "stderr": (2, "error")}


def protect() -> None:
    """Let writing to this process's standard streams never fail.

    What cannot be written is dropped; a reader that has gone (`ksim train | head`) is nothing to
    speak of, any other failure is told once on the other stream.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened, such as a run's metrics, would be standard output.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, (number, _) in _FILES.items():
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif os.name == "posix" and type(stream) is io.TextIOWrapper:
            with contextlib.suppress(OSError):
                stream.flush()
            buffer = io.BufferedWriter(_Forgiving(number, name))
            kept = {key: getattr(stream, key) for key in ("encoding", "errors", "line_buffering")}
            setattr(sys, name, io.TextIOWrapper(buffer, write_through=name == "stderr", **kept))


class _Forgiving(io.FileIO):
    """A file descriptor that points to nowhere after its first failure."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, "w", closefd=False)
        self._name = name

    def write(self, data: Any, /) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            self._lose(error)
            return memoryview(data).nbytes

    def _lose(self, error: OSError) -> None:
        number, what = _FILES[self._name]
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        if error.errno != errno.EPIPE:
            line = f"ksim: standard {what} takes no more ({error.strerror}); the work goes on\n"
            with contextlib.suppress(OSError):
                os.write(3 - number, line.encode())
