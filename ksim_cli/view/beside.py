"""The hand that training has on the process that draws beside it; it never waits for an answer."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

from ksim_cli.paths import PACKAGE
from ksim_cli.view.drawer import packed

_PATIENCE_SECONDS = 600.0
"""For one video, at the little time that training leaves; longer is taken for hanging."""

_LEAVING_SECONDS = 2.0
"""For the process to end by itself, once it is told to."""


class Beside:
    """A process that draws one episode after the other.

    Args:
        header: what `ksim_cli.view.drawer` begins with.
        model: the model to draw, as MuJoCo writes it.
    """

    def __init__(self, header: Mapping[str, Any], model: bytes) -> None:
        paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Where pixels are drawn by processors, by one of them.
        more = {"PYTHONPATH": os.pathsep.join(paths), "LP_NUM_THREADS": "1"}
        with warnings.catch_warnings():
            # JAX warns of every fork; this process replaces itself at once.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ksim_cli.view.drawer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | more,
                start_new_session=True,  # Ctrl-C is for training, which tells it
            )
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._asked: float | None = None
        self._outbox.put(packed(header, model))
        for work in (self._send, self._receive):
            # Daemons: a pipe that nobody reads keeps no process from ending.
            threading.Thread(target=work, name="pictures", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether an episode is not drawn yet, as far as `answers` has seen."""
        return self._asked is not None

    def offer(self, header: Mapping[str, Any], payload: bytes) -> bool:
        """Give it an episode, if it has drawn the last one; whether it was taken."""
        if self.busy:
            return False
        self._asked = time.monotonic()
        self._outbox.put(packed(header, payload))
        return True

    def answers(self) -> list[dict[str, Any]]:
        """What it has said since; `failed` in the last of them means that it draws no more."""
        said: list[dict[str, Any]] = []
        with contextlib.suppress(queue.Empty):
            while True:
                answer = self._inbox.get_nowait()
                if answer is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(_LEAVING_SECONDS)
                    answer = {"failed": f"its process ended, status {self._process.poll()}"}
                if "iteration" in answer:
                    self._asked = None
                said.append(answer)
        if self._asked is not None and time.monotonic() - self._asked > _PATIENCE_SECONDS:
            said.append({"failed": f"no answer for {_PATIENCE_SECONDS:.0f} s"})
        return said

    def end(self) -> None:
        """End the process, amid a picture too."""
        self._outbox.put(None)
        try:
            self._process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which `_receive` notices
            while (message := self._outbox.get()) is not None:
                self._process.stdin.write(message)
                self._process.stdin.flush()
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _receive(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream, contextlib.suppress(ValueError, OSError):
            for line in stream:
                self._inbox.put(json.loads(line))
        self._inbox.put(None)
