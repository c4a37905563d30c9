"""`ksim view` on a real run."""

import dataclasses

import numpy as np
import pytest

from ksim_cli.io.dumps import Dump, write_dump
from ksim_cli.run import view
from tests.helpers import run_config
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


@pytest.mark.parametrize(
    ("ctrl_dt", "fps", "slowdown"), [(0.01, 30, 1), (0.05, 30, 2), (0.02, 50, 1)]
)
def test_a_video_lasts_as_long_as_what_it_shows(ctrl_dt, fps, slowdown):
    config = run_config("task=cartpole", f"render_fps={fps}", f"render_slowdown={slowdown}")
    config = dataclasses.replace(config, ctrl_dt=ctrl_dt)
    steps = [(i, i) for i in range(200)]
    frames = [i for i, _ in view._at_frames(config, iter(steps))]
    assert frames == sorted(frames) and frames[0] == 0
    each = ctrl_dt * slowdown * fps
    assert len(frames) == pytest.approx(200 * each, abs=max(1, each))


def test_the_table_of_a_dump_needs_no_way_to_render(trained, monkeypatch):
    folder, run = trained
    arrays = {f"view/{name}": np.full((3, 2), 1.5) for name in ("qpos", "qvel")}
    arrays |= {"action": np.zeros((3, 1)), "step": 2, "env": 4, "iteration": 7}
    path = write_dump(run / "dumps", Dump("physics", arrays))
    monkeypatch.setenv("MUJOCO_GL", "disable")
    done = ksim_process("view", f"dump={path}", cwd=folder, check=2)
    assert "physics was at fault at step 2 of iteration 7, environment 4" in " ".join(
        done.stdout.split()
    )
    assert "libegl1" in done.stderr and not (folder / "MUJOCO_LOG.TXT").exists()


@pytest.mark.usefixtures("opengl")
def test_a_dump_is_replayed_in_real_time(trained):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    folder, run = trained
    arrays = {f"view/{name}": np.zeros((60, 2)) for name in ("qpos", "qvel")}
    arrays["view/qpos"][59] = np.nan
    arrays |= {"action": np.zeros((60, 1)), "step": 59, "env": 0, "iteration": 1}
    path = write_dump(run / "dumps", Dump("observations.position", arrays))
    ksim_process("view", f"dump={path}", "render=small", "render_fps=20", cwd=folder, check=0)
    _, seconds = imageio_ffmpeg.count_frames_and_secs(str(path.with_suffix(".mp4")))
    dt = run_config("task=cartpole").ctrl_dt
    np.testing.assert_allclose(seconds, 59 * dt, atol=0.06)
