"""Several processes that train one run; two of them on this machine, as SLURM would start them."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.run import hosts
from tests.run.commands import TINY_LIGHT, ksim, rows, take_light_engine

TINY = (*TINY_LIGHT, "seed=3")


def test_alone_everything_is_as_it_is():
    tree = {"a": jnp.arange(3)}
    assert hosts.is_leader() and hosts.gather(tree) is tree
    assert hosts.broadcast(1, -1) == [1, -1] and hosts.broadcast_text(lambda: "here") == "here"


@pytest.mark.parametrize("tasks", [None, "1"])
def test_a_shell_in_an_allocation_and_a_step_of_one_task_join_nobody(monkeypatch, tasks):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_NTASKS", tasks or "8")
    if tasks:
        for name in ("SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"):
            monkeypatch.setenv(name, "0")
    called = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **_: called.append(1))
    hosts.join()
    assert not called


def together(folder, *arguments):
    """Exit statuses of two processes of one step."""
    step = {
        # JAX makes the coordinator's port of it.
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ksim_cli", *arguments],
            cwd=folder,
            env={**os.environ, **step, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], said


@pytest.mark.slow
def test_two_processes_train_one_run_that_one_can_go_on_with(tmp_path):
    take_light_engine(tmp_path)
    valid = ("valid_every_n_steps=2", "save_every_n_steps=2")
    status, (first, second) = together(
        tmp_path, "train", *TINY, *valid, "num_iterations=3", "run_dir=two"
    )
    assert status == [0, 0], first + second
    assert "on 2 devices" in first and "evaluation: return" in first
    assert "evaluation" not in second and "run folder" not in second
    ksim("train", *TINY, "num_iterations=3", "run_dir=one", cwd=tmp_path, check=0)
    for a, b in zip(rows(tmp_path / "two"), rows(tmp_path / "one"), strict=True):
        for name in ("loss", "value_loss", "reward"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)
    ksim("train", "resume=two", "num_iterations=4", cwd=tmp_path, check=0)
    status, said = together(tmp_path, "train", "resume=two", "num_iterations=5")
    assert status == [0, 0], said
    assert [row["iteration"] for row in rows(tmp_path / "two")] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_mistake_of_the_leader_is_told_to_all(tmp_path):
    take_light_engine(tmp_path)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.yaml").write_text("{}\n")
    status, said = together(tmp_path, "train", *TINY, "num_iterations=1", "run_dir=taken")
    assert status == [2, 2]
    assert all("run_dir=taken: holds a run already" in text for text in said)


def test_a_second_job_of_a_sweep_has_joined_already(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    called = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **_: called.append(1))
    for joined in (False, True):
        monkeypatch.setattr("jax.distributed.is_initialized", lambda joined=joined: joined)
        hosts.join()
    assert called == [1]
