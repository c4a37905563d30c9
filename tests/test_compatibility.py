"""The check of public models, on models of our own."""

import mujoco
import pytest

from tests import compatibility
from tests.compatibility import DIFFERS, NO_MODEL, NOTHING_TO_DRIVE, PASSES, Result
from tests.helpers import SMALL, run_config


@pytest.fixture(scope="module")
def config():
    return run_config("task=model", "num_envs=2", "batch_size=2", "rollout_length_frames=1")


def written(folder, text):
    file = folder / "model.xml"
    file.write_text(text)
    return str(file)


def test_a_model_passes_where_it_moves_as_the_file_does_and_differs_elsewhere(tmp_path, config):
    file = written(tmp_path, SMALL)
    assert compatibility.check(file, config) == Result(file, PASSES)
    heavier = mujoco.MjModel.from_xml_string(SMALL.replace('mass="0.2"', 'mass="0.4"'))
    status, reason = compatibility.compare(file, heavier, config)
    assert status == DIFFERS and reason.startswith("step 1: joint")


def test_a_file_that_is_no_model_is_told_from_one_without_joints(tmp_path, config):
    file = written(tmp_path, '<mujoco><worldbody><geom type="mesh" mesh="x"/></worldbody></mujoco>')
    assert compatibility.check(file, config).status == NO_MODEL
    file = written(tmp_path, "<mujoco/>")
    assert compatibility.check(file, config) == Result(file, NOTHING_TO_DRIVE)


def test_files_of_a_package_are_those_whose_root_is_a_robot(tmp_path):
    names = {"a.xml": "<mujoco/>", "b.xml": "<mujocoinclude/>", "c.urdf": "<robot/>", "d.xml": "<"}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    roots = {name: compatibility.root_element(tmp_path / name) for name in names}
    assert roots == {"a.xml": "mujoco", "b.xml": "mujocoinclude", "c.urdf": "robot", "d.xml": ""}


def test_the_report_counts_and_names_what_does_not_pass():
    at = "/somewhere/site-packages/p/"
    results = {
        "p": [
            Result(f"{at}a.xml", PASSES),
            Result(f"{at}b.xml", DIFFERS, "step 1: joint knee is 0.1 off"),
            Result(f"{at}c.xml", NO_MODEL, f"Error: Error opening file '{at}c.stl'"),
            Result(f"{at}d.xml", NOTHING_TO_DRIVE),
        ]
    }
    text = compatibility.report(results)
    assert "1 of 2 models" in text and "| p |  | 2 | 1 | 1 | 0 | 1 | 1 |" in text
    assert "* `p/b.xml` differs: step 1: joint knee is 0.1 off" in text
    assert "* 1: refers to a file that the package does not have" in text
    assert "somewhere" not in text
