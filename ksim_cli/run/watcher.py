"""A live viewer of a run that is being trained, in a process of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator

from ksim_cli.config.schema import RunConfig
from ksim_cli.io.runs import RunFolder

_POLITENESS = "10"
"""Training comes first."""

_PATIENCE = 10.0
"""s that a viewer has to close itself."""

_TRAINER = "KSIM_VIEWER_OF"
"""Environment variable with the process that a viewer is to end with."""


@contextlib.contextmanager
def watched(run: RunFolder, config: RunConfig, say: Callable[[str], None]) -> Generator[None]:
    """While entered, a viewer shows the newest policy of a run, if the config asks for one.

    It reads what the run leaves in its folder, and nothing waits for it.

    Args:
        run: the run; its first policy is there.
        config: its configuration.
        say: shows a line of the viewer's.
    """
    if config.viewer in (None, "video"):
        yield
        return
    process = subprocess.Popen(
        _command(run, config),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Beside training an accelerator has no room, and Ctrl-C is for training to answer.
        env={**os.environ, "JAX_PLATFORMS": "cpu", _TRAINER: str(os.getpid())},
        start_new_session=True,
    )

    def forward() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.strip():
                    say(f"viewer: {line.rstrip()}")

    reader = threading.Thread(target=forward, name="viewer", daemon=True)
    reader.start()
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(_PATIENCE)


def is_left_behind() -> bool:
    """Whether this is a viewer beside a training that has been killed."""
    trainer = os.environ.get(_TRAINER)
    return trainer is not None and trainer != str(os.getppid())


def _command(run: RunFolder, config: RunConfig) -> list[str]:
    nice = shutil.which("nice")
    polite = [] if nice is None else [nice, "-n", _POLITENESS]
    keys = (
        f"checkpoint={run.path}",
        f"viewer={config.viewer}",
        f"viewer_host={config.viewer_host}",
        f"viewer_port={config.viewer_port}",
        "engine=mujoco",
    )
    return [*polite, sys.executable, "-u", "-m", "ksim_cli", "view", *keys]
