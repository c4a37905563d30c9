import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.runs import RunFolder, find_checkpoint, find_run, find_runs, newest_run

NOW = datetime(2025, 3, 4, 5, 6, 7)
NAME = "2025-03-04_05-06-07"


def make_run(root: Path, name: str, steps: tuple[int, ...] = ()) -> Path:
    path = root / name
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text("seed: 0\n")
    for step in steps:
        (path / "checkpoints" / f"{step:08d}").mkdir()
        (path / "checkpoints" / f"{step:08d}" / "manifest.json").write_text("{}")
    return path


def test_create_makes_each_folder_once(tmp_path: Path):
    runs = [RunFolder.create(tmp_path / "runs", "cartpole", NOW) for _ in range(3)]
    assert [run.path.name for run in runs] == [NAME, f"{NAME}-1", f"{NAME}-2"]
    assert all(run.path.is_dir() and run.path.parent.name == "cartpole" for run in runs)
    assert runs[0].config == runs[0].path / "config.yaml"


def _create(root: Path, count: int) -> list[str]:
    return [RunFolder.create(root, "task", NOW).path.name for _ in range(count)]


def test_create_by_several_processes_at_once(tmp_path: Path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        names = [name for made in pool.starmap(_create, [(tmp_path, 20)] * 2) for name in made]
    assert len(set(names)) == 40


@pytest.mark.parametrize("task", ["", "..", "a/../b", "/etc", "a b", ".hidden", "a//b"])
def test_create_refuses_names_that_are_no_folder(tmp_path: Path, task: str):
    with pytest.raises(UserError, match="cannot name a run folder"):
        RunFolder.create(tmp_path, task)
    assert not list(tmp_path.iterdir())


def test_create_of_a_task_in_a_group(tmp_path: Path):
    run = RunFolder.create(tmp_path, "g1/walk", NOW)
    assert run.path == tmp_path / "g1" / "walk" / NAME


def test_lock_keeps_a_second_trainer_out(tmp_path: Path):
    run = RunFolder.create(tmp_path, "task")
    with run.lock():
        with pytest.raises(UserError, match=f"process {os.getpid()}") as caught, run.lock():
            pass
        assert str(run.path) in str(caught.value)
    with run.lock():
        pass


def test_lock_is_released_by_kill_nine(tmp_path: Path):
    run = RunFolder.create(tmp_path, "task")
    code = (
        "import sys, time; from pathlib import Path; from ksim_cli.io.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {child.pid}"), run.lock():
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
    with run.lock():
        pass


def test_newest_run_goes_by_name_not_by_file_time(tmp_path: Path):
    new = make_run(tmp_path, "humanoid/2025-01-02_00-00-00")
    old = make_run(tmp_path, "cartpole/2025-01-01_23-59-59")
    again = make_run(tmp_path, "humanoid/2025-01-02_00-00-00-2")
    tenth = make_run(tmp_path, "humanoid/2025-01-02_00-00-00-10")
    os.utime(old / "config.yaml")
    assert newest_run(tmp_path).path == tenth != again != new


def test_newest_run_without_config_does_not_count(tmp_path: Path):
    run = make_run(tmp_path, "cartpole/2025-01-01_00-00-00")
    (tmp_path / "cartpole" / "2025-06-01_00-00-00").mkdir()
    make_run(tmp_path, "cartpole/.2025-07-01_00-00-00")
    assert newest_run(tmp_path).path == run


def test_newest_run_finds_the_jobs_of_a_sweep(tmp_path: Path):
    make_run(tmp_path, "cartpole/2025-01-01_00-00-00")
    first = make_run(tmp_path, "sweeps/2025-01-02_00-00-00/0")
    second = make_run(tmp_path, "sweeps/2025-01-02_00-00-00/10")
    for job in (first, second):
        os.utime(job / "config.yaml", (time_of_2026 := 1_770_000_000, time_of_2026))
    assert newest_run(tmp_path).path == second


def test_newest_run_where_there_is_none(tmp_path: Path):
    with pytest.raises(UserError, match="ksim train task=") as caught:
        newest_run(tmp_path / "runs")
    assert "checkpoint=" in str(caught.value)


def test_find_run_by_every_way_of_naming_it(tmp_path: Path, monkeypatch):
    root = tmp_path / "runs"
    run = make_run(root, f"cartpole/{NAME}", (10,))
    (run / "metrics.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    for spec in (
        "latest",
        str(run),
        f"runs/cartpole/{NAME}",
        f"runs/cartpole/{NAME}/",
        f"cartpole/{NAME}",
        NAME,
        "cartpole",
        "runs",
        f"{run}/metrics.jsonl",
        f"{run}/checkpoints",
        f"{run}/checkpoints/00000010",
    ):
        found = find_run(spec, Path("runs"))
        assert found.path.resolve() == run, spec
    monkeypatch.chdir(run)
    assert find_run(".", root).path.resolve() == run
    assert find_checkpoint("checkpoints/00000010", root)[1] == 10


def test_find_runs_takes_all_of_a_folder_and_one_of_a_run(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = Path("runs")
    for name in (f"sweeps/{NAME}/9", f"sweeps/{NAME}/10", f"cartpole/{NAME}", "sweeps/.hidden/0"):
        make_run(root, name, steps=(3,))
    sweep = [str(root / f"sweeps/{NAME}/{i}") for i in (9, 10)]
    for spec in (
        f"runs/sweeps/{NAME}",
        f"sweeps/{NAME}",
        "runs/sweeps",
        str(tmp_path / "runs/sweeps"),
    ):
        found = [run.path for run in find_runs(spec, root)]
        assert [path.name for path in found] == ["9", "10"], "in the order they began"
    assert [str(run.path) for run in find_runs(f"runs/sweeps/{NAME}", root)] == sweep
    assert len(find_runs("runs", root)) == 3
    for spec in (sweep[0], f"{sweep[0]}/checkpoints/00000003", f"{sweep[0]}/config.yaml"):
        assert [str(run.path) for run in find_runs(spec, root)] == [sweep[0]]
    assert len(find_runs("latest", root)) == 1
    with pytest.raises(UserError, match="No run 'absent'"):
        find_runs("absent", root)


def test_find_run_that_is_not_there_names_the_nearest(tmp_path: Path):
    make_run(tmp_path, "cartpole/2025-01-01_00-00-00")
    with pytest.raises(UserError) as caught:
        find_run("cartpol/2025-01-01_00-00-00", tmp_path)
    assert "Did you mean 'cartpole/2025-01-01_00-00-00'?" in str(caught.value)
    with pytest.raises(UserError, match=r"\(none\)"):
        find_run("x", tmp_path / "empty")


def test_find_run_by_a_name_that_two_have(tmp_path: Path):
    for task in ("a", "b"):
        make_run(tmp_path, f"{task}/{NAME}")
    with pytest.raises(UserError, match=f"a/{NAME}, b/{NAME}"):
        find_run(NAME, tmp_path)


def test_find_checkpoint(tmp_path: Path):
    root = tmp_path / "checkpoints" / "runs"  # a misleading parent
    run = make_run(root, f"cartpole/{NAME}", (10, 1000))
    for spec, step in (
        (None, None),
        ("latest", None),
        (str(run), None),
        (f"{run}/checkpoints", None),
        (f"{run}/checkpoints/00001000", 1000),
        (f"{run}/checkpoints/00001000/policy.safetensors", 1000),
        (f"{run}/checkpoints/1000/", 1000),
        (f"cartpole/{NAME}/checkpoints/00000010", 10),
    ):
        found, at = find_checkpoint(spec, root)
        assert (found.path, at) == (run, step), spec


@pytest.mark.parametrize("name", ["00000011", "latest", ".00000010.0a1b2c3d.ksim-tmp"])
def test_find_checkpoint_lists_those_that_exist(tmp_path: Path, name: str):
    run = make_run(tmp_path, f"cartpole/{NAME}", (10, 1000))
    with pytest.raises(UserError, match="00000010, 00001000") as caught:
        find_checkpoint(f"{run}/checkpoints/{name}", tmp_path)
    assert str(run) in str(caught.value)


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path: Path):
    run = make_run(tmp_path, f"cartpole/{NAME}")
    (run / "checkpoints" / "00000010").mkdir()
    (run / "checkpoints" / "00000010.json").write_text("{}")
    with pytest.raises(UserError, match="of an earlier version of ksim and cannot be read"):
        find_checkpoint(f"{run}/checkpoints/00000010", tmp_path)


def test_search_of_a_thousand_runs_is_fast(tmp_path: Path):
    for number in range(1000):
        path = tmp_path / "task" / f"2025-01-01_00-00-00-{number}"
        path.mkdir(parents=True)
        (path / "config.yaml").touch()
    start = time.perf_counter()
    assert newest_run(tmp_path).path.name.endswith("-999")
    assert time.perf_counter() - start < 20.0  # a minute, where each were read whole
