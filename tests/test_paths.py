import pytest

from ksim_cli.errors import UserError
from ksim_cli.paths import GROUPS, builtin_root, project_root, project_roots, task_file


def test_the_built_in_root_has_configs_and_tasks():
    root = builtin_root()
    assert (root / "configs" / "train.yaml").is_file()
    assert task_file(root, "cartpole") == root / "tasks" / "cartpole" / "__init__.py"
    assert task_file(root, "nothing") is None
    groups = {p.name for p in (root / "configs").iterdir() if p.is_dir()}
    assert groups <= {*GROUPS, "hydra"}


def test_a_folder_is_a_project_if_it_has_tasks_or_a_group_of_configs(project, monkeypatch):
    assert project_root() is None and project_roots() == [builtin_root()]
    (project / "configs").mkdir()
    assert project_root() is None, "any other program has a configs folder too"
    (project / "configs" / "task").mkdir()
    assert project_root() == project.resolve()
    assert project_roots() == [project.resolve(), builtin_root()]
    monkeypatch.chdir(builtin_root())
    assert project_root() is None
    monkeypatch.setenv("KSIM_PROJECT", str(project))
    assert project_root() == project.resolve()


def test_a_named_project_must_be_one(project, monkeypatch):
    monkeypatch.setenv("KSIM_PROJECT", str(project / "nowhere"))
    with pytest.raises(UserError, match=r"KSIM_PROJECT=.*nowhere: holds neither tasks/"):
        project_root()
