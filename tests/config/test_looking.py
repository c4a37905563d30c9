import pytest

from ksim_cli.config.looking import PlotKeys, ReportKeys, parse_looking
from ksim_cli.errors import UserError


def test_runs_and_keys_in_any_order(project):
    runs, keys = parse_looking("plot", PlotKeys, ["a", "keys=reward,kl", "b/c", "x=iteration"])
    assert runs == ["a", "b/c"]
    assert keys == PlotKeys(keys=["reward", "kl"], x="iteration")
    assert parse_looking("plot", PlotKeys, [])[0] == ["latest"]
    assert parse_looking("report", ReportKeys, ["out='a b.html'"])[1].out == "a b.html"
    assert parse_looking("report", ReportKeys, ["out=null"])[1] == ReportKeys()
    assert parse_looking("plot", PlotKeys, ["keys=[reward/*, kl]", "height=+9"])[1] == PlotKeys(
        keys=["reward/*", "kl"], height=9
    )


def test_a_run_whose_name_holds_an_equals_sign(project):
    (project / "lr=0.1").mkdir()
    assert parse_looking("plot", PlotKeys, ["lr=0.1", "runs/lr=0.2"])[0] == [
        "lr=0.1",
        "runs/lr=0.2",
    ]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("kyes=reward", "no key 'kyes'. Did you mean 'keys'?"),
        ("--keys=reward", "Keys are given without dashes"),
        ("-h5", "no option '-h5'"),
        ("x=steps", "x=steps: is not one of env_steps, iteration, wall_seconds"),
        ("smooth=0", "smooth=0: must be at least 1"),
        ("smooth=1.5", "smooth=1.5: is not a whole number"),
        ("height=" + "9" * 5000, "is not a whole number"),
        ("height=201", "must be at most 200"),
        ("keys=", "keys=: needs a value, as in keys=episode_return,episode_length,reward"),
        ("x=null", "x=: needs a value, as in x=env_steps"),
    ],
)
def test_a_mistake_is_one_message(project, typed, said):
    with pytest.raises(UserError) as caught:
        parse_looking("plot", PlotKeys, [typed])
    assert said in str(caught.value)


def test_a_key_given_twice(project):
    with pytest.raises(UserError, match="'smooth' is given twice"):
        parse_looking("plot", PlotKeys, ["smooth=2", "smooth=3"])
