import contextlib
import subprocess
import sys

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from PIL import Image

from ksim_cli.config.schema import RenderKeys
from ksim_cli.errors import UserError
from ksim_cli.view.video import Recorder, write_frames, write_video
from tests.helpers import SMALL


def frames(count=12, height=33, width=47):
    """Grey that brightens."""
    return [np.full((height, width, 3), 15 * i, np.uint8) for i in range(count)]


def test_an_mp4_has_every_frame_and_even_sizes(tmp_path):
    write_video(tmp_path / "v.mp4", frames(), fps=24)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "v.mp4"))
    assert count == 12 and abs(seconds - 0.5) < 0.05
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "v.mp4"))
    assert next(reader)["size"] == (46, 32)
    reader.close()


def durations(path):
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            yield image.info["duration"]


@pytest.mark.parametrize("fps", range(1, 61))
def test_a_gif_lasts_as_long_as_what_it_shows(tmp_path, fps):
    pictures = [np.full((2, 2, 3), 20 * (i % 12), np.uint8) for i in range(10 * fps)]
    assert write_video(tmp_path / "v.gif", pictures, fps) == 10 * fps
    shown = list(durations(tmp_path / "v.gif"))
    assert abs(sum(shown) - 10_000) <= 20
    assert min(shown) >= 20, "viewers show nothing for less"


def test_a_video_is_there_whole_or_not_at_all(tmp_path):
    def broken():
        yield from frames()
        raise RuntimeError

    for suffix in ("mp4", "gif"):
        (tmp_path / f"v.{suffix}").write_bytes(b"before")
        with pytest.raises(RuntimeError):
            write_video(tmp_path / f"v.{suffix}", broken(), fps=24)
        assert (tmp_path / f"v.{suffix}").read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"v.mp4", "v.gif"}


def test_frames_as_pictures(tmp_path):
    write_frames(tmp_path / "f", frames(3))
    assert [p.name for p in sorted((tmp_path / "f").iterdir())] == [
        f"0000{i}.png" for i in range(3)
    ]
    with Image.open(tmp_path / "f" / "00002.png") as image:
        assert np.asarray(image)[0, 0].tolist() == [30, 30, 30]


RENDER = """
import sys
import numpy as np
from ksim_cli.io.gl import pick_gl
pick_gl(None)
import mujoco
from ksim_cli.config.schema import RenderKeys
from ksim_cli.view.video import Recorder
model = mujoco.MjModel.from_xml_string(sys.argv[1])
keys = RenderKeys(render_width=900, render_height=500, render_distance=2.0, render_lookat=[1, 0, 1])
recorder = Recorder(model, keys)
still = recorder.frame(model.qpos0, np.zeros(model.nv))
assert still.shape == (500, 900, 3) and still.std() > 1, "a blank picture"
moved = model.qpos0.copy()
moved[7] = 1.0
assert (recorder.frame(moved, np.zeros(model.nv)) != still).mean() > 0.001
"""


@pytest.mark.usefixtures("opengl")
def test_a_picture_shows_the_state():
    done = subprocess.run(
        [sys.executable, "-c", RENDER, SMALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"render_camera_name": "sied"}, "no such camera. The model has: (none)"),
        ({"render_track_body_id": 9}, "0 world, 1 ball, 2 upper, 3 lower"),
    ],
)
def test_a_camera_that_is_not_there_is_refused(keys, message):
    with pytest.raises(UserError) as error:
        Recorder(mujoco.MjModel.from_xml_string(SMALL), RenderKeys(**keys))
    assert message in str(error.value)


def test_nothing_is_logged_to_a_file(tmp_path, monkeypatch):
    """MuJoCo would warn of states of a dump in MUJOCO_LOG.TXT, in the current folder."""
    monkeypatch.chdir(tmp_path)
    before, chatty = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
    chatty.logto_file = True
    chatty.set()
    try:
        with contextlib.suppress(UserError):  # no such camera, and no need of OpenGL
            model = mujoco.MjModel.from_xml_string("<mujoco/>")
            Recorder(model, RenderKeys(render_camera_name="nowhere"))
        assert not mujoco.MjLogConfig.get().logto_file
    finally:
        before.set()
