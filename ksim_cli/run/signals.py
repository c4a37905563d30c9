"""SIGINT and SIGTERM: finish what is under way, save, leave; a second one leaves at once."""

import os
import signal
import threading
from types import FrameType
from typing import Any

WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A run was stopped by a signal; the exit status is 128 plus its number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


class StopSignals:
    """While entered, a first signal is noted in `received` and a second ends the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        """Installs the handlers, where this is the main thread (elsewhere there are none)."""
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """Puts back the handlers there were before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
