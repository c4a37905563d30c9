"""Disks that fill, fail or vanish, and configs that are not a run's own."""

import errno
import json
import shutil

import numpy as np
import pytest

from ksim_cli.config.saved import config_text
from ksim_cli.io import checkpoint_files
from ksim_cli.io.checkpoints import CheckpointError, CheckpointStore
from ksim_cli.run import evaluate, metrics_logger, training_run
from ksim_cli.run.run_store import refuse_unsound
from tests.helpers import run_config
from tests.run.commands import TINY, course, ksim, rows

SAVING = (*TINY, "save_every_n_steps=1")


def failing(monkeypatch, fails):
    """Saves of those steps find the disk full."""
    write = checkpoint_files.write_step

    def attempt(folder, manifest, arrays):
        if fails(manifest.step):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, manifest, arrays)

    monkeypatch.setattr(checkpoint_files, "write_step", attempt)


def test_saves_that_fail_are_told_and_training_goes_on(tmp_path, monkeypatch, finished):
    failing(monkeypatch, lambda step: step in (1, 2))
    done = ksim("train", *SAVING, "num_iterations=4", "run_dir=run", cwd=tmp_path, check=0)
    for step in (1, 2):
        (line,) = [line for line in done.stderr.splitlines() if f"checkpoint {step} could" in line]
        assert str(tmp_path / "run" / "checkpoints") in line and "bytes free there" in line
        assert "Training goes on, and the next save tries again" in line
    assert "Traceback" not in done.stderr
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4]
    assert CheckpointStore(tmp_path / "run" / "checkpoints").newest(pytest.fail) == 4


@pytest.mark.parametrize(("iterations", "trained"), [(3, 3), (9, 6)])
def test_a_run_whose_saves_fail_ends_with_status_four(tmp_path, monkeypatch, iterations, trained):
    failing(monkeypatch, lambda step: True)
    typed = (*SAVING, f"num_iterations={iterations}", "run_dir=run")
    done = ksim("train", *typed, cwd=tmp_path, check=4)
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert ("5 saves in a row failed" in done.stderr) == (iterations == 9)
    assert len(rows(tmp_path / "run")) == trained, "what was logged is there"
    if trained == iterations:
        monkeypatch.undo()
        assert "starting afresh" in ksim("train", "resume=run", cwd=tmp_path, check=0).stdout


def test_rows_and_a_summary_that_cannot_be_written_do_not_end_a_run(tmp_path, monkeypatch):
    attempts = []

    def full(log):
        attempts.append(1)
        if len(attempts) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(log)

    write = metrics_logger.MetricsLog.write_waiting
    monkeypatch.setattr(metrics_logger.MetricsLog, "write_waiting", full)

    def read_only(path, value):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(training_run, "write_json", read_only)
    monkeypatch.setattr(evaluate, "write_json", read_only)
    done = ksim("train", *TINY, "num_iterations=4", "run_dir=run", cwd=tmp_path, check=0)
    assert done.stderr.count("run/metrics.jsonl cannot be written: No space left") == 1
    assert "run/summary.json could not be written: Read-only" in done.stderr
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4], "they waited"
    done = ksim("eval", "checkpoint=run", cwd=tmp_path, check=0)
    assert "episode return mean" in done.stdout and "could not be written: Read-only" in done.stdout


def test_a_folder_that_is_removed_is_made_again_and_goes_on(tmp_path, monkeypatch):
    run, report = tmp_path / "run", training_run.Diagnostics.report

    def remove(self, iteration, *arguments):
        if iteration == 2:
            shutil.rmtree(run)
        report(self, iteration, *arguments)

    monkeypatch.setattr(training_run.Diagnostics, "report", remove)
    done = ksim("train", *SAVING, "num_iterations=4", "run_dir=run", cwd=tmp_path, check=0)
    assert "run was removed; it is made again" in done.stderr
    monkeypatch.undo()
    ksim("train", "resume=run", "num_iterations=5", cwd=tmp_path, check=0)
    assert rows(run)[-1]["iteration"] == 5


def test_a_folder_that_cannot_be_made_again_is_a_save_that_failed(tmp_path, monkeypatch):
    run, report = tmp_path / "run", training_run.Diagnostics.report

    def replace(self, iteration, *arguments):
        if iteration == 2:
            shutil.rmtree(run)
            run.write_text("in its place")  # nothing can be made there
        report(self, iteration, *arguments)

    monkeypatch.setattr(training_run.Diagnostics, "report", replace)
    done = ksim("train", *SAVING, "num_iterations=9", "run_dir=run", cwd=tmp_path, check=4)
    assert "checkpoint 2 could not be saved: " in done.stderr
    assert "5 saves in a row failed" in done.stderr and "Traceback" not in done.stderr


