"""Code that changed since a run was trained is noticed wherever the run is read."""

from tests.run.commands import TINY, ksim

REWARD = """\
from dataclasses import dataclass
from ksim_cli import REWARDS, Reward

@REWARDS.register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Reward):
    def __call__(self, step, carry):
        return {value}, carry
"""


def test_it_is_named_on_eval_collect_and_resume(tmp_path):
    own = tmp_path / "tasks" / "__init__.py"
    own.parent.mkdir()
    own.write_text(REWARD.format(value="1.0"))
    run, checkpoint = tmp_path / "run", "checkpoint=run"
    typed = (*TINY, "+rewards.mine={type: mine, weight: 1.0}", "num_iterations=1", "run_dir=run")
    done = ksim("train", *typed, cwd=tmp_path, check=0)
    assert "was trained with other code" not in done.stderr
    assert (run / "code" / "tasks" / "__init__.py").read_text() == own.read_text()
    assert "other code" not in ksim("eval", checkpoint, cwd=tmp_path, check=0).stderr
    own.write_text(REWARD.format(value="2.0"))
    warning = (
        "run was trained with other code: tasks/__init__.py changed."
        " What it was trained with is in run/code"
    )
    for command in (("eval",), ("collect", "dataset_save_path=data")):
        assert warning in ksim(*command, checkpoint, cwd=tmp_path, check=0).stderr
    done = ksim("train", "resume=run", "num_iterations=2", cwd=tmp_path, check=0)
    assert warning in done.stderr
    assert (run / "code" / "tasks" / "__init__.py").read_text() == own.read_text()
    assert "1.0" in (run / "code-1" / "tasks" / "__init__.py").read_text()
    assert "other code" not in ksim("eval", checkpoint, cwd=tmp_path, check=0).stderr


def test_a_run_of_what_is_built_in_keeps_nothing(finished):
    assert not (finished[1] / "code").exists()
