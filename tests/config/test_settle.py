"""What a config means only beside what was typed, and the folder it was typed in."""

import dataclasses
from datetime import datetime
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from ksim_cli import commands
from ksim_cli.cli import main
from ksim_cli.config.settle import (
    kept_entries,
    typed_keys,
    with_batch_size,
    with_camera,
    with_paths,
)
from ksim_cli.errors import UserError
from ksim_cli.io import runs as run_folders
from ksim_cli.paths import project_root
from tests.helpers import run_config


@pytest.fixture
def ran(monkeypatch):
    """The configs that reach the work, and the folder of the project as it is then."""
    seen = []

    def work(config):
        hydra = HydraConfig.get()
        seen.append((config, project_root(), hydra.job.override_dirname, Path.cwd()))

    for name in ("_train", "_evaluate"):
        monkeypatch.setattr(commands, name, work)
    return seen


def ksim(*typed):
    try:
        return main(list(typed))
    except SystemExit as left:
        return left.code


def test_keys_that_were_typed():
    typed = typed_keys(["+seed=3", "~rewards.x", "joints={*_x:{kp:1,kd:[1,2]}}", "rewards={}"])
    assert typed == {"seed", "rewards.x", "joints.*_x.kp", "joints.*_x.kd", "rewards"}


def test_entries_set_to_null_or_taken_out_are_gone():
    section = {"a": {"x": 1}, "b": None, "c": {"x": 1, "_removed_": True}}
    assert kept_entries(section, "joints") == {"a": {"x": 1}}
    with pytest.raises(UserError, match=r"joints\.\*_kne: cannot be .* Did you mean '\*_knee'"):
        kept_entries({"*_kne": {"_removed_": True}, "*_knee": {"kp": 1}}, "joints")


SECTIONS = (
    *("joints", "actuators", "observations", "rewards", "terminations", "resets", "commands"),
    *("events", "randomization"),
)


def test_every_section_forgets_an_inherited_entry_that_is_null(project, ran, capsys):
    config = run_config("task=humanoid")
    first = {section: next(iter(getattr(config, section))) for section in SECTIONS}
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [humanoid, _self_]\n"
        + "".join(f'{section}: {{"{entry}": null}}\n' for section, entry in first.items())
    )
    assert ksim("train", "task=mine") == 0
    assert ksim("train", "task=humanoid", *(f"{s}.{entry}=null" for s, entry in first.items())) == 0
    assert ksim("train", "task=humanoid", *(f"~{s}.{entry}" for s, entry in first.items())) == 0
    for section, entry in first.items():
        rest = {name: v for name, v in getattr(config, section).items() if name != entry}
        assert [getattr(config, section) for config, *_ in ran] == [rest] * 3
    for typed in ("rewards.nothing=null", "~events.nothing", "~joints.*_nothing"):
        assert ksim("train", "task=humanoid", typed) == 2
        error = capsys.readouterr().err
        assert "cannot be removed, there is no such entry" in error and error.count("ksim") == 1


def test_an_inherited_table_of_joints_is_edited_by_its_patterns(project, ran):
    typed = ("joints.*_knee.kp=100", "joints.*_knee.kd=7", "joints.*_new.kp=1", "~joints.waist_*")
    assert ksim("train", "task=humanoid", *typed, "joints.*_elbow={kp: 31}") == 0
    joints = ran[0][0].joints
    assert joints["*_knee"] == {"kp": 100, "kd": 7} and joints["*_new"] == {"kp": 1}
    assert "waist_*" not in joints and joints["*_elbow"] == {"kp": 31, "kd": 1.0}


@pytest.mark.parametrize(
    ("num_envs", "devices", "batch_size"),
    [(1, None, 1), (7, None, 7), (48, None, 48), (100, None, 50), (256, None, 64), (97, None, 1)],
)
def test_a_batch_size_that_nobody_typed_follows(
    project, ran, capsys, num_envs, devices, batch_size
):
    assert ksim("train", "task=cartpole", f"num_envs={num_envs}") == 0
    assert ran[0][0].batch_size == batch_size
    assert ("follows num_envs" in capsys.readouterr().err) == (batch_size != 64)


def test_it_suits_the_devices_that_are_typed():
    config = dataclasses.replace(run_config("task=cartpole"), num_devices=4)
    for num_envs, batch_size in ((100, 20), (8, 8), (256, 64), (2, 2)):
        changed = dataclasses.replace(config, num_envs=num_envs)
        assert with_batch_size(changed, {"num_envs", "num_devices"}).batch_size == batch_size


