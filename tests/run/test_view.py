"""`ksim view` on a real run."""

import numpy as np
import pytest

from tests.run.commands import ksim_process


@pytest.mark.usefixtures("opengl")
def test_view_renders_a_video(trained):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    folder, run = trained
    arguments = ("view", "viewer_num_seconds=0.5", "render=small", "render_fps=20")
    # MuJoCo chooses how it renders when it is imported, and here it is imported already.
    ksim_process(*arguments, cwd=folder, check=0)
    (video,) = (run / "videos").glob("*.mp4")
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(video))
    assert frames == 10
    np.testing.assert_allclose(seconds, 0.5, atol=0.06)
    ksim_process(
        *arguments, "viewer_save_video=false", "viewer_save_renders=true", cwd=folder, check=0
    )
    (picture,) = (run / "videos").glob("*.gif")
    from PIL import Image

    with Image.open(picture) as image:
        assert image.n_frames >= 2
    assert len(list(picture.with_suffix("").glob("*.png"))) == 10


def test_where_nothing_can_be_rendered_one_sentence_says_what_to_install(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.setenv("MUJOCO_GL", "disable")
    done = ksim_process("view", cwd=folder, check=2)
    assert "libegl1" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
