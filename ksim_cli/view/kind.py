"""Which viewer there is to be; standard library only: it is known before MuJoCo is imported."""

import os
import sys

from ksim_cli.config.schema import RunConfig

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which a machine knows itself."""

WINDOWED = (3, 12)
"""The Python that Studio's window needs."""


def has_display() -> bool:
    """Whether there is a display for a window."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def viewer_kind(config: RunConfig) -> str:
    """The viewer that `viewer=` means here: `window`, `web` or `video`.

    Without a person who types it is a video, so that scripts end. Steps before a quarantine
    have happened already: they are one, too.
    """
    if config.dump is not None:
        return "video"
    if config.viewer not in (None, "auto"):
        return config.viewer
    # A window only where it is asked for: MuJoCo 4.0's own falls with its process on some machines.
    return "web" if sys.stdin.isatty() and sys.stdout.isatty() else "video"
