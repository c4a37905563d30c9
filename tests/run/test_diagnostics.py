"""Warnings of an iteration: each says what to do, and says it once where once is enough."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.io.runs import RunFolder
from ksim_cli.physics.engine import View
from ksim_cli.rl.algorithm import Incident
from ksim_cli.run.diagnostics import Diagnostics
from tests.helpers import tiny_cartpole

SOUND = {"overflow": 0, "quarantined": 0, "skipped_updates": 0.0}


def incident(cause, env=3):
    return Incident(
        cause=jnp.int32(cause),
        step=jnp.int32(2),
        env=jnp.int32(env),
        obs={"actor": jnp.arange(2.0)},
        action=jnp.array([0.5]),
        view=View({"qpos": jnp.array([1.0, jnp.nan])}),
    )


@pytest.fixture
def diagnosed(tmp_path):
    """Reports a row, and gives what was warned of."""
    config = dataclasses.replace(tiny_cartpole(), num_seeds=1)
    warnings = []
    console = SimpleNamespace(warn=warnings.append)
    watching = Diagnostics(RunFolder(tmp_path), console, config, {"naconmax": 10, "njmax": 7})

    def report(iteration=1, about=None, without=(), **changed):
        row = {name: x for name, x in {**SOUND, **changed}.items() if name not in without}
        watching.report(iteration, row, about or incident(0))
        said = " ".join(warnings)
        warnings.clear()
        return said

    return report


def test_nothing_is_said_of_a_sound_iteration(diagnosed, tmp_path):
    assert diagnosed() == ""
    assert not (tmp_path / "quarantine.npz").exists()


def test_updates_that_were_not_applied_are_said_each_time(diagnosed):
    for iteration in (3, 4):
        said = diagnosed(iteration, skipped_updates=0.25)
        assert f"iteration {iteration}: 25% of the updates were not finite" in said


def test_an_algorithm_need_not_count_them(diagnosed):
    assert diagnosed(without=("skipped_updates",)) == ""


def test_room_that_was_too_small_is_said_once_with_twice_of_it(diagnosed):
    said = diagnosed(overflow=5)
    assert "in 5 environment steps" in said and "engine.naconmax=20 engine.njmax=14" in said
    assert diagnosed(overflow=9) == ""


def test_the_first_environment_that_was_not_finite_is_named_and_dumped_once(diagnosed, tmp_path):
    said = diagnosed(7, incident(2 + 8), quarantined=1)
    assert "iteration 7: environment 3 was not finite (view, observation)" in said
    with np.load(tmp_path / "quarantine.npz", allow_pickle=False) as dump:
        assert dump["obs_actor"].tolist() == [0.0, 1.0] and dump["action"].tolist() == [0.5]
        assert np.isnan(dump["view_qpos"][1]) and (dump["step"], dump["env"]) == (2, 3)
    assert diagnosed(8, incident(1, env=9), quarantined=1) == ""
    with np.load(tmp_path / "quarantine.npz", allow_pickle=False) as dump:
        assert dump["env"] == 3
