from ksim_cli.config.options import list_options, tasks_without_config


def test_built_in_options(project):
    groups = list_options()
    assert [o.name for o in groups["engine"]] == ["auto", "mjx", "mujoco"]
    assert all(o.source == "built-in" and not o.shadows for o in groups["task"])
    assert tasks_without_config() == []


def test_the_users_options_stand_beside_and_before_them(project):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "tasks" / "folder").mkdir(parents=True)
    (project / "configs" / "task" / "cartpole.yaml").write_text("# @package _global_\n# longer\n")
    (project / "configs" / "task" / "mine.yaml").write_text("num_envs: 3  # no first comment\n")
    (project / "configs" / "task" / "folder.yaml").mkdir()
    (project / "configs" / "task" / "gone.yaml").symlink_to("nowhere")
    for name in ("mine.py", "alone.py", "_private.py", "folder/__init__.py"):
        (project / "tasks" / name).write_text("raise RuntimeError('not to be imported')\n")
    tasks = {o.name: o for o in list_options()["task"]}
    assert tasks["cartpole"].shadows and tasks["cartpole"].description == "longer"
    assert tasks["mine"].source == "./configs" and tasks["mine"].description == ""
    assert tasks["alone"].source == tasks["folder"].source == "./tasks"
    assert "_private" not in tasks and "gone" not in tasks
