"""Training that is stopped, at moments that are named; `tests/faults.py` tries random ones."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.run import training_run
from tests.faults import attempts
from tests.run.commands import LONG, ROOT, TINY, course, ksim, rows, shell
from tests.stopped import stop

VALID = ("valid_every_n_steps=2", "valid_every_n_seconds=null")
TRAIN = ("train", *TINY, "run_dir=run")
EVALUATED = ("train", *LONG, "run_dir=run", *VALID, "num_iterations=3")


def test_a_signal_finishes_the_iteration_saves_and_leaves(tmp_path):
    number = signal.SIGTERM
    left = stop(
        tmp_path, TRAIN, "  episode return", number, number, pause=0.01
    )  # twice, as a wrapper does
    assert left.status == 143, left.output
    assert "SIGTERM: saving after this iteration" in left.output
    assert "resume=run" in left.output and "Traceback" not in left.output
    last = rows(tmp_path / "run")[-1]["iteration"]
    store = CheckpointStore(tmp_path / "run" / "checkpoints")
    assert store.newest(print) == last, "the last finished iteration is the saved one"
    done = ksim("train", "resume=run", f"num_iterations={last + 1}", cwd=tmp_path, check=0)
    assert f"resumed at iteration {last}" in done.stdout
    assert [r["iteration"] for r in rows(tmp_path / "run")] == list(range(1, last + 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGUSR1, 99)]
)
def test_the_other_signals_do_the_same(tmp_path, monkeypatch, number, status):
    """What Python does with each is in `test_signals.py`."""
    report = training_run.Diagnostics.report

    def send(self, iteration, *arguments):
        if iteration == 2:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
        report(self, iteration, *arguments)

    monkeypatch.setattr(training_run.Diagnostics, "report", send)
    done = ksim(*TRAIN, "num_iterations=9", cwd=tmp_path, check=status)
    assert f"stopped by {number.name}; continue with ksim train resume=run" in done.stdout
    assert [row["iteration"] for row in rows(tmp_path / "run")] == [1, 2]
    assert CheckpointStore(tmp_path / "run" / "checkpoints").newest(pytest.fail) == 2


@pytest.mark.parametrize(
    ("moment", "number", "status"),
    [
        pytest.param(
            None,
            signal.SIGINT,
            130,
            marks=pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux"),
        ),
        pytest.param("building the model", signal.SIGTERM, 143, marks=pytest.mark.slow),
        ("compiling the training iteration ...", signal.SIGINT, 130),
    ],
)
def test_what_loses_nothing_is_left_at_once(tmp_path, moment, number, status):
    left = stop(tmp_path, (*TRAIN, "compilation_cache=false"), moment, number)
    assert left.status == status, left.output
    said = left.output.splitlines()[-1].removeprefix("ksim: ")
    assert said.startswith(f"{number.name}: leaving now, nothing is lost")
    assert "compiling the training iteration took" not in left.output
    assert "Traceback" not in left.output


@pytest.mark.slow
def test_an_evaluation_is_left_and_made_up_for(tmp_path):
    """A signal while it is evaluated, then one in the final evaluation; nothing is lost by either."""
    for name in ("alone", "stopped"):
        (tmp_path / name).mkdir()
    ksim(*EVALUATED, cwd=tmp_path / "alone", check=0)
    folder = tmp_path / "stopped"
    left = stop(folder, EVALUATED, "evaluating at iteration 2", signal.SIGTERM)
    assert left.status == 143 and "stopped by SIGTERM; continue with" in left.output, left.output
    assert CheckpointStore(folder / "run" / "checkpoints").steps() == [2]
    assert [row["iteration"] for row in rows(folder / "run")] == [1]
    left = stop(folder, ("train", "resume=run"), "playing 2 evaluation episodes", signal.SIGINT)
    assert left.status == 130 and "gets the final evaluation" in left.output, left.output
    assert course(folder / "run") == course(tmp_path / "alone" / "run")
    assert [list(row) for row in rows(folder / "run")] == [
        list(row) for row in rows(tmp_path / "alone" / "run")
    ]
    assert CheckpointStore(folder / "run" / "checkpoints").newest(pytest.fail) == 3
    assert not (folder / "run" / "summary.json").exists()
    ksim("train", "resume=run", cwd=folder, check=0)
    summaries = [
        json.loads((tmp_path / name / "run" / "summary.json").read_text())
        for name in ("alone", "stopped")
    ]
    assert summaries[0]["eval_return_mean"] == summaries[1]["eval_return_mean"]


@pytest.mark.slow
def test_random_moments(tmp_path):
    statuses = {signal.SIGKILL: -9, signal.SIGTERM: 143}
    for status, (left, same) in zip(
        statuses.values(), attempts(tmp_path, [*statuses], seed=os.getpid()), strict=True
    ):
        assert same
        assert not left.sent or left.status == status


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "said"),
    [(">&-", ""), (">/dev/full", "standard output takes no more"), ("| head -1", "")],
)
def test_output_that_goes_nowhere_does_not_end_a_run(tmp_path, redirection, said):
    command = " ".join([f"'{sys.executable}'", "-m", "ksim_cli", *TRAIN, "num_iterations=3"])
    done = shell(f"{command} {redirection}", tmp_path)
    assert done.returncode == 0 and len(done.stderr.splitlines()) == bool(said)
    assert said in done.stderr
    assert (tmp_path / "run" / "summary.json").exists() and len(rows(tmp_path / "run")) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
def test_a_view_is_left_without_a_video_and_a_dataset_whole(trained):
    minari = pytest.importorskip("minari")
    folder, run = trained
    collect = ("collect", "dataset_num_batches=1000000", "dataset_save_path=run/d")
    (folder / "run").mkdir()
    left = stop(folder, collect, "episodes", signal.SIGINT)
    assert left.status == 130, left.output
    dataset = minari.MinariDataset(folder / "run" / "d" / "data")
    assert dataset.total_steps == sum(len(each.rewards) for each in dataset.iterate_episodes()) > 0
    left = stop(folder, ("view", "viewer_num_seconds=60"), "1/6.0k steps", signal.SIGINT)
    assert left.status == 130 and "Traceback" not in left.output, left.output
    assert list((run / "videos").iterdir()) == []


WANDB = """
import json, pathlib, time
from types import SimpleNamespace
seen = pathlib.Path("seen.jsonl")
def init(**given):
    note(given)
    return SimpleNamespace(log=log, finish=lambda: None)
