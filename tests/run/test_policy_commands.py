"""eval, collect and view on a real run."""

import json
import shutil

import minari
import numpy as np
import pytest
import yaml

from tests.run.commands import ksim, ksim_process


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    """A copy of the finished run, to be written into."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    return folder, folder / finished.run.relative_to(finished.folder)


def test_eval_takes_the_newest_run_says_so_and_repeats_itself(trained):
    folder, run = trained
    done = ksim("eval", "num_episodes=3", cwd=folder, check=0)
    assert run.name in done.stdout
    facts = json.loads((run / "eval.json").read_text())
    assert facts["num_episodes"] == 3 == len(facts["episode_returns"])
    np.testing.assert_allclose(facts["episode_return_mean"], np.mean(facts["episode_returns"]))
    np.testing.assert_allclose(facts["episode_return_std"], np.std(facts["episode_returns"]))
    assert facts["episode_length_mean"] == 1000
    ksim("eval", f"checkpoint={run}", "num_episodes=3", cwd=folder, check=0)
    again = json.loads((run / "eval.json").read_text())
    assert again["episode_returns"] == facts["episode_returns"]


def test_the_final_evaluation_of_training_is_what_eval_gives(trained):
    folder, run = trained
    ksim("eval", "num_episodes=2", cwd=folder, check=0)
    summary = json.loads((run / "summary.json").read_text())
    facts = json.loads((run / "eval.json").read_text())
    assert facts["episode_return_mean"] == summary["eval_return_mean"]


def test_a_policy_of_zeros_needs_no_checkpoint(tmp_path):
    ksim(
        *("eval", "task=cartpole", "policy=zero", "num_episodes=2", "num_envs=2", "batch_size=1"),
        cwd=tmp_path,
        check=0,
    )
    facts = json.loads((tmp_path / "eval.json").read_text())
    assert facts["policy"] == "zero" and facts["checkpoint"] is None


def test_a_group_named_anew_replaces_what_the_run_saved(trained):
    folder, run = trained
    done = ksim("eval", f"checkpoint={run}", "rewards=none", "--cfg", "job", cwd=folder, check=0)
    shown = yaml.safe_load(done.stdout)
    assert shown["rewards"] == {}
    assert shown["num_envs"] == 8, "the rest is the run's"


def test_collect_writes_a_dataset_that_minari_loads(trained):
    folder, run = trained
    done = ksim(
        *("collect", "dataset_num_batches=3", "rollout_length_frames=500"), cwd=folder, check=0
    )
    assert run.name in done.stdout and "12,000 steps" in done.stdout
    (data,) = (run / "datasets").glob("*/data")
    dataset = minari.MinariDataset(data)
    assert dataset.total_steps == 3 * 500 * 8
    episodes = list(dataset.iterate_episodes())
    # 1500 steps in each environment: one whole episode, and one that is cut at the end.
    assert len(episodes) == dataset.total_episodes == 16
    assert sorted(len(e.rewards) for e in episodes) == [500] * 8 + [1000] * 8
    for episode in episodes:
        assert len(episode.observations) == len(episode.rewards) + 1
        assert episode.truncations[-1] and not episode.truncations[:-1].any()
        assert not episode.terminations.any()
    again = ksim("collect", cwd=folder, check=2)
    assert "holds a dataset already" in again.stderr


def test_collect_with_the_mode_is_deterministic_in_the_state(trained):
    folder, _ = trained
    ksim(
        *("collect", "collect_dataset_argmax_action=true", "rollout_length_frames=20"),
        *("dataset_save_path=mode", "seed=5"),
        cwd=folder,
        check=0,
    )
    dataset = minari.MinariDataset(folder / "mode" / "data")
    actions = np.concatenate([e.actions for e in dataset.iterate_episodes()])
    # An untrained actor's mode is near zero; a sample would have a deviation of one.
    assert np.abs(actions).max() < 0.5


def test_without_any_run_the_message_says_what_to_do(tmp_path):
    for command in ("eval", "view", "collect"):
        done = ksim(command, cwd=tmp_path, check=2)
        assert "ksim train task=" in done.stderr and "Traceback" not in done.stderr


def test_view_renders_a_video(trained):
    pytest.importorskip("imageio_ffmpeg")
    folder, run = trained
    arguments = ("view", "viewer_num_seconds=0.5", "render=small", "render_fps=20")
    # MuJoCo chooses how it renders when it is imported, and here it is imported already.
    done = ksim_process(*arguments, cwd=folder)
    if done.returncode == 2 and "no OpenGL" in done.stderr:
        pytest.skip("no OpenGL on this machine")
    assert done.returncode == 0, done.stderr
    (video,) = (run / "videos").glob("*.mp4")
    import imageio_ffmpeg

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
