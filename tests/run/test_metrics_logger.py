import dataclasses
import json

import numpy as np
import pytest

from ksim_cli.config.saved import config_text
from ksim_cli.io.loggers import Loggers
from ksim_cli.io.runs import RunFolder
from ksim_cli.run.metrics_logger import AGAIN, MetricsLogger, mean_over_seeds, scalars
from tests.helpers import tiny_cartpole


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scalars_are_plain_and_nothing_is_null():
    (row,) = scalars({"a": np.float32(1.5), "b": np.float32("nan"), "n": np.int32(3)})
    assert row["a"] == 1.5 and row["b"] is None and row["n"] == 3
    assert isinstance(row["n"], int) and row["eval_episode_return_mean"] is None


def test_each_seed_has_its_row():
    first, second = scalars({"a": np.array([1.0, np.inf]), "n": np.array([3, 4])}, num_seeds=2)
    assert (first["a"], first["n"]) == (1.0, 3) and (second["a"], second["n"]) == (None, 4)


def test_mean_over_seeds_is_the_mean_of_what_was_measured_and_the_sum_of_counts():
    rows = [
        {"a": 1.0, "b": None, "n": 3},
        {"a": 2.0, "b": 4.0, "n": 4},
        {"a": 6.0, "b": None, "n": 0},
    ]
    assert mean_over_seeds(rows) == {"a": 3.0, "b": 4.0, "n": 7}
    assert mean_over_seeds([{"a": None}, {"a": None}]) == {"a": None}
    assert mean_over_seeds(rows[:1]) == rows[0] and mean_over_seeds(rows[:1]) is not rows[0]


def test_rows_of_several_seeds_go_to_a_file_of_all_and_to_one_each(tmp_path):
    config = tiny_cartpole(seed=5, num_seeds=2)
    logger = MetricsLogger(RunFolder(tmp_path), config, print)
    for iteration in (1, 2, 3):
        with logger:
            logger.append(
                {"iteration": iteration}, [{"a": 1.0 * iteration}, {"a": 3.0 * iteration}]
            )
    assert [row["a"] for row in read(tmp_path / "metrics.jsonl")] == [2.0, 4.0, 6.0]
    assert read(tmp_path / "seeds" / "6" / "metrics.jsonl")[1] == {"iteration": 2, "a": 6.0}
    logger.truncate_after(1)
    for name in ("metrics.jsonl", "seeds/5/metrics.jsonl", "seeds/6/metrics.jsonl"):
        assert [row["iteration"] for row in read(tmp_path / name)] == [1]


def test_one_seed_has_no_folder_of_its_own(tmp_path):
    with MetricsLogger(RunFolder(tmp_path), tiny_cartpole(), print) as logger:
        logger.append({"iteration": 1}, [{"a": 1.0}])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_an_extra_logger_sees_the_whole_configuration(tmp_path, monkeypatch):
    seen = {}

    def open_loggers(names, folder, config, iteration, warn):
        seen.update(names=names, cut_back_to=iteration, **config)
        return Loggers({}, warn)

    monkeypatch.setattr("ksim_cli.run.metrics_logger.open_loggers", open_loggers)
    config = tiny_cartpole(seed=5)
    config = dataclasses.replace(
        config, logger=dataclasses.replace(config.logger, wandb=True, wandb_project="robots")
    )
    with MetricsLogger(RunFolder(tmp_path), config, print) as logger:
        logger.open_loggers(7)
    assert seen["cut_back_to"] == 7
    assert seen["names"] == ["wandb"] and seen["seed"] == 5
    assert seen["logger"]["wandb_project"] == "robots"


def test_a_resumed_run_gives_extra_loggers_the_last_rows_again(tmp_path, monkeypatch):
    class Seen(Loggers):
        def log(self, row):
            again.append(row["iteration"])

    def open_loggers(names, folder, config, iteration, warn):
        cut_back_to.append(iteration)
        return Seen({}, warn)

    again, cut_back_to = [], []
    monkeypatch.setattr("ksim_cli.run.metrics_logger.open_loggers", open_loggers)
    config = tiny_cartpole()
    config = dataclasses.replace(config, logger=dataclasses.replace(config.logger, wandb=True))
    RunFolder(tmp_path).config.write_text(config_text(config))
    config = dataclasses.replace(config, num_iterations=999)  # which shapes no row
    with MetricsLogger(RunFolder(tmp_path), config, pytest.fail) as logger:
        logger.open_loggers(300)  # its rows are gone
        for iteration in range(1, 400):
            logger.append({"iteration": iteration}, [{}])
        again.clear()
        logger.open_loggers(300)
        logger.open_loggers(0)
    assert cut_back_to == [300, 300 - AGAIN, 0]
    assert again == list(range(301 - AGAIN, 301))
    warnings = []
    config = dataclasses.replace(config, algo={**config.algo, "gamma": 0.5})
    with MetricsLogger(RunFolder(tmp_path), config, warnings.append) as logger:
        logger.open_loggers(399)  # nothing was lost, so nothing differs
        assert not warnings
        logger.open_loggers(300)
    (warning,) = warnings
    assert "iterations 301 to 399, of before algo.gamma changed" in warning
