"""Environments spread over devices: four that XLA makes of one CPU."""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax.sharding import PartitionSpec

from ksim_cli.errors import UserError
from ksim_cli.rl.algorithm import LearnerState, TrainState
from ksim_cli.rl.episodes import episode_tracker
from ksim_cli.run.devices import choose_mesh, state_layout
from ksim_cli.types import per_env
from tests.envs import ProbeState
from tests.helpers import tiny_cartpole
from tests.run.commands import (
    ROOT,
    TINY_LIGHT,
    TINY_MJX,
    check_bench,
    ksim,
    ksim_on_devices,
    rows,
    take_light_engine,
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["engine=mjx", "num_devices=4096"], "num_devices=4096: there (is|are) .* Leave out"),
        (["engine=mujoco", "num_devices=2"], "engine=mujoco computes on one device"),
        (["engine=mujoco", "num_seeds=3", "seed=7"], "ksim train -m seed=7,8,9"),
    ],
)
def test_what_cannot_be_spread_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        choose_mesh(tiny_cartpole(*overrides))


def test_one_device_needs_no_mesh():
    assert choose_mesh(tiny_cartpole("engine=mjx", "num_devices=1")) is None
    assert choose_mesh(tiny_cartpole("engine=mujoco")) is None


def make_state(**fields):
    of = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)  # noqa: E731
    given = {
        "learner": LearnerState(variables={"w": of(8, 3)}, opt_state=of(8)),
        "own": {"returns": of(8)},
        "env": ProbeState(obs={"a": of(8, 2)}, count=of(8), shown=of(8), level=of(), key=of(8)),
        "carry": of(8, 5),
        "rewards": (),
        "tracker": episode_tracker(8),
        "key": of(2),
    }
    return TrainState(**(given | fields))


def test_the_learner_is_everywhere_and_environments_are_spread():
    mesh = jax.make_mesh((1,), ("devices",))
    layout = jax.tree.map(lambda s: s.spec, state_layout(make_state(), mesh))
    spread, everywhere = PartitionSpec("devices"), PartitionSpec()
    # By what the fields are, not by their lengths: here all of them are 8.
    assert layout.learner.variables["w"] == layout.learner.opt_state == everywhere
    assert layout.env.obs == {"a": spread} and layout.env.count == layout.env.shown == spread
    assert layout.env.level == layout.env.key == layout.key == everywhere
    assert layout.carry == layout.own["returns"] == spread and layout.rewards == ()
    assert set(jax.tree.leaves(layout.tracker)) == {spread}


def test_a_state_whose_fields_do_not_say_where_they_lie_is_refused():
    class Unmarked(struct.PyTreeNode):
        obs: jax.Array = per_env()
        level: jax.Array

    mesh = jax.make_mesh((1,), ("devices",))
    state = make_state(env=Unmarked(obs=jnp.zeros(8), level=jnp.zeros(())))
    with pytest.raises(
        TypeError, match=r"Unmarked\.level is marked neither per_env\(\) nor shared"
    ):
        state_layout(state, mesh)


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A folder, and what each command said that was typed in it where there are four devices."""
    folder = tmp_path_factory.mktemp("devices")
    take_light_engine(folder)
    ksim("train", *TINY_LIGHT, "num_iterations=5", "run_dir=one", cwd=folder, check=0)
    odd = [key for key in TINY_LIGHT if not key.startswith(("num_envs", "batch_size"))]
    commands = {
        "train": ("train", *TINY_LIGHT, "num_iterations=5", "run_dir=four"),
        "resume": ("train", "resume=one", "num_devices=4", "num_iterations=7"),
        "odd": ("train", *odd, "num_envs=30", "batch_size=10"),
        "bench": ("bench", *TINY_LIGHT, "bench_seconds=0.1"),
    }
    said = ksim_on_devices(4, *commands.values(), cwd=folder)
    ksim("train", "resume=four", "num_iterations=7", cwd=folder, check=0)
    return folder, dict(zip(commands, said, strict=True))


@pytest.mark.slow
def test_what_is_learned_does_not_depend_on_the_devices(typed):
    folder, said = typed
    assert said["train"].returncode == 0, said["train"]
    assert "engine light on 4 devices" in said["train"].stdout
    names = ("loss", "value_loss", "entropy", "reward", "grad_norm")
    for a, b in zip(rows(folder / "four")[:5], rows(folder / "one")[:5], strict=True):
        for name in names:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_runs_move_between_devices_and_each_goes_on_as_the_other_does(typed):
    folder, said = typed
    assert said["resume"].returncode == 0, said["resume"]
    assert "resumed at iteration 5" in said["resume"].stdout
    assert "on 4 devices" in said["resume"].stdout
    last = [rows(folder / run)[-1] for run in ("four", "one")]
    assert [row["iteration"] for row in last] == [7, 7]
    np.testing.assert_allclose(last[0]["loss"], last[1]["loss"], rtol=1e-4)


@pytest.mark.slow
def test_environments_that_cannot_be_spread_evenly(typed):
    done = typed[1]["odd"]
    assert done.returncode == 2
    assert "num_envs=30, batch_size=10: must be multiples of the 4 devices" in done.stderr
    assert "Type num_envs=36 batch_size=12" in done.stderr


@pytest.mark.slow
def test_bench_on_several_devices(typed):
    done = typed[1]["bench"]
    assert done.returncode == 0, done
    facts = check_bench(done.stdout)
    assert facts["engine"] == "light" and facts["num_envs"] == 64
    assert facts["num_devices"] == 4


@pytest.mark.slow
def test_only_sums_and_small_things_pass_between_devices():
    """Shuffling, resets and the solver's loops stay on their device."""
    program = (
        "import re, sys, jax\n"
        "from ksim_cli.io.console import silent_console\n"
        "from ksim_cli.run.backend import prepare\n"
        "from ksim_cli.run.build import make_training_parts\n"
        "from ksim_cli.run.compile import compile_training\n"
        "from ksim_cli.run.devices import choose_mesh\n"
        "from tests.helpers import run_config\n"
        "config = run_config(*sys.argv[1:])\n"
        "prepare(config)  # what the commands above have compiled is found again\n"
        "parts = make_training_parts(config)\n"
        "assert parts.mesh.size == 4\n"
        "for count in (1, 2):\n"
        "    mesh = choose_mesh(run_config(*sys.argv[1:], f'num_devices={count}'))\n"
        "    assert count == (1 if mesh is None else mesh.size)\n"
        "text = compile_training(parts, 1, silent_console()).step.as_text()\n"
        "moved = 'all-gather|all-to-all|collective-permute'\n"
        "print(*re.findall(rf'= (\\w+\\[[\\d,]*\\]).* (?:{moved})\\(', text), sep='\\n')\n"
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", program, *TINY_MJX],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        cwd=ROOT,
    )
    for shape in done.stdout.split():
        sizes = [int(size) for size in re.findall(r"\d+", shape.partition("[")[2])]
        assert np.prod(sizes, initial=1) <= 16, done.stdout
