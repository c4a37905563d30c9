import pytest

from ksim_cli.io.console import Console
from tests.run.test_report import ksim
from tests.run.written_runs import rising, write_run


@pytest.fixture
def run(project):
    return write_run(project / "runs/cartpole/a", rows=rising())


def test_a_pipe_gets_plain_lines_of_one_width(run, capsys, monkeypatch):
    outputs = set()
    for columns in ("40", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        assert ksim("plot") == 0
        outputs.add(capsys.readouterr().out)
    (said,) = outputs
    assert max(map(len, said.splitlines())) <= 100 and "\x1b" not in said
    assert "episode_return" in said and "episode_length" not in said, "what the run has"
    assert len(said.splitlines()) == 2 * 14 + 1


def test_a_terminal_gets_colours_and_its_width(run, capsys, monkeypatch):
    monkeypatch.setattr(Console, "live", True)
    monkeypatch.setenv("COLUMNS", "60")
    assert ksim("plot", "keys=reward", "height=8") == 0
    said = capsys.readouterr().out
    assert "\x1b[" in said and len(said.splitlines()) == 8


def test_keys_and_patterns_choose(run, capsys):
    assert ksim("plot", "keys=loss,reward*") == 0
    said = capsys.readouterr().out.splitlines()
    assert [
        line.strip() for line in said if line.strip() in ("loss", "reward", "reward/balance")
    ] == [
        "loss",
        "reward",
        "reward/balance",
    ]


def test_over_what_and_how_smooth(run, capsys):
    assert ksim("plot", "keys=episode_return", "x=iteration", "smooth=5") == 0
    said = capsys.readouterr().out
    assert "iteration" in said and "5.0" in said.splitlines()[-2]
    assert said.splitlines()[2].startswith("3.000"), "the mean of 1 … 5"


def test_several_runs_are_drawn_over_each_other(run, project, capsys):
    write_run(project / "runs/cartpole/b", rows=rising(slope=3), seed=1)
    write_run(project / "runs/cartpole/c", "algo.gamma=0.5", rows=rising(slope=5))
    assert ksim("plot", "runs/cartpole/a", "runs/cartpole/b", "keys=episode_return") == 0
    said = capsys.readouterr().out
    assert "cartpole seed=0" in said and "cartpole seed=1" in said
    assert ksim("plot", "runs/cartpole", "keys=episode_return") == 0
    said = capsys.readouterr().out
    assert "gamma=0.5" in said and "seed=1" in said and "@" not in said


def test_of_many_runs_the_groups_are_drawn(project, capsys):
    for seed in range(9):
        write_run(project / f"runs/many/{seed}", rows=rising(), seed=seed)
    write_run(project / "runs/many/9", "algo.gamma=0.5", rows=rising(slope=2))
    assert ksim("plot", "runs/many", "keys=reward") == 0
    said = capsys.readouterr().out
    assert ", n=9" in said and ", n=1" in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("keys=episode_retrun", "Did you mean 'episode_return'?"),
        ("keys=reward,absent/*", "keys=absent/*: these runs have no such scalar"),
        ("absent", "No run 'absent'"),
        ("color=red", "no key 'color'"),
    ],
)
def test_a_mistake_is_one_message(run, typed, said, capsys):
    assert ksim("plot", typed) == 2
    err = capsys.readouterr().err
    assert err.startswith("ksim plot: ") and said in err


def test_a_run_that_has_just_begun(project, capsys):
    write_run(project / "runs/cartpole/a", ended=False)
    assert ksim("plot") == 2
    assert "logged nothing yet" in capsys.readouterr().err
