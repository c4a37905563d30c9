"""The process that draws, as training has it."""

import dataclasses
import os
import signal
import subprocess
import time

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from PIL import Image

from ksim_cli.config.schema import RenderKeys
from ksim_cli.view import beside
from ksim_cli.view.beside import Beside
from ksim_cli.view.drawer import arrays_as_bytes
from tests.helpers import SMALL

SMALLEST = {"render_height_small": 32, "render_width_small": 48}


def started(**keys):
    model = mujoco.MjModel.from_xml_string(SMALL)
    payload = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, payload)
    every = dataclasses.asdict(RenderKeys(render_height=64, render_width=96, **SMALLEST, **keys))
    return Beside({"keys": every, "typed": []}, payload.tobytes())


def episode(folder, frames=3, small=True, **more):
    """Header and payload of an episode in which the ball falls."""
    header = {
        "iteration": 7,
        "small": small,
        "videos": [str(folder / "v.mp4"), str(folder / "v.gif")],
        "fps": 10,
        "gif_width": 48,
        "overlay": False,
        "markers": True,
        "shapes": ["sphere"],
        "plots": [
            {"title": "reward", "path": str(folder / "p.png"), "size": [4, 2], "names": ["a"]}
        ],
    }
    qpos = np.tile(mujoco.MjModel.from_xml_string(SMALL).qpos0, (frames, 1))
    qpos[:, 2] = np.linspace(1.0, 0.1, frames)
    arrays = {
        "qpos": qpos,
        "qvel": np.zeros((frames, 8)),
        **{name: np.arange(frames) for name in ("time", "reward", "step")},
        "marker_rgba": np.array([[1.0, 0.0, 0.0, 1.0]]),
        "marker_position": np.tile([0.5, 0.0, 0.5], (frames, 1, 1)),
        "marker_quaternion": np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1, 1)),
        "marker_size": np.full((frames, 1, 3), 0.2),
        "plot_time": np.arange(5),
        "plot_0": np.arange(5)[None],
    }
    return header | more, arrays_as_bytes(arrays)


def until(process, wanted, seconds=120):
    """The first answer that holds a word."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for answer in process.answers():
            if wanted in answer:
                return answer
        time.sleep(0.02)
    raise AssertionError(f"no {wanted}")


def first(path, height, width):
    """The first picture of a video of a known size."""
    read = (imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-frames:v", "1", "-f", "rawvideo")
    done = subprocess.run([*read, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    assert f", {width}x{height}" in done.stderr.decode()
    return np.frombuffer(done.stdout, np.uint8).reshape(height, width, 3).astype(int)


@pytest.mark.usefixtures("opengl")
def test_episodes_are_drawn_one_after_the_other_and_none_is_waited_for(tmp_path):
    process = started()
    try:
        assert not process.busy
        assert process.offer(*episode(tmp_path / "small"))
        assert process.busy and not process.offer(*episode(tmp_path)), "one at a time"
        done = until(process, "iteration")
        assert done["iteration"] == 7 and not process.busy
        assert done["plots"] == [str(tmp_path / "small" / "p.png")]
        assert first(tmp_path / "small" / "v.mp4", 32, 48).std() > 5
        assert process.offer(*episode(tmp_path / "full", small=False, overlay=True))
        until(process, "iteration")
        assert process.offer(*episode(tmp_path / "bare", small=False, markers=False))
        until(process, "iteration")
    finally:
        process.end()
    marked, bare = (first(tmp_path / name / "v.mp4", 64, 96) for name in ("full", "bare"))
    red = [(x[:, :, 0] - x[:, :, 1] > 60).sum() for x in (marked, bare)]
    assert red[0] > 10 * (red[1] + 1), "the marker is red, nothing else is"
    with Image.open(tmp_path / "full" / "v.gif") as picture:
        assert picture.size == (48, 32) and picture.n_frames == 3


@pytest.mark.usefixtures("opengl")
def test_it_is_of_low_priority_and_ends_when_it_is_told_to(tmp_path):
    process = started()
    until(process, "ready")
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= min(10, 19)
    assert os.getsid(process.pid) != os.getsid(0), "Ctrl-C is for training"
    process.offer(*episode(tmp_path, frames=100_000))
    time.sleep(0.3)
    process.end()
    assert not list(tmp_path.glob("*.mp4")), "not waited for; whole or not at all"
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_one_that_is_killed_is_noticed(tmp_path):
    process = started()
    process.offer(*episode(tmp_path))
    os.kill(process.pid, signal.SIGKILL)
    assert "-9" in until(process, "failed")["failed"]
    process.end()


def test_one_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(beside, "_LEAVING_SECONDS", 0.1)
    process = started()
    os.kill(process.pid, signal.SIGSTOP)
    process.offer(*episode(tmp_path))
    assert "no answer" in until(process, "failed")["failed"]
    process.end()


def test_where_nothing_can_be_rendered_it_says_so(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    process = started()
    assert "libegl1" in until(process, "failed")["failed"]
    process.end()


@pytest.mark.usefixtures("opengl")
def test_a_camera_that_the_model_lacks_is_told_once(tmp_path):
    process = started(render_camera_name="side")
    assert "render_camera_name=side" in until(process, "ready")["said"][0]
    process.end()
