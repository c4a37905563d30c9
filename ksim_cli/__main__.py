"""`ksim`, and `python -m ksim_cli`: a process that is there for one command."""

import os
import sys
import threading

from ksim_cli.io import streams
from ksim_cli.run import signals


def main() -> int:
    """The console script; returns the exit status."""
    streams.protect()
    signals.watch()
    from ksim_cli.cli import main as run  # only now: an interrupted import is a page of traceback

    try:
        status = run()
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    stopped = signals.current().received is not None and not signals.current().shared
    if stopped or any(thread.name.startswith("logger ") for thread in threading.enumerate()):
        # At once: while Python ends its handlers are gone, and a wrapper's double signal would
        # change the status; and a logger that hangs, given up long ago, could keep the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
