"""A run whose numbers go wrong, from the command to its dump, and on once they are mended."""

import json

import pytest

from ksim_cli.run import view
from tests.canaries import Still
from tests.run.commands import TINY, ksim, rows
from tests.spoilt import typed, write_project

RUN = (*TINY, "run_dir=run")
SHOWN = ("viewer_save_video=false", "render_width=32", "render_height=32")


@pytest.fixture
def own(tmp_path, monkeypatch):
    write_project(tmp_path)
    monkeypatch.setattr(view, "Recorder", Still)
    return tmp_path


@pytest.mark.parametrize(
    ("seen", "paid"),
    [("huge", "broken"), pytest.param("broken", "huge", marks=pytest.mark.slow)],
)
def test_what_some_environments_do_is_named_and_training_goes_on(own, seen, paid):
    bad = (*typed("observations", seen), *typed("rewards", paid, "others"))
    done = ksim("train", *RUN, *bad, "num_iterations=6", cwd=own, check=0)
    names, run = {"observations.odd", "rewards.odd"}, own / "run"
    assert all(row["loss"] is not None for row in rows(run))
    assert rows(run)[-1]["skipped_updates"] == 0.0
    ksim("eval", "checkpoint=run", "num_episodes=16", cwd=own, check=0)
    for file in ("summary.json", "eval.json"):
        facts = json.loads((run / file).read_text())
        assert 0.0 < facts["quarantine_rate"] <= 1.0, file  # eval counts episodes
        shares = facts["quarantined_by"]
        assert set(shares) == names and min(shares.values()) > 0.0, file
        assert sum(shares.values()) == pytest.approx(facts["quarantine_rate"]), file
    for name in names:
        assert name in done.stderr, "the warning"
        assert max(row[f"quarantined/{name}"] for row in rows(run)) > 0
        dump = f"dump=run/dumps/{name}.npz"
        shown = ksim("view", dump, "checkpoint=run", *SHOWN, cwd=own, check=0)
        assert f"{name} was at fault at step" in shown.stdout
        assert (run / "dumps" / f"{name}.gif").exists()


def test_what_all_do_at_every_step_ends_training_and_mended_it_goes_on(own):
    bad = typed("observations", "broken", "all")
    done = ksim("train", *RUN, *bad, "num_iterations=30", cwd=own, check=6)
    dump = "run/dumps/observations.odd.npz"
    assert "training gave up at iteration 10" in done.stderr and dump in done.stderr
    assert all(row["skipped_updates"] == 1.0 for row in rows(own / "run"))
    ksim("view", f"dump={dump}", "checkpoint=run", *SHOWN, cwd=own, check=0)
    mended = ("train", "resume=run", "observations.odd.value=sound", "num_iterations=14")
    ksim(*mended, cwd=own, check=0)
    last = rows(own / "run")[-1]
    assert last["iteration"] == 14 and last["skipped_updates"] == 0.0
    assert last["quarantine_rate"] == 0.0 and last["grad_norm"] > 0.0