def test_a_disk_that_is_gone_cannot_say_what_is_free(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path / "checkpoints")

    def gone(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint_files, "write_step", gone)
    monkeypatch.setattr(shutil, "disk_usage", gone)
    store.save(1, {"a": np.zeros(3)}, {})
    with pytest.raises(CheckpointError, match=r"Input/output error \(an unknown number of bytes"):
        store.wait()


def test_what_is_not_a_number_is_not_kept():
    good = {"a": np.ones(3, np.float32), "best": np.float32(np.inf), "n": np.arange(3)}
    refuse_unsound(7, good)
    with pytest.raises(CheckpointError, match="checkpoint 7 cannot be saved: a is not a number"):
        refuse_unsound(7, {**good, "a": np.array([1.0, np.nan], np.float32)})


def test_a_memory_profile_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training_run.jax.profiler, "save_device_memory_profile", full)
    typed = (*TINY, "num_iterations=1", "profile_memory=true", "run_dir=run")
    done = ksim("train", *typed, cwd=tmp_path, check=0)
    assert "memory.prof could not be written" in done.stderr


def test_a_run_that_cannot_begin_says_where(tmp_path):
    (tmp_path / "file").write_text("")
    done = ksim("train", *TINY, "run_dir=file/run", cwd=tmp_path, check=2)
    assert "Traceback" not in done.stderr and "file" in done.stderr


def test_the_config_of_another_run_is_refused_and_its_own_changes_are_known(finished, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(finished[1], tmp_path / name)
    (tmp_path / "one" / "config.yaml").write_text(config_text(run_config(*TINY, "algo.gamma=0.5")))
    done = ksim("train", "resume=one", "num_iterations=3", cwd=tmp_path, check=2)
    assert "is not the config that checkpoint 2 was trained with" in done.stderr
    done = ksim("eval", "checkpoint=one", cwd=tmp_path, check=2)
    assert "is not the config that checkpoint 2 was trained with" in done.stderr
    # Typed values are kept; a checkpoint of before them, which is all that is left, is known too.
    ksim("train", "resume=two", "num_iterations=3", "algo.gamma=0.5", cwd=tmp_path, check=0)
    ksim("train", "resume=two", "num_iterations=4", "algo.gamma=0.6", cwd=tmp_path, check=0)
    for step in (3, 4):
        (tmp_path / "two" / "checkpoints" / f"{step:08d}" / "manifest.json").write_text("")
    done = ksim("train", "resume=two", cwd=tmp_path, check=0)
    assert "resumed at iteration 2" in done.stdout


@pytest.mark.parametrize("text", ["", "{", "[]", '{"eval_return_mean": "x"}', "null"])
def test_a_summary_that_is_none_is_made_anew(finished, tmp_path, text):
    shutil.copytree(finished[1], tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text(text)
    done = ksim("train", "resume=run", cwd=tmp_path, check=0)
    assert "nothing to do" in done.stdout
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["iterations"] == 2


def test_a_run_killed_while_compiling_goes_on_as_if_nothing_had_been(
    finished, tmp_path, monkeypatch
):
    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "compile_training", die)
    with pytest.raises(KeyboardInterrupt):
        ksim("train", *TINY, "num_iterations=2", "run_dir=run", cwd=tmp_path)
    monkeypatch.undo()
    assert "starting afresh" in ksim("train", "resume=run", cwd=tmp_path, check=0).stdout
    one, two = course(tmp_path / "run"), course(finished[1])
    assert one == two


@pytest.mark.parametrize(
    "facts",
    [
        {"iteration": None},
        {"env_steps": "9"},
        {"iteration": -1},
        {"quarantined": [1]},
        {"quarantined": {"x": "y"}},
        {"unlogged": 7},
        {"unlogged": []},
        {"unlogged": [[["x"]]]},
        {"unlogged": [[["iteration", 9]], []]},
    ],
)
def test_facts_of_a_checkpoint_that_are_none_are_told(finished, tmp_path, facts):
    shutil.copytree(finished[1], tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "00000002"
    body = json.loads((folder / "manifest.json").read_text())
    body["info"] |= facts
    del body["digest"]
    (folder / "manifest.json").write_text(checkpoint_files._seal(body))
    done = ksim("train", "resume=run", cwd=tmp_path, check=2)
    assert "does not say how far the run was" in done.stderr and "Traceback" not in done.stderr
