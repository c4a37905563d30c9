"""Which policy acts in eval, view and collect, on a real run."""

import json

import numpy as np
import yaml

from tests.run.commands import ksim


def test_eval_takes_the_newest_run_says_so_and_repeats_itself(trained):
    folder, run = trained
    done = ksim("eval", "num_episodes=3", cwd=folder, check=0)
    assert run.name in done.stdout
    facts = json.loads((run / "eval.json").read_text())
    assert facts["num_episodes"] == 3 == len(facts["episode_returns"])
    np.testing.assert_allclose(facts["episode_return_mean"], np.mean(facts["episode_returns"]))
    np.testing.assert_allclose(facts["episode_return_std"], np.std(facts["episode_returns"]))
    assert facts["episode_length_mean"] == 50
    ksim("eval", f"checkpoint={run}", "num_episodes=3", cwd=folder, check=0)
    again = json.loads((run / "eval.json").read_text())
    assert again["episode_returns"] == facts["episode_returns"]


def test_the_final_evaluation_of_training_is_what_eval_gives(trained):
    folder, run = trained
    ksim("eval", "num_episodes=2", cwd=folder, check=0)
    summary = json.loads((run / "summary.json").read_text())
    facts = json.loads((run / "eval.json").read_text())
    assert facts["episode_return_mean"] == summary["eval_return_mean"]


def test_a_policy_of_zeros_needs_no_checkpoint(tmp_path):
    ksim(
        *("eval", "task=cartpole", "policy=zero", "num_episodes=2", "num_envs=2", "batch_size=1"),
        cwd=tmp_path,
        check=0,
    )
    facts = json.loads((tmp_path / "eval.json").read_text())
    assert facts["policy"] == "zero" and facts["checkpoint"] is None


def test_a_group_named_anew_replaces_what_the_run_saved(trained):
    folder, run = trained
    done = ksim("eval", f"checkpoint={run}", "rewards=none", "--cfg", "job", cwd=folder, check=0)
    shown = yaml.safe_load(done.stdout)
    assert shown["rewards"] == {}
    assert shown["num_envs"] == 8, "the rest is the run's"


def test_without_any_run_the_message_says_what_to_do(tmp_path):
    for command in ("eval", "view", "collect"):
        done = ksim(command, cwd=tmp_path, check=2)
        assert "ksim train task=" in done.stderr and "Traceback" not in done.stderr
