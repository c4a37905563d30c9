"""`ksim view` in a window or on a page."""

import contextlib
import dataclasses
import socket
from collections.abc import Collection

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.console import Console
from ksim_cli.io.recordings import Recording
from ksim_cli.io.runs import RUNS, find_checkpoint
from ksim_cli.run import signals
from ksim_cli.run.build import load_policy
from ksim_cli.run.live import Live, Policies, Stage, labels_of
from ksim_cli.run.policies import RunPolicies
from ksim_cli.run.replay import Nobody, Replay
from ksim_cli.run.session import Session, make_steerable
from ksim_cli.run.shown_motion import recording_of
from ksim_cli.run.watcher import is_left_behind
from ksim_cli.task_model import TaskModel
from ksim_cli.view.desk import Desk, Labels
from ksim_cli.view.kind import LOOPBACK
from ksim_cli.view.scene import Camera, drawable
from ksim_cli.view.studio import Place, StudioScreen


def view_live(
    config: RunConfig,
    kind: str,
    task_model: TaskModel,
    console: Console,
    typed: Collection[str] = (),
) -> None:
    """Plays one environment in a window or on a page until that is closed.

    Args:
        config: what to view, and how.
        kind: `window` or `web`.
        task_model: the task.
        console: says where the page is.
        typed: keys that were typed.

    Raises:
        UserError: there is no policy, or no such viewer can be opened here.
    """
    watch, place = signals.current(), Place(kind, config.viewer_host, config.viewer_port)
    if (recording := recording_of(config, task_model)) is not None:
        stage, policies, labels = _recorded(config, recording, task_model, console)
    else:
        stage, policies, labels = _played(config, task_model, console)
    model = drawable(task_model.spec, task_model.model)
    # A camera of the model's cannot be moved with the mouse; one that follows the base can.
    free = dataclasses.replace(config, render_camera_name=None)
    keys = config if "render_camera_name" in typed else free
    camera = Camera(model, keys, typed, console.warn)
    screen = StudioScreen(model, Desk(labels), place, camera.aim)
    if screen.url:
        console.print(f"viewer: {screen.url}  (Ctrl-C ends it)")
        port = screen.url.rstrip("/").rpartition(":")[2]
        console.print(
            f"from another machine: ssh -L {port}:localhost:{port} {socket.gethostname()}"
        )
        if place.host not in LOOPBACK:
            console.warn(
                f"viewer_host={place.host}: whoever reaches this port sees and steers what is"
                " viewed; nobody is asked who he is"
            )
    averaged = config.live_reward_buffer_size

    def check() -> None:
        watch.check()
        if is_left_behind():
            raise UserError("the training that this viewer shows is gone")

    with contextlib.closing(screen), watch.deferring("closing the viewer"):
        Live(stage, screen, policies, averaged, check).run(config.viewer_num_seconds)


def _played(
    config: RunConfig, task_model: TaskModel, console: Console
) -> tuple[Stage, Policies, Labels]:
    """An environment that is played."""
    env = make_steerable(task_model)
    argmax = config.viewer_argmax_action
    loaded = load_policy(config, task_model, env, argmax, console, live=True)
    follows = loaded.run is not None and find_checkpoint(config.checkpoint, RUNS)[1] is None
    with console.status("compiling the viewer"):
        session = Session(loaded.player, loaded.state, config.seed)
    return session, RunPolicies(config, task_model, env, loaded, follows), labels_of(task_model)


def _recorded(
    config: RunConfig, recording: Recording, task_model: TaskModel, console: Console
) -> tuple[Stage, Policies, Labels]:
    """The episodes of a dataset, or motions."""
    stage = Replay(recording, task_model.model)
    what, each = ("motion", "clips") if config.dataset is None else ("dataset", "episodes")
    console.print(f"{what}: {recording.path}, {recording.count} {each}")
    title = f"{config.task.name}: {recording.path.name}"
    return stage, Nobody(), Labels(title, {}, recording.ctrl_dt, is_steered=False)