def note(what):
    with seen.open("a") as file:
        print(json.dumps(what), file=file)
def log(row, step):
    BEHAVIOUR
    note(step)
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    """Makes a package `wandb` that does as it is told when it gets a row."""

    def make(behaviour: str) -> None:
        (tmp_path / "wandb.py").write_text(WANDB.replace("BEHAVIOUR", behaviour))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "wandb", raising=False)

    yield make
    sys.modules.pop("wandb", None)


LOGGED = (*TRAIN, "num_iterations=3", "logger.wandb=true", "logger.wandb_project=my-robots")


def test_wandb_gets_the_project_and_the_whole_configuration(tmp_path, wandb):
    wandb("pass")
    ksim(*LOGGED, "save_every_n_steps=7", cwd=tmp_path, check=0)
    lines = (tmp_path / "seen.jsonl").read_text().splitlines()
    given, *steps = [json.loads(line) for line in lines]
    assert given["project"] == "my-robots" and steps == [1, 2, 3]
    assert given["config"]["save_every_n_steps"] == 7
    assert given["config"]["num_envs"] == 8 and given["config"]["model"]["type"] == "mlp"


@pytest.mark.parametrize("behaviour", ["raise SystemExit(3)", "1 / 0"])
def test_a_logger_that_fails_changes_nothing_but_a_warning(finished, tmp_path, wandb, behaviour):
    wandb(behaviour)
    done = ksim(*LOGGED[:-3], "num_iterations=2", *LOGGED[-2:], cwd=tmp_path, check=0)
    assert done.stderr.count("logger wandb failed") == 1 == len(done.stderr.splitlines())
    (alone,) = finished.folder.glob("runs/cartpole/*")
    assert [row["reward"] for row in rows(tmp_path / "run")] == [
        row["reward"] for row in rows(alone)
    ]


@pytest.mark.slow
def test_a_logger_that_hangs_keeps_no_process(tmp_path, wandb):
    wandb("time.sleep(1000)")
    (tmp_path / "sitecustomize.py").write_text(
        "import ksim_cli.io.loggers as loggers\nloggers._END_SECONDS = 0.1\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "ksim_cli", *LOGGED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and len(rows(tmp_path / "run")) == 3
    assert done.stderr.count("logger wandb was not done") == 1 == len(done.stderr.splitlines())


def test_a_logger_that_cannot_start_is_told_before_compiling(tmp_path, wandb, monkeypatch):
    wandb("pass")
    (tmp_path / "wandb.py").write_text("def init(**_):\n    raise RuntimeError('no key')\n")
    done = ksim(*LOGGED, cwd=tmp_path, check=2)
    assert "logger.wandb cannot start: no key" in done.stderr and "compiling" not in done.stdout
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = ksim(*LOGGED, cwd=tmp_path, check=2)
    assert "pip install 'ksim[wandb]'" in done.stderr and "compiling" not in done.stdout