def test_a_batch_size_that_is_typed_or_stands_beside_num_envs_in_a_file_does_not(
    project, ran, capsys
):
    assert ksim("train", "task=cartpole", "num_envs=10", "batch_size=4") == 2
    (project / "configs" / "task").mkdir(parents=True)
    mine = project / "configs" / "task" / "mine.yaml"
    mine.write_text(
        "# @package _global_\ndefaults: [cartpole, _self_]\nnum_envs: 10\nbatch_size: 4\n"
    )
    assert ksim("train", "task=mine") == 2
    assert capsys.readouterr().err.count("must divide num_envs=10") == 2 and not ran
    assert ksim("train", "task=mine", "num_envs=6") == 0
    mine.write_text("# @package _global_\ndefaults: [cartpole, _self_]\nnum_envs: 10\n")
    assert ksim("train", "task=mine") == 0
    assert [config.batch_size for config, *_ in ran] == [3, 10]


def test_a_job_in_a_folder_of_its_own_knows_the_project_and_its_paths(project, ran):
    """`hydra.job.chdir`: what was typed means the folder that it was typed in."""
    (project / "tasks").mkdir()
    for name in ("robot.xml", "a=b.npz", "x.npz"):
        (project / name).write_text("<mujoco/>")
    term = ("resets.m.type=motion_state", "resets.m.path=a=b.npz")
    typed = ("-m", "task=cartpole", "hydra.job.chdir=true", "seed=0,1")
    typed = (*typed, "task.model=robot.xml", "dataset_save_path=a=b", "dump=x.npz", *term)
    assert ksim("train", *typed) == 0
    for i, (config, root, _, folder) in enumerate(ran):
        assert root == project and folder != project
        assert Path(config.run_dir) == folder and folder.name == str(i)
        assert config.task.model == str(project / "robot.xml")
        assert config.dataset_save_path == str(project / "a=b")
        assert config.dump == str(project / "x.npz")
        assert config.resets["m"]["path"] == str(project / "a=b.npz")
    assert project_root() == project


def test_a_folder_of_hydra_is_refused_for_the_runs_own(project, ran, capsys):
    assert ksim("train", "task=cartpole", "hydra.run.dir=x") == 2
    assert "Type run_dir=x" in capsys.readouterr().err and not (project / "x").exists()


def test_paths_in_a_folder_that_was_not_left(project):
    config = dataclasses.replace(run_config("task=cartpole"), run_dir="a/b", checkpoint="latest")
    assert with_paths(config, project, ()) == config
    home = dataclasses.replace(config, run_dir="~/x")
    assert with_paths(home, project, ()).run_dir == str(Path.home() / "x")
    config = dataclasses.replace(config, commands={"c": {"path": "~/x"}, "d": {"path": [1, 2]}})
    wanted = {"c": {"path": str(Path.home() / "x")}, "d": {"path": [1, 2]}}
    assert with_paths(config, project, ()).commands == wanted


def test_a_model_that_lies_beside_the_task_is_left_to_it(project):
    config = run_config("task=cartpole", "task.model=cartpole.xml")
    assert config.task.model == "cartpole.xml"
    (project / "cartpole.xml").write_text("<mujoco/>")
    config = run_config("task=cartpole", "task.model=cartpole.xml")
    assert config.task.model == str(project / "cartpole.xml")


class Frozen(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 2, 3, 4, 5)


def test_sweeps_begun_in_one_second_share_no_folder(project, ran, monkeypatch):
    monkeypatch.setattr(run_folders, "datetime", Frozen)
    sweep = ("train", "-m", "task=cartpole", "rewards.balance.weight=1,2")
    assert ksim(*sweep) == ksim(*sweep) == 0
    folders = [Path(config.run_dir) for config, *_ in ran]
    assert len({*folders}) == 4 and {f.parent.parent for f in folders} == {project / "runs/sweeps"}
    assert [folder.name for folder in folders] == ["0", "1", "0", "1"]


def test_what_names_a_job_holds_no_plus(project, ran):
    assert ksim("train", "-m", "task=cartpole", "rewards.balance.weight=1,2", "algo.gamma=0.9") == 0
    names = [name for _, _, name, _ in ran]
    assert names[0] == "algo.gamma=0.9,rewards.balance.weight=1,task=cartpole"


def test_keys_of_the_free_camera_that_are_typed_come_before_the_one_a_task_names(project, ran):
    config = run_config("task=humanoid")
    assert config.render_camera_name == "side"
    for name in ("track_body_id", "distance", "azimuth", "elevation", "lookat"):
        assert with_camera(config, {f"render_{name}"}).render_camera_name is None
    both = {"render_distance", "render_camera_name"}
    assert with_camera(config, both).render_camera_name == "side"
    assert with_camera(config, {"render_fps"}) is config
    assert ksim("train", "task=humanoid", "render_distance=2") == 0
    assert ran[0][0].render_camera_name is None
