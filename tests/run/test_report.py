import json
import os
import re

import pytest

from ksim_cli.cli import main
from ksim_cli.io.formatting import label
from ksim_cli.io.runs import RunFolder
from ksim_cli.run import report as report_module
from ksim_cli.run.report import show_sweep
from ksim_cli.view.page import MARK, page
from tests.run.written_runs import rising, write_run
from tests.view.test_page import Reader

STRANGE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>$\\frac{"


def ksim(*typed):
    try:
        return main(list(typed))
    except SystemExit as left:
        return left.code


@pytest.fixture
def run(project):
    return write_run(project / "runs/cartpole/a", "num_envs=32", rows=rising())


@pytest.fixture
def sweep(project):
    """Two values of gamma, three seeds each: returns 10, 20, 30 and 110, 120, 130."""
    for i in range(6):
        gamma, seed = (0.9, 0.99)[i // 3], i % 3
        write_run(
            project / f"runs/sweeps/s/{i}",
            f"algo.gamma={gamma}",
            rows=rising(slope=1 + i),
            seed=seed,
            returned=100.0 * (i // 3) + 10 * (seed + 1),
        )
    return project / "runs/sweeps/s"


def test_the_report_of_a_run_lies_in_its_folder(run, capsys):
    (run / "train.log").write_text(
        "2026-01-01 00:00:00  typed: num_envs, task\n2026-01-01 00:00:00  warning: too slow\n"
    )
    (run / "eval.json").write_text('{"episode_return_mean": 77.5, "num_episodes": 9}')
    assert ksim("report") == 0
    said = capsys.readouterr().out
    assert "written: runs/cartpole/a/report.html" in said and "eval return" in said
    text = (run / "report.html").read_text("utf-8")
    found = Reader(text)
    titles = [each for each in found.texts if each in dict(report_module.SECTIONS)]
    assert titles == ["Episodes", "Reward terms", "Learning"]
    for shown in ("episode_return", "reward/balance", "loss", "too slow", "77.5", "velocity"):
        assert any(shown in each for each in found.texts), shown
    assert "0.12.0" in found.texts, "versions"
    assert "0.125" in found.texts, "the command error of the evaluation"
    assert re.search(r'class="typed">num_envs</td><td[^>]*>32</td><td[^>]*>\d+</td>', text)
    assert re.search(r'class="typed">task.name</td><td>cartpole</td><td>cartpole</td>', text)
    assert "algo.gamma" not in found.texts, "what is the task's default"
    assert "script" not in found.tags and "://" not in text


def test_runs_side_by_side_are_groups_with_intervals(sweep, project, capsys):
    assert ksim("report", "runs/sweeps/s") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-2] == "mean over the seeds ± 95 % confidence interval (Student's t)"
    assert "6 runs" in said
    assert re.search(r"0\.9 +n=3: 0, 1, 2 +20\.00 ± 24\.84", said)
    assert re.search(r"0\.99 +n=3: 0, 1, 2 +120\.0 ± 24\.84", said)
    text = (project / "report.html").read_text("utf-8")
    found = Reader(text)
    for shown in ("algo.gamma", "20.00 ± 24.84", "n=3: 0, 1, 2", "gamma=0.99"):
        assert shown in found.texts
    assert "runs/sweeps/s/5" in found.texts
    assert text.count("PolyCollection") >= 2 * 4 or text.count("FillBetween") >= 2 * 4, "bands"


@pytest.fixture
def blank(monkeypatch):
    """Pages without anything, where it is not the page that matters."""
    monkeypatch.setattr(report_module, "compose", lambda groups: page("blank", []))


def test_several_runs_go_where_they_are_told(run, sweep, project, blank):
    assert ksim("report", "runs/cartpole/a", "runs/sweeps/s/0", "out=both.html") == 0
    assert (project / "both.html").is_file() and not (project / "report.html").exists()
    (project / "folder").mkdir()
    assert ksim("report", "runs/cartpole/a", "out=folder") == 0
    assert (project / "folder/report.html").is_file() and not (run / "report.html").exists()


def test_nobody_else_s_file_is_written_over(run, project, blank, capsys):
    (project / "mine.html").write_text("<html>mine</html>")
    (project / "link.html").symlink_to("mine.html")
    for name, why in (("mine.html", "no report of ksim's"), ("link.html", "is a link")):
        assert ksim("report", f"out={name}") == 2
        assert why in capsys.readouterr().err
    assert (project / "mine.html").read_text() == "<html>mine</html>"
    assert ksim("report", "out=no/such/folder/x.html") == 2
    assert "Type out=FILE" in capsys.readouterr().err
    for _ in range(2):
        assert ksim("report") == 0, "its own it writes anew"
    assert MARK in (run / "report.html").read_text("utf-8")


def test_a_stranger_s_texts_are_shown_and_run_nothing(project, capsys):
    rows = [{STRANGE: 1.0 * i, f"reward/{STRANGE}": 2.0 * i, "\ud800\x00": 1.0} for i in range(3)]
    run = write_run(project / "runs" / "<script>x", rows=rows)
    summary = json.loads((run / "summary.json").read_text())
    summary |= {"versions": {STRANGE: STRANGE}, "eval_command_errors": {STRANGE: 1.5}}
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "train.log").write_text(
        f"2026-01-01 00:00:00  typed: {STRANGE}\n2026-01-01 00:00:00  warning: {STRANGE}\n"
    )
    (run / "videos").mkdir()
    (run / "videos" / f"{STRANGE.replace('/', '')}.png").write_bytes(b"no picture")
    assert ksim("report", "runs/<script>x", "out=x.html") == 0
    text = (project / "x.html").read_text("utf-8")
    found = Reader(text)
    assert "script" not in found.tags and found.tags.count("img") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert STRANGE in found.texts and label(f"reward/{STRANGE}", 60) in found.texts


@pytest.mark.parametrize(
    "changes", [{"rewards": {"<script>": {"type": "x"}}}, {"observations": {"<b>": {}}}]
)
def test_a_stranger_s_names_of_terms_are_refused(project, changes, capsys):
    write_run(project / "runs/x", rows=rising(), **changes)
    assert ksim("report", "runs/x") == 2
    assert "is no plain name" in capsys.readouterr().err


def test_a_stranger_s_values_are_escaped(project):
    config = {"rewards": {"balance": {"type": "cartpole_balance", "note": STRANGE}}}
    run = write_run(project / "runs/x", rows=rising(), **config)
    assert ksim("report", "runs/x") == 0
    found = Reader((run / "report.html").read_text("utf-8"))
    assert "script" not in found.tags and any("<script>" in each for each in found.texts)


def test_no_link_leads_out_of_a_run(run, project, capsys):
    (project / "secret.png").write_bytes(b"secret")
    (run / "videos").mkdir()
    (run / "videos/a.png").symlink_to(project / "secret.png")
    assert ksim("report") == 2
    assert "is a link" in capsys.readouterr().err
    (run / "videos/a.png").unlink()
    (run / "report.html").symlink_to(project / "secret.png")
    assert ksim("report") == 2
    assert (project / "secret.png").read_bytes() == b"secret"


def test_a_large_video_is_named_and_left_out(run, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_MEDIA", 100)
    (run / "videos").mkdir()
    (run / "videos/a.mp4").write_bytes(b"v" * 101)
    (run / "videos/b.png").write_bytes(b"p" * 100)
    assert ksim("report") == 0
    text = (run / "report.html").read_text("utf-8")
    assert "a.mp4: 0.0 MB, too large" in text and "video/mp4" not in text
    assert text.count("data:image/png;base64,") == 1


def test_of_several_runs_one_that_cannot_be_read_is_left_out(sweep, blank, capsys):
    (sweep / "0/config.yaml").write_text("nonsense: 1\n")
    assert ksim("report", "runs/sweeps/s") == 0
    said = capsys.readouterr()
    assert "left out:" in said.err and "5 runs" in said.out
    assert ksim("report", "runs/sweeps/s/0") == 2


def test_a_run_that_has_just_begun_has_a_report(project, capsys):
    run = write_run(project / "runs/cartpole/a", ended=False)
    assert ksim("report") == 0
    assert "not ended, nothing was logged yet" in (run / "report.html").read_text("utf-8")


def test_what_is_always_zero_and_what_is_too_much_is_named(project, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_CURVES", 2)
    run = write_run(project / "runs/a", rows=[{"still": 0.0, "p": 1, "q": 2, "r": 3}])
    assert ksim("report") == 0
    text = (run / "report.html").read_text("utf-8")
    assert "Always zero: still." in text and "Not drawn, too many: r." in text
    assert text.count("<svg") == 2


def test_neither_jax_nor_mujoco_is_needed(run):
    import subprocess
    import sys

    code = (
        "import sys; from ksim_cli.cli import main; assert main(['report']) == 0;"
        "assert not [m for m in ('jax', 'mujoco', 'matplotlib.pyplot') if m in sys.modules]"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("absent",), "No run 'absent'"),
        (("outt=x",), "no key 'outt'. Did you mean 'out'?"),
        (("--help=1",), "no option"),
    ],
)
def test_a_mistake_is_one_message(run, typed, said, capsys):
    assert ksim("report", *typed) == 2
    err = capsys.readouterr().err
    assert err.startswith("ksim report: ") and said in err


def test_the_table_at_the_end_of_a_sweep(sweep, project, capsys):
    write_run(project / "runs/sweeps/s/6", ended=False)
    show_sweep([sweep, sweep / "0", project / "absent"])
    said = capsys.readouterr().out
    assert "6 runs" in said, "each once, and without what came to nothing"
    assert "20.00 ± 24.84" in said
    show_sweep([RunFolder(project / "runs/sweeps/s/6").path])
    assert capsys.readouterr().out == ""
