"""Studio's side of a live viewer; imported only where Studio works."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import mujoco
import numpy as np
from mujoco.studio import (
    app,
    endpoints,
    launch_thread,
    messages,
    plugin,
    sim,  # pyright: ignore[reportAttributeAccessIssue] # without a stub
    ux,  # pyright: ignore[reportAttributeAccessIssue]
    viewer_handle,
    viewer_protocol,
)

from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Desk
from ksim_cli.view.panel import Panel
from ksim_cli.view.web import LocalWebViewer

_OPENING_SECONDS = 30.0

FORCES = int(mujoco.mjtState.mjSTATE_XFRC_APPLIED)


class Opened(NamedTuple):
    """A viewer that runs in a thread of its own.

    Attributes:
        handle: what it is spoken to by.
        url: address of a page; empty for a window.
        is_watched: whether anybody looks.
    """

    handle: viewer_handle.ViewerHandle
    url: str
    is_watched: Callable[[], bool]


def open_viewer(desk: Desk, place: Any, aim: Callable[[mujoco.MjvCamera], None]) -> Opened:
    """Opens a viewer in a thread of its own.

    Args:
        desk: where orders go.
        place: see `ksim_cli.view.studio.Place`.
        aim: sets the camera.

    Raises:
        RuntimeError: it could not be opened.
    """
    opened, pages = threading.Event(), list[LocalWebViewer]()
    shown = app.Config(show_options=False, show_inspector=False, show_view_gizmo=False)
    studio = app.App(shown)
    plugins = [studio, Panel(desk), Camera(aim, studio)]

    def target(endpoint: endpoints.ViewerEndpoint) -> None:
        try:
            viewer = _viewer(desk, place, endpoint, plugins)
            if isinstance(viewer, LocalWebViewer):
                pages.append(viewer)
        finally:
            opened.set()
        viewer_protocol.run_viewer_loop(viewer)

    handle = launch_thread.launch_thread(target, sim_plugins=[Link(desk)])
    opened.wait(_OPENING_SECONDS)
    handle.is_running()  # raises what went wrong in the thread
    if not pages:
        return Opened(handle, "", lambda: True)
    return Opened(handle, f"http://{place.host}:{pages[0].port}/", pages[0].is_watched)


def _viewer(
    desk: Desk, place: Any, endpoint: endpoints.ViewerEndpoint, plugins: list[Any]
) -> viewer_protocol.Viewer:
    title = f"ksim: {desk.labels.title}"
    if place.kind == "web":
        config = viewer_protocol.ViewerConfig(title=title, gfx="web", http_port=place.port)
        return LocalWebViewer(config, endpoint, plugins=plugins, address=place.host)
    from mujoco.studio import native_viewer

    config = viewer_protocol.ViewerConfig(title=title, gfx="opengl_software")
    return native_viewer.NativeViewer(config, endpoint, plugins=plugins)


class Camera(plugin.ViewerPlugin):
    """Aims the camera at the first picture of a model, after Studio has set it.

    Args:
        aim: sets it.
        studio: Studio's own controls, which know which camera it is.
    """

    def __init__(self, aim: Callable[[mujoco.MjvCamera], None], studio: app.App) -> None:
        self._aim, self._studio = aim, studio
        self._is_new = False

    @messages.handler
    def on_model(self, _: messages.PostModelEvent) -> None:
        """Another model: what it looks like is known at its first picture."""
        self._is_new = True

    @messages.handler
    def on_build_gui(self, _: messages.BuildGuiEvent) -> None:
        """The first picture."""
        if not self._is_new:
            return
        self._is_new, camera = False, self.viewer.camera
        self._aim(camera)
        if camera.type == mujoco.mjtCamera.mjCAMERA_TRACKING:
            self._studio.ux_state.camera_index = ux.TRACKING_CAMERA_IDX
        elif camera.type == mujoco.mjtCamera.mjCAMERA_FIXED:
            self._studio.ux_state.camera_index = camera.fixedcamid


class Link(plugin.SimPlugin):
    """Turns what Studio's own controls ask for into orders; what they cannot have does nothing.

    Args:
        desk: where they go.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @messages.handler
    def on_step_control(self, asked: messages.StepControlSnapshot) -> bool:
        """Pause and speed."""
        paused = asked.pause_state != sim.PauseState.UNPAUSED
        self._desk.put(orders.Pause(paused))
        self._desk.put(orders.Speed(asked.speed / 100))
        return True

    @messages.handler
    def on_pause(self, asked: messages.RequestPauseEvent) -> bool:
        """Pause."""
        self._desk.put(orders.Pause(asked.pause_state != sim.PauseState.UNPAUSED))
        return True

    @messages.handler
    def on_single_step(self, _: messages.SingleStepEvent) -> bool:
        """One step."""
        self._desk.put(orders.SingleStep())
        return True

    @messages.handler
    def on_reset(self, _: messages.ResetEvent) -> bool:
        """The next episode."""
        self._desk.put(orders.Restart())
        return True

    @messages.handler
    def on_perturb(self, asked: messages.PerturbSnapshot) -> bool:
        """The mouse pulls at a body; Studio sends zeros, too, all the time."""
        if asked.state_sig == FORCES:
            self._desk.put(orders.Pull(np.array(asked.state).reshape(-1, 6)))
        return True

    @messages.handler
    def on_load(self, _: messages.LoadModelEvent) -> bool:
        """No other model."""
        return True

    @messages.handler
    def on_state(self, _: messages.StateEvent) -> bool:
        """No other state: it would not be the episode's."""
        return True

    @messages.handler
    def on_keyframe(self, _: messages.KeyframeEvent) -> bool:
        """No keyframes."""
        return True

    @messages.handler
    def on_options(self, _: messages.MjOptionSnapshot) -> bool:
        """No other physics."""
        return True
