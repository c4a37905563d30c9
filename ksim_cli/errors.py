"""Errors that are the user's to mend, and the nearest name to a mistyped one."""

import difflib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import ClassVar

NOTE = "in "
"""Begins the note on an error that a component raised; its config path follows."""


class UserError(Exception):
    """A mistake in what the user typed or wrote: one message, exit status 2, no traceback.

    The message says what is wrong, what was got, what is allowed and what to type instead.
    """

    status: ClassVar[int] = 2


class MemoryShortError(UserError):
    """What was asked for does not fit in memory."""

    status: ClassVar[int] = 5


class RunFailedError(Exception):
    """A run that cannot go on, by nobody's mistake in what was typed: one message, no traceback.

    Args:
        message: what happened, what is kept, what to do.
        status: the exit status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def error_context(where: str) -> Generator[None]:
    """Put the config path of a component before what it complains about; note it on a crash."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        error.add_note(f"{NOTE}{where}")
        raise


def of_a_disk(error: BaseException) -> str | None:
    """The message for what a disk refused: full, read-only, a long name; None: another error."""
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    said = " ".join(error.strerror.split())  # h5py's holds the path, and much more
    return f"{error.filename}: {said}" if error.filename else said


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint `" Did you mean 'x'?"` for the closest of `names`, or the empty string."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.55)
    return f" Did you mean '{close[0]}'?" if close else ""


def listing(names: Iterable[str]) -> str:
    """The names in order, for the end of a message: `a, b, c`, or `(none)`."""
    return ", ".join(sorted(names)) or "(none)"
