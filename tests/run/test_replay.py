"""A dataset is shown as it was recorded: step by step, and as a video."""

import h5py
import imageio_ffmpeg
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.recordings import read_recording
from ksim_cli.run.build import make_task_model
from ksim_cli.run.replay import Nobody, Replay
from ksim_cli.run.session import Wishes
from tests.helpers import tiny_cartpole
from tests.run.commands import TINY, ksim, ksim_process


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with a dataset of a policy that was never trained."""
    folder = tmp_path_factory.mktemp("recorded")
    short = "terminations.time_limit.max_length_seconds=0.05"
    typed = ("task=cartpole", "policy=random", *TINY[1:4], "dataset_num_batches=3", short)
    ksim("collect", *typed, "dataset_save_path=data", cwd=folder, check=0)
    return folder


@pytest.fixture(scope="module")
def robot():
    return make_task_model(tiny_cartpole()).model


def test_each_step_is_the_one_that_was_recorded(recorded, robot):
    recording = read_recording(recorded / "data")
    assert (recording.task, recording.ctrl_dt) == ("cartpole", 0.01)
    replay, shown = Replay(recording, robot), []
    with h5py.File(recorded / "data" / "data" / "main_data.hdf5") as file:
        assert recording.count == len(file) > 1
        first, second = (file[f"episode_{i}"] for i in range(2))
        steps, following = len(first["rewards"]), len(second["rewards"])
        assert replay.state()[0].tolist() == first["infos/qpos"][0].tolist()
        shown = [replay.step(Wishes()) for _ in range(steps)]
        assert [each.ended for each in shown] == [False] * (steps - 1) + [True]
        assert replay.title == f"episode 0 of {recording.count}"
        for name, values in {
            "qpos": "infos/qpos",
            "qvel": "infos/qvel",
            "action": "actions",
            "reward": "rewards",
        }.items():
            got = np.stack([getattr(each, name) for each in shown])
            np.testing.assert_array_equal(got, first[values][:])
        seen = np.stack([each.obs["dataset"] for each in shown])
        np.testing.assert_array_equal(seen, first["observations"][:-1])
        names = set(first["infos/reward"])
        assert names and set(shown[0].rewards) == names
        # The next episode follows by itself, and on demand; after the last comes the first.
        np.testing.assert_array_equal(replay.step(Wishes()).qpos, second["infos/qpos"][0])
        assert replay.title.startswith("episode 1") and len(replay) == following
    for _ in range(recording.count - 1):
        replay.restart()
    assert replay.title.startswith("episode 0") and replay.shown is None
    assert Nobody().names() == () and Nobody().newer() is None


def test_a_video_of_an_episode(recorded, opengl):
    # Beside another run's folder: the dataset says which task it is of.
    typed = ("dataset=data", "viewer=video", "render_fps=100")
    done = ksim_process("view", *typed, cwd=recorded)
    assert done.returncode == 0, done.stderr
    video = recorded / "data" / "videos" / "dataset.mp4"
    frames = imageio_ffmpeg.count_frames_and_secs(str(video))[0]
    with h5py.File(recorded / "data" / "data" / "main_data.hdf5") as file:
        assert frames == len(file["episode_0"]["rewards"])
    assert f"written: data/videos/dataset.mp4, {frames / 100:.1f} s" in done.stdout


def test_what_is_no_dataset_or_of_another_robot_is_one_message(recorded, tmp_path, robot):
    with pytest.raises(UserError, match=r"no dataset there\. Name the folder"):
        read_recording(tmp_path)
    other = mujoco.MjModel.from_xml_string("<mujoco/>")
    with pytest.raises(UserError, match="2 positions and 2 velocities, that of this task 0 and 0"):
        Replay(read_recording(recorded / "data"), other)
    done = ksim("view", f"dataset={tmp_path}", cwd=recorded, check=2)
    assert "no dataset there" in done.stderr
