"""Warnings of an iteration: each says what to do, and says it once where once is enough."""

import dataclasses
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.io.dumps import read_dump
from ksim_cli.io.runs import RunFolder
from ksim_cli.physics.engine import View
from ksim_cli.rl.incident import Incident
from ksim_cli.run.diagnostics import Diagnostics
from tests.helpers import tiny_cartpole

SOUND = {"overflow": 0, "quarantined": 0, "quarantine_rate": 0.0, "skipped_updates": 0.0}


def incident(cause, env=3):
    return Incident(
        cause=jnp.int32(cause),
        step=jnp.int32(2),
        env=jnp.int32(env),
        obs={"actor": jnp.arange(8.0).reshape(4, 2)},
        action=jnp.full((4, 1), 0.5),
        view=View({"qpos": jnp.full((4, 2), jnp.nan), "qvel": jnp.zeros((4, 2))}),
        commands={"speed": jnp.zeros(4)},
        rewards={"up": jnp.ones(4)},
        suspects=("physics", "observations.imu"),
    )


OBS = {"actor": np.array([[1.0, 0.0, 2.0], [1.0, 0.5, 2.0]])}
ENV = SimpleNamespace(
    engine=SimpleNamespace(buffer_sizes={"naconmax": 10, "njmax": 7}),
    observation_layout={"actor": {"still": 1, "moves": 2}},
)


def watching(folder, warnings, obs=OBS, num_seeds=1):
    config = dataclasses.replace(tiny_cartpole(), num_seeds=num_seeds)
    console = SimpleNamespace(warn=warnings.append)
    obs = jax.tree.map(jnp.array, obs)
    return Diagnostics(RunFolder(folder), console, config, ENV, obs, Counter())


@pytest.fixture
def diagnosed(tmp_path):
    """Reports a row, and gives what was warned of."""
    warnings = []
    diagnostics = watching(tmp_path, warnings)

    def report(iteration=1, about=None, without=(), **changed):
        row = {name: x for name, x in {**SOUND, **changed}.items() if name not in without}
        moved = {"actor": jnp.array(OBS["actor"]) + 1.0}
        diagnostics.report(iteration, row, about or incident(0), moved)
        said = " ".join(warnings)
        warnings.clear()
        return said

    return report


def test_observations_are_looked_at_when_training_starts(tmp_path):
    warnings = []
    diagnostics = watching(tmp_path, warnings)
    same = jax.tree.map(jnp.array, OBS)
    # Episodes that end at once leave every environment at its reset, where all looks as before.
    diagnostics.report(1, {**SOUND, "episode_length": 1.0}, incident(0), same)
    assert not warnings
    for iteration in (2, 3):
        diagnostics.report(iteration, SOUND, incident(0), same)
    assert warnings == [
        "observations.still is always the same, in all environments."
        " Leave it out: observations.still=null"
    ]


def test_nothing_is_said_of_a_sound_iteration(diagnosed, tmp_path):
    assert diagnosed() == ""
    assert not (tmp_path / "dumps").exists()


def test_updates_that_were_not_applied_are_said_each_time(diagnosed):
    for iteration in (3, 4):
        said = diagnosed(iteration, skipped_updates=0.25)
        assert f"iteration {iteration}: 25% of the updates were not finite" in said


def test_room_that_was_too_small_is_said_once_with_twice_of_it(diagnosed):
    said = diagnosed(overflow=5)
    assert "in 5 environment steps" in said and "engine.naconmax=20 engine.njmax=14" in said
    assert diagnosed(overflow=9) == ""


def test_the_first_environment_of_each_fault_is_named_and_dumped_once(diagnosed, tmp_path):
    said = diagnosed(7, incident(2), quarantined=1, **{"quarantined/observations.imu": 1})
    assert "iteration 7: observations.imu was not finite, or too large, in environment 3" in said
    assert "leave it out: observations.imu=null" in said
    path = tmp_path / "dumps" / "observations.imu.npz"
    assert f"ksim view dump={path}" in said
    dump = read_dump(path)
    assert (dump.at_fault, dump.step, dump.arrays["env"], dump.arrays["iteration"]) == (
        *("observations.imu", 2, 3, 7),
    )
    assert dump.steps("obs/actor").tolist() == [[0, 1], [2, 3], [4, 5]]
    assert dump.steps("reward/up").tolist() == [1, 1, 1]
    assert np.isnan(dump.steps("view/qpos")).all() and dump.steps("action").shape == (3, 1)
    assert diagnosed(8, incident(2, env=9), quarantined=1) == ""
    assert read_dump(path).arrays["env"] == 3
    assert "physics was not finite" in diagnosed(9, incident(1), quarantined=1)
    assert (tmp_path / "dumps" / "physics.npz").is_file()


def test_it_is_said_when_more_and_more_is_quarantined(diagnosed):
    said = [
        diagnosed(i, incident(1), quarantined=1, quarantine_rate=rate).count("of its environment")
        for i, rate in enumerate([0.005, 0.02, 0.05, 0.12, 0.2, 0.9, 0.95])
    ]
    assert said == [0, 1, 0, 1, 0, 1, 0]


def test_training_is_given_up_after_ten_iterations_without_an_update(tmp_path):
    diagnostics = watching(tmp_path, [])
    for share in [*[1.0] * 9, 0.9, *[1.0] * 9]:
        diagnostics.count_updates([share])
        assert diagnostics.why_give_up() is None
    diagnostics.count_updates([1.0])
    assert "lower optimizer.learning_rate" in diagnostics.why_give_up()
    obs = jax.tree.map(jnp.array, OBS)
    diagnostics.report(11, {**SOUND, "quarantined": 1}, incident(1), obs)
    assert f"Last dump: {tmp_path / 'dumps' / 'physics.npz'}" in diagnostics.why_give_up()


def test_one_seed_that_is_lost_is_told_and_the_others_go_on(tmp_path):
    said = []
    diagnostics = watching(tmp_path, said, num_seeds=3)
    for _ in range(12):
        diagnostics.count_updates([0.0, 1.0, 0.1])
    assert diagnostics.why_give_up() is None
    assert len(said) == 1 and "the 2. of 3 seeds has learned nothing for 10" in said[0]
    for _ in range(10):
        diagnostics.count_updates([1.0, 1.0, 1.0])
    assert "no update of the last 10 iterations" in diagnostics.why_give_up()


SHORT = {"episode_length": 1.2, "termination/low": 0.9, "termination/tilted": 0.1}


def test_episodes_that_end_at_once_are_said_once_with_what_ends_them(diagnosed):
    assert diagnosed(1, **SHORT) == diagnosed(2, **SHORT) == ""
    said = diagnosed(3, **SHORT)
    assert "every episode ends at its first steps (mean length 1.2)" in said
    assert "by terminations.low (90% of them)" in said and "terminations.low=null" in said
    assert diagnosed(4, **SHORT) == ""


def test_episodes_that_end_at_once_now_and_then_are_not_said(diagnosed):
    for iteration in range(6):
        length = 1.2 if iteration % 3 else 30.0
        assert diagnosed(iteration, **{**SHORT, "episode_length": length}) == ""
    assert diagnosed(7, episode_length=None) == ""


def test_episodes_that_are_never_finite_are_said_to_be_so(diagnosed):
    for iteration in (1, 2):
        assert diagnosed(iteration, episode_length=1.0, **{"termination/low": None}) == ""
    assert "since they are not finite" in diagnosed(3, episode_length=1.0)
