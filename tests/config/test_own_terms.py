"""A user's own types are listed without running anything of his."""

from ksim_cli.cli import main
from ksim_cli.config.own_terms import OwnType, own_types

TERMS = '''
raise RuntimeError("it must not be run")

@registry.REWARDS.register("far")
@REWARDS.register("near")
@dataclass(frozen=True)
class Near(Reward):
    """Near the goal.

    More.
    """

    kind: ClassVar[int] = 3
    distance: float
    sigma: float = 0.25

@TASKS.register("mine")
class Mine(Task):
    pass

@REWARDS.register(name)
class Unclear(Reward):
    pass
'''


def test_own_types_are_read_from_every_file_of_tasks(project):
    assert own_types("rewards") == []
    (project / "tasks" / "mine").mkdir(parents=True)
    (project / "tasks" / "mine" / "terms.py").write_text(TERMS)
    (project / "tasks" / "broken.py").write_text("def (")
    (project / "tasks" / "binary.py").write_bytes(b"\xff\x00")
    fields = "distance: float, sigma: float = 0.25"
    assert own_types("rewards") == [
        OwnType("far", "Near the goal.", fields, "tasks/mine/terms.py"),
        OwnType("near", "Near the goal.", fields, "tasks/mine/terms.py"),
    ]
    assert own_types("observations") == [] and own_types("nothing") == []


def test_they_are_listed_beside_the_built_in_ones(project, capsys):
    (project / "tasks").mkdir()
    (project / "tasks" / "terms.py").write_text(TERMS)
    assert main(["list", "rewards"]) == 0
    text = capsys.readouterr().out
    assert "Near the goal. (tasks/terms.py)" in text and "\n  upright " in text
