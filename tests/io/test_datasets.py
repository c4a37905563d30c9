import json

import minari
import numpy as np
import pytest
from minari.dataset.minari_dataset import parse_dataset_id

from ksim_cli.errors import UserError
from ksim_cli.io.datasets import EpisodeWriter, choose_id

T, N, SIZE = 5, 3, 4


def rollout(number, terminations=(), truncations=()):
    """A rollout whose numbers say where they come from: 100 * rollout + 10 * step + env."""
    base = 100.0 * number + 10.0 * np.arange(T)[:, None] + np.arange(N)[None]
    flags = np.zeros((2, T, N), bool)
    for i, places in enumerate((terminations, truncations)):
        for t, n in places:
            flags[i, t, n] = True
    spread = lambda x, k: np.repeat(x[..., None], k, -1).astype(np.float32)  # noqa: E731
    rows = {
        "observations": spread(base, SIZE),
        "actions": spread(base + 0.1, 2),
        "rewards": (base + 0.2).astype(np.float32),
        "terminations": flags[0],
        "truncations": flags[1],
    }
    return rows, spread(base + 0.5, SIZE)


def load(path):
    dataset = minari.MinariDataset(path / "data")
    return dataset, list(dataset.iterate_episodes())


def test_episodes_span_rollouts_and_end_where_they_end(tmp_path):
    with EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {"task": "toy task"}) as writer:
        writer.add_rollout(*rollout(0, terminations=[(2, 0)], truncations=[(4, 1)]))
        assert writer.total_episodes == 2
        writer.add_rollout(*rollout(1, terminations=[(1, 0)], truncations=[(0, 2)]))
    dataset, episodes = load(tmp_path / "d")
    assert dataset.total_steps == 2 * T * N == sum(len(e.rewards) for e in episodes)
    by_start = {float(e.observations[0, 0]): e for e in episodes}
    first = by_start[0.0]
    np.testing.assert_allclose(first.observations[:, 0], [0, 10, 20, 20.5])
    np.testing.assert_allclose(first.actions[:, 1], [0.1, 10.1, 20.1], rtol=1e-6)
    assert first.terminations.tolist() == [False, False, True] and not first.truncations.any()
    spanning = by_start[30.0]
    np.testing.assert_allclose(spanning.observations[:, 0], [30, 40, 100, 110, 110.5])
    np.testing.assert_allclose(spanning.rewards, [30.2, 40.2, 100.2, 110.2], rtol=1e-6)
    assert spanning.terminations[-1]
    other = by_start[2.0]
    assert len(other.rewards) == 6 and other.truncations[-1] and not other.terminations.any()
    # Three environments were under way at the end: cut there, and counted.
    metadata = json.loads((tmp_path / "d" / "data" / "metadata.json").read_text())
    assert metadata["ksim"] == {"task": "toy task", "cut_at_end": 3}
    assert by_start[120.0].truncations.tolist() == [False, False, True]
    assert dataset.observation_space.shape == (SIZE,) and dataset.action_space.shape == (2,)


def test_what_is_on_disk_is_consistent_after_every_rollout(tmp_path):
    writer = EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {"task": "t"})
    writer.add_rollout(*rollout(0, terminations=[(2, 0), (3, 1)]))
    metadata = json.loads((tmp_path / "d" / "data" / "metadata.json").read_text())
    assert metadata["total_episodes"] == 2 and metadata["total_steps"] == 3 + 4
    writer.close()


def test_a_dataset_is_not_written_over(tmp_path):
    EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {}).close()
    with pytest.raises(UserError, match="holds a dataset already"):
        EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {})


def test_an_error_while_recording_keeps_what_was_recorded(tmp_path):
    with (
        pytest.raises(RuntimeError),
        EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {"task": "t"}) as writer,
    ):
        writer.add_rollout(*rollout(0))
        raise RuntimeError
    assert load(tmp_path / "d")[0].total_episodes == N


def test_a_dataset_in_minaris_folder_is_in_its_list(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    ids = []
    for run in ("one", "two"):
        path = tmp_path / "toy" / f"{run}-v0"
        ids.append(choose_id(None, path, "toy task", run))
        with EpisodeWriter(path, SIZE, 2, ids[-1], {"task": "toy task"}) as writer:
            writer.add_rollout(*rollout(0, terminations=[(2, 0)]))
    assert set(minari.list_local_datasets()) == set(ids) == {"toy/one-v0", "toy/two-v0"}
    assert minari.load_dataset("toy/one-v0").total_episodes == 1 + N


@pytest.mark.parametrize(
    ("asked", "task", "run", "chosen"),
    [
        (None, "cartpole", "2025-01-02_03-04-05-8", "cartpole/2025-01-02_03-04-05-8-v0"),
        (None, "my robots/a b", "x.y", "my-robots-a-b/x-y-v0"),
        (None, "...", "", "task/run-v0"),
        (None, "t", "r", "task-t/r-v0"),
        ("mine-v3", "t", "r", "mine-v3"),
        ("space/sub/mine-v0", "t", "r", "space/sub/mine-v0"),
    ],
)
def test_a_name_by_minaris_rule(tmp_path, asked, task, run, chosen):
    assert choose_id(asked, tmp_path / "elsewhere", task, run) == chosen
    assert parse_dataset_id(chosen)


@pytest.mark.parametrize("asked", ["mine", "mine-v", "a b-v0", "/mine-v0", "../mine-v0"])
def test_a_name_against_minaris_rule_is_refused(tmp_path, asked):
    with pytest.raises(UserError, match="Minari wants"):
        choose_id(asked, tmp_path, "t", "r")


def test_in_minaris_folder_the_name_is_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with pytest.raises(UserError, match="must be the dataset's path there, ab/one-v0"):
        choose_id("ab/two-v0", tmp_path / "ab" / "one-v0", "t", "r")
    with pytest.raises(UserError, match="dataset_save_path="):
        choose_id(None, tmp_path / "one", "t", "r")


def test_a_dataset_is_closed_once(tmp_path):
    writer = EpisodeWriter(tmp_path / "d", SIZE, 2, "toy/d-v0", {"task": "t"})
    writer.add_rollout(*rollout(0))
    writer.close()
    writer.close()
    assert load(tmp_path / "d")[0].total_episodes == N
