import pytest

from ksim_cli.io.console import open_console
from ksim_cli.load_task import make_task
from ksim_cli.run.build import make_training_parts
from ksim_cli.run.describe import describe, joint_rows, term_rows
from ksim_cli.task_model import TaskModel
from tests.helpers import TINY, run_config


@pytest.fixture(scope="module")
def quadruped():
    return TaskModel(make_task(run_config("task=quadruped", *TINY)))


def test_every_term_has_a_row_with_what_was_set(quadruped):
    rows = term_rows(quadruped.mdp)
    assert len(rows) == len(quadruped.mdp.each())
    by_name = {(row[1], row[2]): row for row in rows}
    tracking = by_name["linear_velocity", "linear_velocity"]
    assert tracking is not None
    velocity = by_name["joint_velocity", "joint_velocity"]
    assert velocity[4] == "noise=additive_uniform(magnitude=1)"
    rewards = [row for row in rows if row[3]]
    assert {row[1] for row in rewards} == set(quadruped.mdp.rewards)
    kinds = [row[0] for row in rows if row[0]]
    assert kinds[0] == "actuators" and len(kinds) == len(set(kinds))


def test_every_joint_has_its_limits_and_gains(quadruped):
    rows = {row[0]: row[1:] for row in joint_rows(quadruped)}
    assert len(rows) == 12
    assert rows["FL_calf"] == ["-2.6 … -0.7", "40", "1", "35", "0.01", "0.1", "all"]


def test_joints_without_an_actuator_say_so():
    cartpole = TaskModel(make_task(run_config("task=cartpole", *TINY)))
    rows = {row[0]: row[1:] for row in joint_rows(cartpole)}
    assert rows["slider"] == ["-1.8 … 1.8", "-", "-", "10", "0", "0", "all"]
    assert rows["hinge"] == ["-", "-", "-", "-", "0", "0", "-"]


def test_what_randomizers_cannot_change_is_said(capsys):
    parts = make_training_parts(run_config("task=cartpole", "randomization=mild", *TINY))
    with open_console(None) as console:
        describe(console, parts)
    warned = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in warned] == [
        "randomization.joint_friction",
        "randomization.armature",
    ]
    assert "dof_frictionloss of joint 'slider', joint 'hinge' stays as it is" in warned[0]
