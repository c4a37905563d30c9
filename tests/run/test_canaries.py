"""Strangers' runs: nothing in them runs, nothing outside of them changes, whatever is typed."""

import itertools
import os

import pytest

from ksim_cli.physics import model_trial
from tests import canaries
from tests.canaries import COMMANDS, KINDS, attempt
from tests.run.commands import ksim

EACH = 3
"""Runs of each kind that are tried here; `nox -s faults` tries all, with all commands."""


def some():
    """A few runs of each kind; commands take turns."""
    turns = itertools.cycle(COMMANDS)
    for kind, planted in KINDS.items():
        for name in [*planted][:: len(planted) // EACH]:
            yield pytest.param(planted[name], next(turns), id=f"{kind}: {name}")


@pytest.mark.parametrize(("plant", "command"), [*some()])
def test_a_strangers_run_does_no_harm(finished, tmp_path, plant, command):
    assert not attempt(tmp_path, finished.run, plant, command)


def test_a_run_that_is_sealed_anew_is_read_as_any_other(finished, tmp_path):
    """So that what is planted is not refused for its seal alone."""
    run = canaries.make_home(tmp_path, finished.run)
    canaries.rewrite(run, lambda config: config.update(num_episodes=1))
    ksim(*COMMANDS["eval"], cwd=run.parent, check=0)
    ksim("train", "resume=gift", cwd=run.parent, check=0)


def test_a_strangers_model_that_is_found_is_compiled_apart(finished, tmp_path, monkeypatch):
    run = canaries.make_home(tmp_path, finished.run)
    KINDS["model"]["a model of many bodies elsewhere"](run, tmp_path)
    monkeypatch.setattr(model_trial, "SECONDS", 1)
    done = ksim(*COMMANDS["eval"], cwd=run.parent, check=2)
    assert "could not be compiled within 1 s" in done.stderr
    assert f"type task.model={run.parent / 'gift.xml'}" in done.stderr


def test_harm_is_seen(finished, tmp_path, monkeypatch):
    run = canaries.make_home(tmp_path, finished.run)
    before, done = canaries.look(tmp_path, run), ksim("list", cwd=tmp_path)
    (run / "new").touch()
    assert canaries.harm(before, tmp_path, run, done) == ""
    assert "said nothing" in canaries.harm(before, tmp_path, run, done._replace(returncode=2))
    assert "status 1" in canaries.harm(before, tmp_path, run, done._replace(returncode=1))
    (run.parent / "mine").write_text("yours")
    assert canaries.harm(before, tmp_path, run, done) == "changed: ['work/mine']"
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    function, arguments = canaries.Bomb().__reduce__()
    function(*arguments)
    assert canaries.harm(before, tmp_path, run, done) == "code was run"
