"""Real runs of the command: in processes of their own where a process is the point."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ksim_cli.io.checkpoint_files import FILES, read_manifest
from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.run import training_run
from ksim_cli.run.evaluate import Evaluator
from ksim_cli.run.records import TYPED
from tests.run.commands import (
    LONG,
    TINY,
    TINY_MJX,
    course,
    ksim,
    ksim_process,
    rewound,
    rows,
)


def saved_arrays(run: Path, step: int):
    """Every stored array of a checkpoint by its path, as bytes' equals."""
    store = CheckpointStore(run / "checkpoints")
    assert store.verify(step) is None
    folder = run / "checkpoints" / f"{step:08d}"
    arrays = {path: array for name in FILES for path, array in load_file(folder / name).items()}
    return read_manifest(folder).tree, arrays


# Everything that a carry, a random key or a variant of the model is behind, and a memory.
DISTURBED = (
    *(
        "task=humanoid",
        *LONG[1:],
        "model=gru",
        "model.hidden_size=16",
        "engine.drop_action_prob=0.2",
    ),
    *("engine.zero_offset_std=0.02", "observations.gravity.lag=0.5", "resets.heading=null"),
    *("observations.joint_position.delay=[0,0.04]", "observations.joint_velocity.history=2"),
    *("+observations.gravity.bias={type: additive_gaussian, std: 0.1}", "curriculum=linear"),
    *("events.push.interval=[0.05,0.2]", "terminations.time_limit.max_length_seconds=0.3"),
    "+events.shove={type: force_push, body: torso, interval: [0.05, 0.2], force: [1, 9],"
    " duration: [0.04, 0.1]}",
)


STAGED = (*TINY, "rewards.balance.stages=[{iteration: 4, weight: 10.0}]")


@pytest.mark.parametrize(
    ("engine", "size"),
    [
        pytest.param("mujoco", STAGED, id="mujoco"),
        pytest.param("mjx", TINY_MJX, id="mjx", marks=pytest.mark.slow),
        pytest.param("mujoco", DISTURBED, id="disturbed", marks=pytest.mark.slow),
    ],
)
def test_resume_is_bit_exact_in_a_new_process(tmp_path, engine, size):
    """The second half of a run, again in another process: state and every scalar."""
    common = (*size, "valid_every_n_steps=2", "valid_every_n_seconds=null", "save_every_n_steps=3")
    ksim("train", *common, "num_iterations=6", "run_dir=straight", cwd=tmp_path, check=0)
    rewound(tmp_path / "straight", tmp_path / "halves", 3)
    done = ksim_process("train", "resume=halves", cwd=tmp_path, check=0)
    assert "resumed at iteration 3" in done.stdout
    one, two = course(tmp_path / "straight"), course(tmp_path / "halves")
    assert [r["iteration"] for r in two] == [1, 2, 3, 4, 5, 6]
    assert one == two
    if size is STAGED:
        assert one[4]["reward"] > 5 * one[3]["reward"]
    assert (
        one[1]["eval_episode_return_mean"] is not None
        and one[0]["eval_episode_return_mean"] is None
    )
    tree_one, arrays_one = saved_arrays(tmp_path / "straight", 6)
    tree_two, arrays_two = saved_arrays(tmp_path / "halves", 6)
    assert tree_one == tree_two and arrays_one.keys() == arrays_two.keys()
    assert any("host" in name for name in tree_one) == (engine == "mujoco")
    for name, values in arrays_one.items():
        np.testing.assert_array_equal(values, arrays_two[name], err_msg=name)
    finals = [
        json.loads((tmp_path / r / "summary.json").read_text()) for r in ("straight", "halves")
    ]
    assert finals[0]["eval_return_mean"] == finals[1]["eval_return_mean"]


def test_a_run_leaves_what_it_promises(finished):
    _, run, done = finished
    summary = json.loads((run / "summary.json").read_text())
    promised = [
        "task",
        "algo",
        "engine",
        "num_envs",
        "env_steps",
        "iterations",
        "wall_seconds",
        "import_seconds",
        "compile_seconds",
        "first_step_seconds",
        "env_steps_per_second",
        "eval_return_mean",
        "eval_return_std",
        "eval_episode_length",
        "versions",
    ]
    assert [name for name in promised if summary.get(name) is None] == []
    assert (summary["task"], summary["algo"], summary["engine"]) == ("cartpole", "ppo", "mujoco")
    assert (summary["iterations"], summary["env_steps"]) == (2, 2 * 8 * 8)
    assert summary["eval_episode_length"] == 50
    assert 0 < summary["import_seconds"] < summary["first_step_seconds"] < summary["wall_seconds"]
    assert {"jax", "mujoco", "ksim"} <= summary["versions"].keys()
    assert len(rows(run)) == 2
    assert (run / "memory.prof").stat().st_size > 0
    assert (run / "config.yaml").is_file() and (run / "train.log").read_text()
    assert str(run.relative_to(run.parents[2])) in done.stdout
    assert "\x1b" not in done.stdout, "no control characters where there is no terminal"
    assert not list(run.parents[2].rglob("MUJOCO_LOG.TXT"))


def test_a_run_past_its_end_is_verified_and_not_trained(finished):
    folder, run, _ = finished
    before = (run / "metrics.jsonl").read_bytes()
    done = ksim("train", f"resume={run}", cwd=folder, check=0)
    assert "nothing to do" in done.stdout and "2" in done.stdout
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_damaged_checkpoint_is_never_trained_over(finished, tmp_path):
    _, run, _ = finished
    copy = tmp_path / "damaged"
    shutil.copytree(run, copy)
    for file in (copy / "checkpoints").rglob("*"):
        if file.suffix == ".safetensors":
            file.write_bytes(b"x")
    done = ksim("train", f"resume={copy}", "num_iterations=4", cwd=tmp_path, check=2)
    assert "none of its checkpoints can be read" in done.stderr


