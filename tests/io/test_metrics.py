import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io import metrics
from ksim_cli.io.metrics import Loggers, MetricsLog, open_loggers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def filled(path: Path, iterations: int) -> MetricsLog:
    log = MetricsLog(path)
    for iteration in range(iterations):
        log.append({"iteration": iteration, "return": iteration / 3})
    return log


def test_rows_are_lines_of_json_in_the_order_given(path: Path):
    with MetricsLog(path) as log:
        log.append({"return": np.float32(0.5), "iteration": np.int64(1), "a": float("nan")})
        log.append({"iteration": 2, "b": float("-inf"), "c": None, "d": "é"})
        lines = path.read_text().splitlines()  # before close: a kill here takes nothing back
    assert lines[0] == '{"return": 0.5, "iteration": 1, "a": null}'
    assert json.loads(lines[1]) == {"iteration": 2, "b": None, "c": None, "d": "é"}
    assert [row["iteration"] for row in MetricsLog(path).read()] == [1, 2]


def test_floats_come_back_exactly(path: Path):
    values = np.random.default_rng(0).standard_normal(100).tolist()
    with MetricsLog(path) as log:
        log.append({"iteration": 0, "values": values})
        assert log.read()[0]["values"] == values


@pytest.mark.parametrize("row", [{}, {"iteration": None}, {"iteration": 1.5}, {"iteration": True}])
def test_a_row_needs_its_iteration(path: Path, row: dict):
    with pytest.raises(ValueError, match="iteration"):
        MetricsLog(path).append(row)
    assert not path.exists()


def test_truncate_after_keeps_the_bytes_of_the_rest(path: Path):
    log = filled(path, 10)
    before = path.read_bytes().splitlines(keepends=True)
    log.truncate_after(4)
    assert path.read_bytes() == b"".join(before[:5])
    log.append({"iteration": 5})
    assert [row["iteration"] for row in log.read()] == list(range(6))
    log.close()
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_truncate_after_where_there_is_nothing(path: Path):
    MetricsLog(path).truncate_after(3)
    assert not path.exists()
    assert MetricsLog(path).read() == []


@pytest.mark.parametrize("torn", [b'{"iteration": 3, "re', b"\0\0\0", b'{"iteration": 3}'])
def test_a_torn_last_line_is_dropped(path: Path, torn: bytes):
    filled(path, 3).close()
    good = path.read_bytes()
    path.write_bytes(good + torn)
    assert len(MetricsLog(path).read()) == 3
    MetricsLog(path).truncate_after(99)
    assert path.read_bytes() == good
    path.write_bytes(good + torn)
    with MetricsLog(path) as log:
        log.append({"iteration": 3})
        assert [row["iteration"] for row in log.read()] == [0, 1, 2, 3]


def test_a_broken_line_in_the_middle_is_named(path: Path):
    filled(path, 3).close()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "nonsense", lines[2], ""]))
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not a row"):
        MetricsLog(path).read()


class Fake:
    """A sink that remembers its rows, and raises from its `fails_at`-th row on."""

    def __init__(self, fails_at: int = 10**9, on_close: bool = False) -> None:
        self.rows: list[dict] = []
        self.fails_at = fails_at
        self.on_close = on_close
        self.closed = 0

    def log(self, row: dict) -> None:
        if len(self.rows) >= self.fails_at:
            raise ConnectionError("service is down")
        self.rows.append(row)
        row["touched"] = True  # must reach neither the other sinks nor the caller

    def close(self) -> None:
        self.closed += 1
        if self.on_close:
            raise ConnectionError("service is down")


def test_a_sink_that_raises_is_named_once_and_left_out():
    warnings: list[str] = []
    bad, good = Fake(fails_at=2), Fake()
    loggers = Loggers({"bad": bad, "good": good}, warnings.append)
    row = {"iteration": 0, "x": float("nan")}
    for _ in range(100):
        loggers.log(row)
    assert len(warnings) == 1
    assert "logger bad failed" in warnings[0] and "service is down" in warnings[0]
    assert loggers.names == ["good"]
    assert len(good.rows) == 100
    assert good.rows[0] == {"iteration": 0, "x": None, "touched": True}
    assert row.keys() == {"iteration", "x"}


def test_a_sink_that_raises_at_its_end_is_named():
    warnings: list[str] = []
    bad, good = Fake(on_close=True), Fake()
    loggers = Loggers({"bad": bad, "good": good}, warnings.append)
    loggers.close()
    loggers.close()
    assert (bad.closed, good.closed, len(warnings)) == (1, 1, 1)


def test_an_unknown_logger_names_the_nearest(tmp_path: Path):
    with pytest.raises(UserError, match="Did you mean 'wandb'"):
        open_loggers(["wandbb"], tmp_path, {}, pytest.fail)
    assert open_loggers([], tmp_path, {}, pytest.fail).names == []


@pytest.mark.parametrize(("name", "module"), [("wandb", "wandb"), ("tensorboard", "tensorboardX")])
def test_a_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch, name: str, module: str
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"pip install 'ksim\[{name}\]'"):
        open_loggers([name], tmp_path, {}, pytest.fail)


def test_a_sink_that_cannot_start_is_the_users_to_mend(tmp_path: Path, monkeypatch):
    def refuse(folder: Path, config: dict) -> None:
        raise RuntimeError("no API key")

    monkeypatch.setattr(metrics, "_SINKS", {"wandb": refuse})
    with pytest.raises(UserError, match=r"logger\.wandb cannot start: no API key"):
        open_loggers(["wandb"], tmp_path, {}, pytest.fail)


def test_wandb_gets_project_config_rows_and_the_same_id_again(tmp_path: Path, monkeypatch):
    calls: list[tuple] = []
    run = types.SimpleNamespace(
        log=lambda row, step: calls.append((row, step)), finish=lambda: calls.append("finish")
    )
    module = types.SimpleNamespace(init=lambda **given: (calls.append(given), run)[1])
    monkeypatch.setitem(sys.modules, "wandb", module)
    config = {"seed": 1, "logger": {"wandb_project": "robots"}}
    for _ in range(2):
        loggers = open_loggers(["wandb"], tmp_path, config, pytest.fail)
        loggers.log({"iteration": 3, "return": 1.0, "loss": float("nan")})
        loggers.close()
    first, row, end, second, *_ = calls
    assert (first["project"], first["config"], first["resume"]) == ("robots", config, "allow")
    assert first["id"] == second["id"]
    assert row == ({"iteration": 3, "return": 1.0}, 3)
    assert end == "finish"


def test_tensorboard_writes_scalars(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    loggers = open_loggers(["tensorboard"], tmp_path, {}, pytest.fail)
    loggers.log({"iteration": 3, "return": 1.5, "task": "cartpole", "loss": None})
    loggers.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"return" in content and b"loss" not in content
