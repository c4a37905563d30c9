"""Runs that a new run takes something of, written out before JAX is imported."""

import dataclasses

import pytest

from ksim_cli.config.components import DistillConfig
from ksim_cli.config.saved import config_text
from ksim_cli.errors import UserError
from ksim_cli.io.checkpoint_files import MANIFEST
from ksim_cli.io.sources import _GROUPS, with_sources
from ksim_cli.mdp.term import Observation
from tests.helpers import run_config


@pytest.fixture
def runs(tmp_path):
    """A folder with a run of a teacher that sees a little more than the cart-pole's own."""
    config = run_config(
        "task=cartpole", "model=gru", "model.actor_groups=[actor,more]", "model.hidden_size=7"
    )
    seen = config.observations
    seen["velocity"] = {**seen["velocity"], "groups": ["critic", "more"]}
    seen["cart_position"] = {**seen["cart_position"], "groups": ["critic"]}
    run = tmp_path / "cartpole" / "2026-01-02_03-04-05"
    (run / "checkpoints" / "00000012").mkdir(parents=True)
    (run / "checkpoints" / "00000012" / MANIFEST).write_text("")
    (run / "config.yaml").write_text(config_text(config))
    return tmp_path, run


def test_what_is_newest_now_is_written_out(runs):
    root, run = runs
    config = run_config("task=cartpole")
    for spec, found in (("latest", run), (str(run / "checkpoints" / "00000012"), None)):
        got = with_sources(dataclasses.replace(config, init_from=spec), root)
        assert got.init_from == str(found or spec)
    assert with_sources(config, root) == config


def test_of_a_teacher_its_networks_and_what_they_see_are_written(runs):
    root, run = runs
    config = run_config("task=cartpole")
    config = dataclasses.replace(config, algo=vars(DistillConfig(teacher="latest")))
    algo = with_sources(config, root).algo
    assert algo["teacher"] == str(run)
    assert algo["teacher_model"]["type"] == "gru" and algo["teacher_model"]["hidden_size"] == 7
    seen = algo["teacher_observations"]
    assert {name: each["groups"] for name, each in seen.items()} == {
        "teacher_pole_angle": ["teacher_actor"],
        "teacher_velocity": ["teacher_more"],
    }
    assert seen["teacher_velocity"]["type"] == "joint_velocity"
    assert Observation().groups == _GROUPS


def test_nobody_is_no_teacher(runs):
    config = dataclasses.replace(run_config("task=cartpole"), algo=vars(DistillConfig()))
    with pytest.raises(UserError, match=r"algo.teacher: whose .* Type algo.teacher=RUN"):
        with_sources(config, runs[0])
    with pytest.raises(UserError, match="No run 'x'"):
        with_sources(dataclasses.replace(config, algo=vars(DistillConfig(teacher="x"))), runs[0])
