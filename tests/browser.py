"""A headless Chromium that a test steers through its debugging protocol."""

import base64
import contextlib
import io
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZE = (1200, 760)

_HELD = 0.25
"""s that a button is down: less is overlooked where pictures come slowly."""


def find_browser() -> str | None:
    """The program; None: there is none here."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A page of a browser.

    Args:
        socket: speaks to the page.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._count = socket, 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def go(self, url: str) -> None:
        """Show another page, and wait until it is there."""
        self.call("Page.navigate", url=url)
        ready = "document.readyState == 'complete' && location.href != 'about:blank'"
        for _ in range(300):
            if self.call("Runtime.evaluate", expression=ready)["result"].get("value"):
                return
            time.sleep(0.1)
        raise TimeoutError(f"{url} did not load")

    def picture(self, save: Path | None = None) -> np.ndarray:
        """What is on the screen, `[H, W, 3]` uint8."""
        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        if save is not None:
            save.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def click(self, x: float, y: float) -> None:
        """Press the left button for a moment."""
        self.drag(x, y, x, y)

    def drag(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """Press the left button at one place, and let it go at another."""
        for kind, where in (
            ("mouseMoved", (x, y)),
            ("mousePressed", (x, y)),
            ("mouseMoved", (to_x, to_y)),
            ("mouseReleased", (to_x, to_y)),
        ):
            button = "none" if kind == "mouseMoved" and where == (x, y) else "left"
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=where[0],
                y=where[1],
                button=button,
                buttons=int(button == "left"),
                clickCount=1,
            )
            time.sleep(_HELD)


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A page of a browser of its own."""
    program = find_browser()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                program,
                *("--headless=new", "--no-sandbox", "--enable-unsafe-swiftshader"),
                *("--remote-debugging-port=0", "--remote-allow-origins=*"),
                *(f"--user-data-dir={folder}", f"--window-size={SIZE[0]},{SIZE[1]}"),
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(folder) / "DevToolsActivePort")
            tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
            url = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                with connect(url, max_size=None) as socket:
                    page = Page(socket)
                    page.call(
                        "Emulation.setDeviceMetricsOverride",
                        width=SIZE[0],
                        height=SIZE[1],
                        deviceScaleFactor=1,
                        mobile=False,
                    )
                    yield page
        finally:
            process.kill()
            process.wait()


def _port(file: Path) -> int:
    for _ in range(300):
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise TimeoutError("the browser did not start")
