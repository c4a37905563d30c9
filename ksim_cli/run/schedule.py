"""When something that is done now and then is due, and how fast a loop goes."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from ksim_cli.config.schema import ValidationKeys


class Timer:
    """Due every so many seconds or iterations, whichever comes first.

    Args:
        every_seconds: s between two times; None: never by time.
        every_steps: iterations between two times; None: never by iterations.
        first_seconds: s until the first time; None: `every_seconds`.
        first_steps: it is due after each of the first so many iterations too.
    """

    def __init__(
        self,
        every_seconds: float | None,
        every_steps: int | None,
        first_seconds: float | None = None,
        first_steps: int = 0,
    ) -> None:
        self._every_seconds = every_seconds
        self._every_steps = every_steps
        self._first_steps = first_steps
        first = every_seconds if first_seconds is None else first_seconds
        self._next = None if first is None else time.monotonic() + first

    def due(self, before: int, now: int) -> bool:
        """Whether it is due after iterations `before + 1` to `now`; a due time is used up."""
        clock = time.monotonic()
        by_time = self._next is not None and clock >= self._next
        every = self._every_steps
        by_steps = every is not None and before // every != now // every
        if by_time:
            self._next = None if self._every_seconds is None else clock + self._every_seconds
        return by_time or by_steps or before < self._first_steps


def validation_timer(config: ValidationKeys) -> Timer:
    """When an evaluation is due, by the `valid_*` keys."""
    return Timer(
        config.valid_every_n_seconds,
        config.valid_every_n_steps,
        config.valid_first_n_seconds,
        config.valid_first_n_steps,
    )


class Rate:
    """Steps per second since it was made, pauses left out.

    Args:
        done: steps made before.
    """

    def __init__(self, done: int) -> None:
        self._done = done
        self._start = time.monotonic()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Time spent inside does not count."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._start += time.monotonic() - began

    def per_second(self, steps: int) -> float:
        """The rate when `steps` have been made in all."""
        return (steps - self._done) / max(time.monotonic() - self._start, 1e-9)