@pytest.mark.parametrize("command", ["train resume={}", "eval checkpoint={}"])
def test_a_run_of_an_earlier_version_is_refused_in_one_sentence(finished, tmp_path, command):
    _, run, _ = finished
    copy = tmp_path / "old"
    copy.mkdir()
    shutil.copy(run / "config.yaml", copy)
    (copy / "checkpoints" / "00000002").mkdir(parents=True)
    (copy / "checkpoints" / "00000002" / "_METADATA").write_text("{}")
    (copy / "checkpoints" / "00000002.json").write_text('{"schema": 1}')
    before = sorted(copy.rglob("*"))
    done = ksim(*command.format(copy).split(), cwd=tmp_path, check=2)
    assert "of an earlier version of ksim and cannot be read" in done.stderr
    assert "passed over" not in done.stdout + done.stderr
    assert {*sorted(copy.rglob("*"))} - {*before} <= {copy / ".lock", copy / "train.log"}


def test_a_run_killed_before_its_first_checkpoint_starts_afresh(finished, tmp_path):
    _, run, _ = finished
    copy = tmp_path / "young"
    copy.mkdir()
    shutil.copy(run / "config.yaml", copy)
    done = ksim("train", f"resume={copy}", cwd=tmp_path, check=0)
    assert "starting afresh" in done.stdout
    assert course(copy) == course(run)


def test_a_folder_that_holds_a_run_is_not_trained_over(finished):
    folder, run, _ = finished
    done = ksim("train", *TINY, "num_iterations=1", f"run_dir={run}", cwd=folder, check=2)
    assert "resume=" in done.stderr


def test_a_crash_exits_one_with_its_traceback_in_the_log(tmp_path, monkeypatch):
    def fall(*_, **__):
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(training_run, "compile_training", fall)
    done = ksim("train", *TINY, "run_dir=crashed", cwd=tmp_path, check=1)
    assert "the sky fell" in done.stderr
    assert "RuntimeError: the sky fell" in (tmp_path / "crashed" / "train.log").read_text()


@pytest.mark.slow
def test_several_iterations_in_one_dispatch_are_the_same_iterations(tmp_path):
    ksim("train", *TINY, "num_iterations=4", "run_dir=one", cwd=tmp_path, check=0)
    ksim(
        *("train", *TINY, "num_iterations=4", "run_dir=two", "epochs_per_log_step=2"),
        cwd=tmp_path,
        check=0,
    )
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [r["iteration"] for r in two] == [2, 4]
    for k, row in enumerate(two):
        pair = [one[2 * k], one[2 * k + 1]]
        np.testing.assert_allclose(row["loss"], np.mean([r["loss"] for r in pair]), rtol=1e-5)
        assert row["env_steps"] == pair[1]["env_steps"]


def test_a_signal_while_it_is_evaluated_loses_nothing(tmp_path, monkeypatch):
    def stop(self, *arguments, play=Evaluator.__call__):
        os.kill(os.getpid(), signal.SIGTERM)
        return play(self, *arguments)

    monkeypatch.setattr(Evaluator, "__call__", stop)
    valid = ("valid_every_n_steps=3", "valid_every_n_seconds=null")
    done = ksim("train", *TINY, "num_iterations=9", "run_dir=run", *valid, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGTERM
    assert CheckpointStore(tmp_path / "run" / "checkpoints").steps() == [3]
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2, 3]


@pytest.mark.parametrize("change", ["seed=4", "num_seeds=2"])
def test_a_run_keeps_its_seeds(finished, change):
    folder, run, _ = finished
    before = (run / "config.yaml").read_text()
    done = ksim("train", f"resume={run}", change, cwd=folder, check=2)
    assert f"Leave out {change.partition('=')[0]}=" in done.stderr
    assert (run / "config.yaml").read_text() == before


def test_what_was_typed_is_in_the_log(finished):
    log = (finished.run / "train.log").read_text().splitlines()
    line = next(line for line in log if TYPED in line)
    typed = line.partition(TYPED)[2].split(", ")
    assert {"task", "num_envs", "num_iterations"} <= {*typed} and typed == sorted(typed)


def test_the_log_says_how_long_the_first_dispatches_took_or_is_not_written(tmp_path):
    tiny = ("train", *TINY, "num_iterations=3")
    ksim(*tiny, "run_dir=said", "num_compiled_steps_to_log=2", cwd=tmp_path, check=0)
    log = (tmp_path / "said" / "train.log").read_text()
    assert re.findall(r"the dispatch to iteration (\d) took [\d.]+ s$", log, re.M) == ["1", "2"]
    ksim(*tiny, "run_dir=unsaid", "log_to_file=false", cwd=tmp_path, check=0)
    assert not (tmp_path / "unsaid" / "train.log").exists()
    report = ksim("report", "unsaid", cwd=tmp_path, check=0)
    assert "not read" not in report.stdout


@pytest.mark.slow
def test_multirun_runs_every_job_in_its_own_folder(tmp_path):
    done = ksim("train", "-m", *TINY, "num_iterations=1", "seed=0,1", cwd=tmp_path, check=0)
    assert "Launching 2 jobs" in done.stdout
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    seeds = [json.loads((sweep / str(i) / "summary.json").read_text())["seed"] for i in (0, 1)]
    assert seeds == [0, 1]
    assert os.listdir(tmp_path) == ["runs"]
    assert done.stdout.count("n=2: 0, 1") == 1, "the table of the sweep, at its end"
