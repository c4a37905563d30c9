import json
import os

import pytest

from ksim_cli.errors import UserError
from ksim_cli.io.runs import RunFolder
from ksim_cli.run import records as records_module
from ksim_cli.run.records import find_all, read_records
from tests.run.written_runs import VERSIONS, rising, write_run


@pytest.fixture
def run(project):
    return write_run(project / "runs/cartpole/a", "num_envs=32", rows=rising())


def read(path):
    return read_records(RunFolder(path))


def test_what_a_run_has_written(run):
    (run / "train.log").write_text(
        "2026-01-01 00:00:00  typed: num_envs, task\n"
        "2026-01-01 00:00:00  warning: slow\n"
        "2026-01-01 00:00:01    terms: none\n"
        "2026-01-01 00:00:02  warning: slow\n"
        "2026-01-02 00:00:00  typed: max_env_steps\n"
    )
    (run / "eval.json").write_text('{"episode_return_mean": 12.0}')
    (record,) = read(run)
    assert record.seed == 0 and record.config["num_envs"] == 32
    assert record.course.points("episode_return")[1] == [1, 2, 3, 4, 5]
    assert record.summary["versions"] == VERSIONS and record.eval_return == 10.0
    assert record.evaluation == {"episode_return_mean": 12.0}
    assert record.typed == {"num_envs", "task", "max_env_steps"} and record.warnings == ("slow",)
    assert record.figure("wall_seconds", "wall_seconds") == 60.0


def test_a_run_that_goes_on_says_what_it_has(project):
    rows = [*rising(), {"eval_episode_return_mean": 7.0, "wall_seconds": 3.0}, *rising(1)]
    (record,) = read(write_run(project / "a", rows=rows, ended=False))
    assert record.summary == {} and record.eval_return == 7.0
    assert record.figure("wall_seconds", "wall_seconds") == 3.0
    (bare,) = read(write_run(project / "b", ended=False))
    assert bare.eval_return is None and bare.figure("env_steps", "env_steps") is None


def test_a_run_that_went_on_is_beyond_its_summary(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 6, "env_steps": 600, "eval_episode_return_mean": 3.0}\n')
    (record,) = read(run)
    assert record.summary == {"versions": VERSIONS} and record.eval_return == 3.0
    assert record.figure("env_steps", "env_steps") == 600


def test_seeds_that_were_trained_together_are_a_record_each(project):
    run = write_run(project / "a", rows=rising(), num_seeds=3, seed=4)
    for seed in (4, 5, 6):
        folder = run / "seeds" / str(seed)
        folder.mkdir(parents=True)
        row = {"iteration": 1, "env_steps": 1, "episode_return": seed}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"eval_return_per_seed": [1, 2.5, 3]}))
    found = read(run)
    assert [record.seed for record in found] == [4, 5, 6]
    assert [record.course.last["episode_return"] for record in found] == [4, 5, 6]
    assert [record.eval_return for record in found] == [1, 2.5, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "[1]"),
        ("summary.json", "{"),
        ("summary.json", "[" * 100_000),
        ("eval.json", '"text"'),
        ("metrics.jsonl", "nonsense\n"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_rest_is_there(run, name, content):
    (run / name).write_text(content)
    (record,) = read(run)
    (told,) = record.warnings
    assert told.startswith(f"not read: {name}") and record.config["num_envs"] == 32


@pytest.mark.parametrize(
    "summary",
    [
        {"eval_return_per_seed": "many", "versions": 3, "env_steps": "x", "wall_seconds": [1]},
        {"eval_return_per_seed": [None], "env_steps": True},
        {"eval_return_per_seed": [{"a": 1}], "env_steps": 10**400},
    ],
)
def test_a_summary_of_something_else_gives_no_figures(run, summary):
    (run / "summary.json").write_text(json.dumps(summary))
    (record,) = read(run)
    assert record.eval_return is None and record.figure("env_steps", "absent") is None


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "config.yaml", "train.log"])
def test_no_link_is_followed(run, name, project):
    (run / name).unlink(missing_ok=True)
    (project / "secret").write_text("secret: 1\n")
    (run / name).symlink_to(project / "secret")
    with pytest.raises(UserError, match=f"{name}: is a link"):
        read(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "eval.json", "train.log"])
def test_what_is_read_is_bounded(run, name, monkeypatch):
    monkeypatch.setattr(records_module, "_MOST_LOG", 1000)
    (run / name).touch()
    os.truncate(run / name, 10**12)
    (record,) = read(run)
    assert any(name in told for told in record.warnings)


def test_runs_are_found_by_name_each_once(project):
    paths = [write_run(project / f"runs/sweeps/x/{i}", seed=i) for i in range(2)]
    other = write_run(project / "elsewhere")
    found = [run.path.resolve() for run in find_all(["runs/sweeps/x", "elsewhere", "elsewhere/"])]
    assert found == [*paths, other]
    assert [run.path.name for run in find_all(["runs/sweeps/x/1"])] == ["1"]
    assert [run.path.name for run in find_all(["latest"])] == ["1"]
    with pytest.raises(UserError, match="No run 'absent'"):
        find_all(["absent"])


def test_too_many_runs_are_refused(project, monkeypatch):
    monkeypatch.setattr(records_module, "MOST_RUNS", 1)
    for i in range(2):
        write_run(project / f"runs/x/{i}")
    with pytest.raises(UserError, match="2 runs: at most 1"):
        find_all(["runs"])
