import json
from pathlib import Path

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.metrics import MetricsLog


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
