import json

import pytest

from tests.run.commands import ksim

TINY = ("task=cartpole", "num_envs=8", "batch_size=4", "rollout_length_frames=8")


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("engine", ["mujoco", "mjx"])
def test_a_table_and_one_line_of_json(tmp_path, engine):
    done = ksim("bench", *TINY, f"engine={engine}", "bench_seconds=0.1", cwd=tmp_path, check=0)
    assert "training, end to end" in done.stdout and "physics alone" in done.stdout
    facts = last_line(done)
    for name in ("raw", "rollout", "update", "training"):
        assert facts[f"{name}_steps_per_second"] > 0
    assert facts["physics_steps_per_second"] == pytest.approx(
        facts["raw_steps_per_second"] * facts["substeps"], rel=1e-3
    )
    assert facts["engine"].startswith(engine) and facts["num_envs"] == 8
    assert facts["rounds"] >= 3 and facts["bytes_per_env"] > 0 and facts["compile_seconds"] > 0
    assert facts["versions"]["jax"] and facts["device"]
    assert list(tmp_path.iterdir()) == [], "a measurement leaves nothing behind"


def test_a_sweep_measures_each_size(tmp_path):
    done = ksim(
        "bench",
        "-m",
        *(key for key in TINY if not key.startswith("num_envs")),
        "engine=mujoco",
        "num_envs=4,8",
        "bench_seconds=0.1",
        cwd=tmp_path,
        check=0,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["num_envs"] for line in lines] == [4, 8]


def test_it_measures_one_seed(tmp_path):
    done = ksim("bench", *TINY, "engine=mjx", "num_seeds=2", cwd=tmp_path, check=2)
    assert "num_seeds=2: ksim bench measures one" in done.stderr


def test_it_needs_no_run(tmp_path):
    done = ksim("bench", *TINY, "checkpoint=latest", cwd=tmp_path, check=2)
    assert "ksim bench takes no run" in done.stderr
