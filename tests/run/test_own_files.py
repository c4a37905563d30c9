"""Code that changed since a run was trained is noticed wherever the run is read."""

import sys

import numpy as np
import pytest

from ksim_cli.io.dumps import Dump, write_dump
from ksim_cli.run import view
from tests.canaries import Still
from tests.run.commands import TINY, ksim

REWARD = """\
from dataclasses import dataclass
from ksim_cli import REWARDS, Reward
import helpers

@REWARDS.register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Reward):
    def __call__(self, step, carry):
        return {value} * helpers.ONE, carry
"""

DUMPED = {"step": 1, "env": 0, "iteration": 1, "action": np.zeros((2, 1))} | {
    f"view/{name}": np.zeros((2, 2)) for name in ("qpos", "qvel")
}


@pytest.fixture
def helpers(tmp_path, monkeypatch):
    """A module beside `tasks/`, where `python -m` and an installed project find it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "helpers.py").write_text("ONE = 1.0\n")
    yield tmp_path / "helpers.py"
    sys.modules.pop("helpers", None)


def test_it_is_named_on_eval_collect_view_and_resume(tmp_path, helpers, monkeypatch):
    own = tmp_path / "tasks" / "__init__.py"
    own.parent.mkdir()
    own.write_text(REWARD.format(value="1.0"))
    run, checkpoint = tmp_path / "run", "checkpoint=run"
    typed = (*TINY, "+rewards.mine={type: mine, weight: 1.0}", "num_iterations=1", "run_dir=run")
    done = ksim("train", *typed, cwd=tmp_path, check=0)
    assert "was trained with other code" not in done.stderr
    assert (run / "code" / "tasks" / "__init__.py").read_text() == own.read_text()
    assert "other code" not in ksim("eval", checkpoint, cwd=tmp_path, check=0).stderr
    helpers.write_text("ONE = 1.00\n")
    own.write_text(REWARD.format(value="2.0"))
    warning = (
        "run was trained with other code: helpers.py changed, tasks/__init__.py changed."
        " What it was trained with is in run/code"
    )
    for command in (("eval",), ("collect", "dataset_save_path=data")):
        assert warning in ksim(*command, checkpoint, cwd=tmp_path, check=0).stderr
    write_dump(run / "dumps", Dump("physics", DUMPED))
    monkeypatch.setattr(view, "Recorder", Still)
    done = ksim("view", "dump=run/dumps/physics.npz", cwd=tmp_path, check=0)
    assert warning.partition(". What")[0] in done.stderr
    done = ksim("train", "resume=run", "num_iterations=2", cwd=tmp_path, check=0)
    assert warning in done.stderr
    assert (run / "code" / "tasks" / "__init__.py").read_text() == own.read_text()
    assert "1.0" in (run / "code-1" / "tasks" / "__init__.py").read_text()
    assert "other code" not in ksim("eval", checkpoint, cwd=tmp_path, check=0).stderr


def test_a_run_of_what_is_built_in_keeps_nothing(finished):
    assert not (finished[1] / "code").exists()
