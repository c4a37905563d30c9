"""A damaged file of a run is told in one message, whatever the command and the damage."""

import os
import shutil

import pytest

from tests.run.commands import ksim

EVERY_COMMAND = bool(os.environ.get("KSIM_EVERY_COMMAND"))
"""Every command on every damage; else they take turns."""

COMMANDS = {
    "resume": ("train", "resume=run", "num_iterations=2"),
    "eval": ("eval", "checkpoint=run"),
    "collect": ("collect", "checkpoint=run", "dataset_num_batches=1", "dataset_save_path=data"),
    "view": ("view", "checkpoint=run", "viewer_num_seconds=0.1", "render_width=32"),
}
DAMAGES = {
    "garbage": lambda path: path.write_bytes(b"\xff\x00{\n" * 9),
    "no JSON": lambda path: path.write_text("[1, 2\n"),
    "a number": lambda path: path.write_text("7\n"),
    "huge number": lambda path: path.write_text(f'{{"iteration": {"9" * 5000}}}\n'),
    "deep": lambda path: path.write_text("[" * 100_000 + "\n"),
    "folder": lambda path: path.mkdir(),
    "gone": lambda path: None,
}
TOLD = {
    **{("metrics.jsonl", damage): ("resume",) for damage in DAMAGES},
    **{(name, "folder"): tuple(COMMANDS) for name in (".lock", "train.log", "eval.json")},
    **{(name, "folder"): tuple(COMMANDS) for name in ("summary.json", "metrics.jsonl")},
    **{("config.yaml", damage): tuple(COMMANDS) for damage in DAMAGES},
    ("metrics.jsonl", "gone"): (),
}
"""File and damage -> commands that cannot go on; the others do, for they need it for nothing."""


def damaged(finished, tmp_path, name, damage):
    run = tmp_path / "run"
    shutil.copytree(finished.run, run)
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    damage(path)
    return run


def check_told(done, name):
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stderr.count("ksim train: ") + done.stderr.count("ksim eval: ") <= 1
    assert name.split("/")[0] in done.stderr or "No run 'run'" in done.stderr, done.stderr


CASES = [
    (*case, command)
    for i, (case, told) in enumerate(TOLD.items())
    for command in (told if EVERY_COMMAND else [*told[i % max(1, len(told)) :]][:1])
]


@pytest.mark.parametrize(("name", "damage", "command"), CASES)
def test_a_damaged_file(finished, tmp_path, name, damage, command):
    run = damaged(finished, tmp_path, name, DAMAGES[damage])
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    check_told(ksim(*COMMANDS[command], cwd=tmp_path), name)
    log = run / "train.log"  # which was told, too
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    assert {p: t for p, t in after.items() if p not in (log, run)} == {
        p: t for p, t in before.items() if p not in (log, run)
    }


@pytest.mark.parametrize("command", COMMANDS if EVERY_COMMAND else ["resume", "eval"])
def test_checkpoints_that_are_a_file(finished, tmp_path, command):
    damaged(finished, tmp_path, "checkpoints", lambda path: path.touch())
    check_told(ksim(*COMMANDS[command], cwd=tmp_path), "checkpoints")


@pytest.mark.parametrize("command", COMMANDS if EVERY_COMMAND else ["resume", "eval"])
def test_half_a_config(finished, tmp_path, command):
    text = (finished.run / "config.yaml").read_text()
    half = text[: text.index("task:") + 9]
    damaged(finished, tmp_path, "config.yaml", lambda path: path.write_text(half))
    check_told(ksim(*COMMANDS[command], cwd=tmp_path), "config.yaml")


def test_metrics_that_are_gone_are_told_once(finished, tmp_path):
    damaged(finished, tmp_path, "metrics.jsonl", lambda path: None)
    done = ksim("train", "resume=run", cwd=tmp_path, check=0)
    assert done.stderr.count("metrics.jsonl is gone") == 1


@pytest.mark.parametrize("damage", ["garbage", "deep", "a number"])
def test_eval_needs_neither_summary_nor_metrics(finished, tmp_path, damage):
    run = damaged(finished, tmp_path, "summary.json", DAMAGES[damage])
    DAMAGES[damage](run / "metrics.jsonl")
    ksim(*COMMANDS["eval"], cwd=tmp_path, check=0)
