"""The process that draws beside training: `python -m ksim_cli.view.drawer`, of low priority.

It reads messages from standard input and answers each by a line of JSON. A message is a line with
two lengths, a header in JSON and a payload. The first holds the keys and the model, as MuJoCo
writes it; each that follows holds one episode as arrays. At the end of the input it leaves at once.
"""

import io
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ksim_cli.config.schema import RenderKeys
from ksim_cli.errors import UserError
from ksim_cli.io.files import make_folder
from ksim_cli.io.gl import pick_gl

_NICE = 10
"""What is left of the processors is enough; starved, a picture would be late each time."""

_LEAVING_SECONDS = 5.0
"""For what is being written to be taken back, once the input has ended."""

Message = tuple[Mapping[str, Any], bytes]


def packed(header: Mapping[str, Any], payload: bytes) -> bytes:
    """A message."""
    text = json.dumps(header).encode()
    return b"%d %d\n" % (len(text), len(payload)) + text + payload


def arrays_as_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The payload of an episode."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def messages(stream: BinaryIO) -> Iterator[Message]:
    """The messages of a stream, until it ends."""
    while line := stream.readline():
        size, rest = map(int, line.split())
        header, payload = stream.read(size), stream.read(rest)
        if len(payload) < rest:
            return
        yield json.loads(header), payload


class _EndedError(Exception):
    """The input has ended: whoever asked is gone."""


class _Inbox:
    """Messages, read by a thread that also notices the end of the input."""

    def __init__(self, stream: BinaryIO) -> None:
        self.ended = threading.Event()
        self._messages: queue.Queue[Message | None] = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: BinaryIO) -> None:
        for message in messages(stream):
            self._messages.put(message)
        self.ended.set()
        self._messages.put(None)
        time.sleep(_LEAVING_SECONDS)
        os._exit(0)  # amid a picture that does not end

    def __iter__(self) -> Iterator[Message]:
        while (message := self._messages.get()) is not None:
            yield message


def _answer(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def _video(recorder: Any, job: Mapping[str, Any], arrays: Any, inbox: _Inbox) -> list[str]:
    """Writes an episode as a video; the files."""
    # Late: which library draws is decided before MuJoCo is imported.
    from ksim_cli.view.markers import Markers
    from ksim_cli.view.overlay import caption, write_overlay
    from ksim_cli.view.video import write_video

    rest = (arrays[f"marker_{name}"] for name in ("rgba", "position", "quaternion", "size"))
    markers = Markers(tuple(job["shapes"]), *rest)

    def frames() -> Iterator[np.ndarray]:
        for i in range(len(arrays["qpos"])):
            if inbox.ended.is_set():
                raise _EndedError
            shown = markers.at(i) if job["markers"] else None
            frame = recorder.frame(arrays["qpos"][i], arrays["qvel"][i], shown)
            if job["overlay"]:
                number, seconds, reward = (arrays[name][i] for name in ("step", "time", "reward"))
                frame = write_overlay(frame, caption(int(number), float(seconds), float(reward)))
            yield frame

    paths = [Path(each) for each in job["videos"]]
    pictures, fps = list(frames()), job["fps"]
    shrink = -(-pictures[0].shape[1] // job["gif_width"])
    for path in paths:
        make_folder(path.parent)
        is_gif = path.suffix == ".gif"  # large where pictures are, and slow to make
        write_video(path, [x[::shrink, ::shrink] for x in pictures] if is_gif else pictures, fps)
    return [str(path) for path in paths]


def _plots(job: Mapping[str, Any], arrays: Any) -> list[str]:
    from ksim_cli.view.plots import Plot, write_plot

    files: list[str] = []
    for i, plot in enumerate(job["plots"]):
        series = dict(zip(plot["names"], arrays[f"plot_{i}"], strict=True))
        path = Path(plot["path"])
        make_folder(path.parent)
        write_plot(path, Plot(plot["title"], plot["size"], series), arrays["plot_time"])
        files.append(str(path))
    return files


def main() -> None:
    """Draws until the input ends."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    inbox = iter(reader := _Inbox(sys.stdin.buffer))
    start, model_bytes = next(inbox)
    keys, recorders = RenderKeys(**start["keys"]), dict[bool, Any]()
    try:
        pick_gl(keys.render_with_glfw)
        import mujoco

        from ksim_cli.view.scene import Camera
        from ksim_cli.view.video import Recorder

        mujoco.set_mju_user_warning(lambda text: None)  # it would leave a file behind
        model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": model_bytes})
        said: list[str] = []
        camera = Camera(model, keys, start["typed"], said.append)
        _answer(ready=True, said=said)
        for job, payload in inbox:
            with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
                if job["small"] not in recorders:
                    recorders[job["small"]] = Recorder(model, keys, camera, job["small"])
                videos = _video(recorders[job["small"]], job, arrays, reader)
                plots = _plots(job, arrays)
            _answer(iteration=job["iteration"], videos=videos, plots=plots)
    except _EndedError:
        return
    except (UserError, OSError) as error:
        _answer(failed=str(error))


if __name__ == "__main__":
    main()
