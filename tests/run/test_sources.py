"""What a run takes of another, and that it needs that one no more."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from ksim_cli.errors import UserError
from ksim_cli.io.checkpoint_files import POLICY_FILE, STATE_FILE
from ksim_cli.io.console import open_console
from ksim_cli.io.runs import RunFolder
from ksim_cli.run.build import make_training_parts
from ksim_cli.run.sources import take_sources
from tests.helpers import tiny_cartpole
from tests.run.commands import (
    TINY,
    TINY_LIGHT,
    course,
    ksim,
    ksim_on_devices,
    rows,
    take_light_engine,
)

STILL = "optimizer.learning_rate=1e-30"
"""So small that no weight changes."""


def arrays_of(run, step, file=POLICY_FILE):
    return load_file(run / "checkpoints" / f"{step:08d}" / file)


def params_of(run, step):
    arrays = arrays_of(run, step)
    return {name: x for name, x in arrays.items() if name.startswith("policy/variables/params/")}


def take(finished, folder, *overrides):
    config = tiny_cartpole(f"init_from={finished.run}", *overrides)
    parts = make_training_parts(config)
    return take_sources(config, RunFolder(folder), parts, open_console(None))


def test_weights_and_statistics_are_taken_bit_for_bit(finished, tmp_path):
    given = take(finished, tmp_path)
    assert set(given) == {"variables", "returns"}
    told = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in _leaves(given)}
    stored = {**arrays_of(finished.run, 2), **arrays_of(finished.run, 2, STATE_FILE)}
    for name, array in told.items():
        prefix = "policy" if name.startswith("variables") else "train/learner"
        np.testing.assert_array_equal(array, stored[f"{prefix}/{name}"], err_msg=name)
    assert len(told) == 22
    again = take(finished, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, given, again)


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


def test_what_fits_is_taken_and_the_rest_is_listed(finished, tmp_path, capsys):
    hidden = "model.critic_hidden=[64,16]"
    with pytest.raises(
        UserError, match=r"critic/layers/1/kernel: stored is float32\[64, 64\], asked"
    ):
        take(finished, tmp_path, hidden)
    assert not [*tmp_path.iterdir()], "what is refused is not kept"
    given = take(finished, tmp_path, hidden, "init_from_partial=true")["variables"]
    layers = given.params["critic"]["layers"]
    assert layers[0]["kernel"].shape == (5, 64) and layers[1]["kernel"] is None
    said = capsys.readouterr().out
    assert "init_from: 19 arrays of" in said
    listed = "variables/params/critic/layers/1/bias: stored is float32[64], asked is float32[16]"
    assert listed in said
    (manifest,) = tmp_path.glob("sources/init_from/00000002/manifest.json")
    assert listed in json.loads(manifest.read_text())["info"]["left"]


@pytest.fixture(scope="module")
def begun(finished, tmp_path_factory):
    """A run that began from another, which is gone, and went on."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(finished.run, folder / "other")
    typed = (*TINY, "seed=5", "init_from=other", "run_dir=run", "num_iterations=1")
    ksim("train", *typed, STILL, "actuators=torque", cwd=folder, check=0)
    shutil.rmtree(folder / "other")
    shutil.copytree(folder / "run", folder / "killed")
    ksim("train", "resume=run", "num_iterations=2", cwd=folder, check=0)
    return folder


def test_a_run_begins_with_the_weights_of_another_under_other_actuators(begun, finished):
    before, after = params_of(finished.run, 2), params_of(begun / "run", 2)
    assert before.keys() == after.keys() and len(before) > 10
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)
    counts = "policy/variables/statistics/actor_input/statistics/count"
    seen = [arrays_of(run, 2)[counts] for run in (finished.run, begun / "run")]
    assert seen[1] == seen[0] + 2 * 8 * 8, "the burn-in is not counted"


def test_the_other_run_is_needed_no_more(begun):
    assert (
        len(rows(begun / "run")) == 2
        and "init_from: other" in (begun / "run" / "config.yaml").read_text()
    )
    killed = begun / "killed"
    for name in ("checkpoints", "live"):
        shutil.rmtree(killed / name)
    for name in ("metrics.jsonl", "summary.json"):
        (killed / name).unlink()
    ksim("train", "resume=killed", "num_iterations=2", cwd=begun, check=0)
    assert course(killed) == course(begun / "run"), "killed before its first checkpoint"


@pytest.mark.slow
def test_several_seeds_and_devices_begin_from_the_best_of_several(tmp_path):
    take_light_engine(tmp_path)
    several = (*TINY_LIGHT, "num_seeds=2", "num_devices=1", "num_iterations=1")
    begins = ("init_from=several", STILL, "num_iterations=1", "seed=9")
    done = ksim_on_devices(
        4,
        ["train", *several, "run_dir=several"],
        ["train", *TINY_LIGHT, *begins, "run_dir=four"],
        ["train", *TINY_LIGHT, *begins, "num_seeds=4", "run_dir=seeds"],
        cwd=tmp_path,
    )
    assert [each.returncode for each in done] == [0, 0, 0], done
    assert "init_from: of several, seed" in done[1].stdout and "on 4 devices" in done[1].stdout
    returns = json.loads((tmp_path / "several" / "summary.json").read_text())[
        "eval_return_per_seed"
    ]
    best = int(np.argmax(returns))
    source, four, seeds = (params_of(tmp_path / name, 1) for name in ("several", "four", "seeds"))
    for name, array in source.items():
        np.testing.assert_array_equal(four[name], array[best], err_msg=name)
        np.testing.assert_array_equal(seeds[name], np.stack(4 * [array[best]]), err_msg=name)


def test_a_strangers_policy_is_data(tmp_path, finished):
    """The folder of a run is looked at as it is for `ksim view`: no links, and sound files."""
    shutil.copytree(finished.run, tmp_path / "run")
    policy = tmp_path / "run" / "checkpoints" / "00000002" / POLICY_FILE
    policy.rename(tmp_path / "elsewhere")
    policy.symlink_to(tmp_path / "elsewhere")
    done = ksim("train", *TINY, "init_from=run", cwd=tmp_path, check=2)
    assert "is a link" in done.stderr and not [*tmp_path.glob("runs/*/*")]
