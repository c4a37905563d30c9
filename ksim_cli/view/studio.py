"""A window, or a page, of MuJoCo Studio in which an environment is shown and steered."""

import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.view.desk import Desk
from ksim_cli.view.kind import WINDOWED, has_display


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a viewer is.

    Attributes:
        kind: `window` or `web`.
        host: IP address a page is served at.
        port: its port; 0: the first that is free from 8080 on.
    """

    kind: str
    host: str = "127.0.0.1"
    port: int = 0


class StudioScreen:
    """A viewer that runs in a thread of this process; see `ksim_cli.run.live.Screen`.

    Args:
        model: what is shown.
        desk: where its orders go.
        place: what it is.
        aim: sets the camera.

    Attributes:
        desk: where its orders go.
        url: of a page; empty for a window.
        is_watched: see `Screen`.

    Raises:
        UserError: Studio, or a window, does not work here; the port is taken.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        desk: Desk,
        place: Place,
        aim: Callable[[mujoco.MjvCamera], None] = lambda camera: None,
    ) -> None:
        self.desk = desk
        self._model, self._data = model, mujoco.MjData(model)
        launch = _studio(place)
        try:
            self._handle, self.url, self.is_watched = launch.open_viewer(desk, place, aim)
        except (RuntimeError, OSError) as error:
            raise UserError(f"viewer={place.kind}: {' '.join(str(error).split())}") from error

    def show(self, qpos: np.ndarray, qvel: np.ndarray, seconds: float) -> None:
        """See `Screen`."""
        self._data.qpos[:], self._data.qvel[:], self._data.time = qpos, qvel, seconds
        mujoco.mj_forward(self._model, self._data)
        self._handle.sync(self._model, self._data)

    def is_open(self) -> bool:
        """See `Screen`."""
        return self._handle.is_running()

    def close(self) -> None:
        """See `Screen`."""
        self._handle.close()


def _studio(place: Place) -> Any:
    """The part of this package that needs Studio, which not every Python and machine has.

    Raises:
        UserError: it cannot be used here, and why.
    """
    instead = "Type viewer=video"
    if place.kind == "window":
        if sys.version_info < WINDOWED:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise UserError(
                f"viewer=window: needs Python 3.12, got {version}. Type viewer=web, or viewer=video"
            )
        if not has_display():
            raise UserError("viewer=window: there is no display here. Type viewer=web")
    try:
        return importlib.import_module("ksim_cli.view.studio_viewer")
    except ImportError as error:
        raise UserError(
            f"viewer={place.kind}: MuJoCo Studio cannot be used here ({error}). {instead}"
        ) from error
