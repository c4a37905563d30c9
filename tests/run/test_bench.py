"""On the other engine it measures in tests/run/test_devices.py."""

import json

import pytest

from tests.run.commands import TINY, TINY_MJX, check_bench, ksim


def test_a_table_and_one_line_of_json(tmp_path):
    done = ksim("bench", *TINY, "bench_seconds=0.1", cwd=tmp_path, check=0)
    facts = check_bench(done.stdout)
    assert facts["engine"] == "mujoco" and facts["num_envs"] == 8
    assert list(tmp_path.iterdir()) == [], "a measurement leaves nothing behind"


@pytest.mark.slow
def test_a_sweep_measures_each_size(tmp_path):
    done = ksim(
        "bench",
        "-m",
        *(key for key in TINY if not key.startswith("num_envs")),
        "num_envs=4,8",
        "bench_seconds=0.1",
        cwd=tmp_path,
        check=0,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["num_envs"] for line in lines] == [4, 8]


def test_it_measures_one_seed(tmp_path):
    done = ksim("bench", *TINY_MJX, "num_seeds=2", cwd=tmp_path, check=2)
    assert "num_seeds=2: ksim bench measures one" in done.stderr


def test_it_needs_no_run(tmp_path):
    done = ksim("bench", *TINY, "checkpoint=latest", cwd=tmp_path, check=2)
    assert "ksim bench takes no run" in done.stderr
