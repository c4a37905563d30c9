"""Signals: what will happen is said at once; then what is under way is saved, or left.

Python runs a handler in the main thread, which may be inside XLA for half a minute. So the numbers
go through a socket to a thread, which answers and, where nothing needs the main thread, leaves.
Standard library only: it is there before anything else is imported.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, NamedTuple, Protocol

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
WATCHED = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))

REQUEUE = 99
"""Exit status after SIGUSR1, which schedulers send before a job's time is over."""

DOUBLE_SECONDS = 1.0
"""A second signal within this time is the first again: `timeout`, `srun` and others forward it."""

_SAYING_SECONDS = 1.0
"""How long a reader that does not read may keep a process from leaving."""


def status_of(number: int) -> int:
    """The exit status of a process that a signal stopped."""
    return REQUEUE if number == getattr(signal, "SIGUSR1", None) else 128 + number


class Interrupted(SystemExit):
    """What is under way was stopped by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(status_of(number))
        self.signal = signal.Signals(number).name


class Speaker(Protocol):
    """Where the answer to a signal is shown."""

    def print(self, text: str = "", style: str = "") -> None:
        """Show a line."""
        ...

    def close(self) -> None:
        """Leave a terminal as it was, and a log whole."""
        ...


class _Plan(NamedTuple):
    """The answer to a first signal, and what is done before leaving; None: the main thread will."""

    text: str
    before_leaving: Callable[[], None] | None


def _nothing() -> None:
    pass


AT_ONCE = _Plan("leaving now, nothing is lost", _nothing)
SOON = _Plan("stopping as soon as this step is done; once more leaves at once", None)


class Signals:
    """The answer to signals; from `watch`, `watching` or `current`.

    Attributes:
        received: the first signal, which the main thread is asked to stop for; None: none came.
        speaker: shows the answers; None: standard error.
        farewell: gives what is said after the answer: `; continue with ...`.
        shared: other processes work on the same; only the main thread, with them, stops.
    """

    def __init__(self, owner: bool = False) -> None:
        """Answer to nothing yet.

        Args:
            owner: the process is there for the command alone, so that any thread may end it.
        """
        self.received: int | None = None
        self.speaker: Speaker | None = None
        self.farewell: Callable[[], str] = str
        self.shared = False
        self._owner = owner
        self._plan = AT_ONCE if owner else SOON
        self._first = 0.0
        self._leaving = False
        self._lock = threading.RLock()
        self._handlers: dict[int, Any] = {}
        self._sockets: tuple[socket.socket, socket.socket] | None = None

    def install(self) -> None:
        """Take the signals that are not ignored, anew too: libraries put handlers of theirs.

        Only the main thread can; in another one nothing happens.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        if self._owner:  # first, for `_handle` leaves all to the thread
            if self._sockets is None:
                self._sockets = socket.socketpair()
                self._sockets[1].setblocking(False)
                threading.Thread(target=self._watch, name="signals", daemon=True).start()
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=self.uninstall)
            signal.set_wakeup_fd(self._sockets[1].fileno(), warn_on_full_buffer=False)
        for number in WATCHED:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:  # nohup, or a shell that has put this in the background
                self._handlers.setdefault(number, before)
                signal.signal(number, self._handle)

    def uninstall(self) -> None:
        """Put back the handlers there were before."""
        if self._sockets is not None:
            signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    @contextlib.contextmanager
    def leaving(
        self, text: str = AT_ONCE.text, before: Callable[[], None] = _nothing
    ) -> Generator[None]:
        """While entered, a signal ends the process as soon as `before` has returned.

        For what takes long and can be given up. Where ending it is not ours to do, a signal is
        noted only.

        Args:
            text: the answer.
            before: makes safe what must not be lost; called in another thread while the main one
                goes on, so it touches nothing that is done inside.

        Raises:
            Interrupted: a signal came before this; `before` has been called.
        """
        if self.shared:
            plan = SOON
        else:
            plan = _Plan(text, before) if self._owner else self._plan
            if self.received is not None:
                before()
                self.check()
        with self._planned(plan):
            yield

    @contextlib.contextmanager
    def deferring(self, text: str) -> Generator[None]:
        """While entered, a signal is noted in `received` and answered with `text`."""
        with self._planned(_Plan(text, None)):
            yield

    def check(self) -> None:
        """Stop if a signal has come.

        Raises:
            Interrupted: it has.
        """
        if self.received is not None:
            raise Interrupted(self.received)

    @contextlib.contextmanager
    def _planned(self, plan: _Plan) -> Generator[None]:
        with self._lock:
            before, self._plan = self._plan, plan
        try:
            yield
        finally:
            with self._lock:
                self._plan = before
            while self._leaving:  # the other thread ends the process; nothing is to be changed now
                time.sleep(60)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._owner:  # elsewhere the thread has it already
            self._take(number)

    def _watch(self) -> None:
        assert self._sockets is not None
        while numbers := self._sockets[0].recv(64):
            for number in numbers:
                if number in WATCHED:
                    self._take(number)

    def _take(self, number: int) -> None:
        """Note a signal; a thread answers, so that who cannot speak can still be stopped."""
        with self._lock:
            if self.received is not None:
                if time.monotonic() - self._first > DOUBLE_SECONDS:
                    os._exit(status_of(number))
                return
            plan = _Plan(self._plan.text, None if self.shared else self._plan.before_leaving)
            self.received, self._first = number, time.monotonic()
            self._leaving = plan.before_leaving is not None
        answer = threading.Thread(target=self._answer, args=(number, plan), daemon=True)
        answer.start()

    def _answer(self, number: int, plan: _Plan) -> None:
        name, before = signal.Signals(number).name, plan.before_leaving
        if before is None:
            return self._say(f"{name}: {plan.text}")
        status = status_of(number)
        at_once = before is _nothing
        self._say(f"{name}: {plan.text}{self.farewell() if at_once else ''}")
        try:
            before()
            if not at_once:
                self._say(f"stopped by {name}{self.farewell()}")
        except BaseException as error:
            status = getattr(error, "status", 1)  # of a save that failed
            self._say(f"{name}: {type(error).__name__}: {error}")
        self._quietly(self._rest)
        os._exit(status if isinstance(status, int) else 1)

    def _say(self, text: str) -> None:
        self._quietly(self._speak, text)

    def _speak(self, text: str) -> None:
        if self.speaker is not None:
            self.speaker.print(text)
        else:
            print(f"ksim: {text}", file=sys.stderr, flush=True)

    def _rest(self) -> None:
        if self.speaker is not None:
            self.speaker.close()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()

    def _quietly(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call, whatever it raises, for no longer than a moment."""

        def attempt() -> None:
            with contextlib.suppress(Exception):
                call(*arguments)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(_SAYING_SECONDS)


_current: Signals | None = None


def watch() -> None:
    """Answer to signals from now to the end of this process, which is one command's."""
    global _current
    _current = Signals(owner=True)
    _current.install()


def current() -> Signals:
    """What answers to signals in this process; where nothing does, one that never receives any."""
    return _current if _current is not None else Signals()


@contextlib.contextmanager
def watching() -> Generator[Signals]:
    """Answer to signals while entered; in a process that is somebody else's they are noted only."""
    signals = current()
    signals.install()
    try:
        yield signals
    finally:
        if signals is not _current:
            signals.uninstall()
        signals.speaker, signals.farewell = None, str
