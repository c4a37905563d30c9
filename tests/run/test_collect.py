"""`ksim collect` on a real run."""

import json

import minari
import numpy as np

from ksim_cli.motion.files import read_motions
from tests.run.commands import ksim


def test_collect_writes_a_dataset_that_minari_loads(trained):
    folder, run = trained
    done = ksim(
        *("collect", "dataset_num_batches=3", "rollout_length_frames=25"), cwd=folder, check=0
    )
    assert run.name in done.stdout and "600 steps" in done.stdout
    (data,) = (run / "datasets").glob("*/data")
    dataset = minari.MinariDataset(data)
    assert dataset.total_steps == 3 * 25 * 8
    episodes = list(dataset.iterate_episodes())
    # 75 steps in each environment: one whole episode, and one that is cut at the end.
    assert len(episodes) == dataset.total_episodes == 16
    assert sorted(len(e.rewards) for e in episodes) == [25] * 8 + [50] * 8
    for episode in episodes:
        assert len(episode.observations) == len(episode.rewards) + 1
        assert episode.truncations[-1] and not episode.truncations[:-1].any()
        assert not episode.terminations.any()
    facts = json.loads((data / "metadata.json").read_text())["ksim"]
    assert facts["joint_names"] == ["slider", "hinge"]
    assert facts["joint_types"] == ["slide", "hinge"]
    (first, *_) = read_motions(data.parent)
    assert first.joint_names == ("slider", "hinge") and first.qpos.shape[1] == 2
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
