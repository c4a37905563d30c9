"""Seconds since the command was started, from the operating system where it says so."""

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()


def _age_at_import() -> float:
    """Seconds this process had lived when this module was imported; 0 where it is not known."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


_AGE = _age_at_import()


class Clock:
    """Seconds since a job began: for the first of a process, since the process was started."""

    _jobs = 0

    def __init__(self) -> None:
        Clock._jobs += 1
        first = Clock._jobs == 1
        self._start = _IMPORTED - _AGE if first else time.monotonic()

    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._start
