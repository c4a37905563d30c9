"""What only MuJoCo Warp has; tests/physics/test_mjx_engine.py runs on it too."""

import copy
import json

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics import mjx_backends
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import make_engine
from tests.helpers import SMALL, variants_of
from tests.run.commands import ksim

warp = pytest.importorskip("warp")

N = 16
# A task of the small model: what the tests above have compiled, training on it finds again.
BALL = """
# @package _global_
dt: 0.002
ctrl_dt: 0.004
actuators: {all: {type: torque}}
observations: {joints: {type: joint_position}}
rewards: {alive: {type: stay_alive}}
terminations: {time_limit: {type: episode_length, max_length_seconds: 0.04}}
"""
TINY = (
    *("train", "engine=mjx", "engine.impl=warp", "num_envs=4", "batch_size=2", "num_episodes=2"),
    *("rollout_length_frames=4", "max_env_steps=null", "num_iterations=2", "run_dir=run"),
)


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


def warp_engine(model, **keys):
    return make_engine("mjx", EngineSpec(model=model, num_envs=N, impl="warp", **keys))


def overflows(engine):
    """After a step in which all balls lie on the floor, and after one in which none does."""
    flat = jnp.tile(jnp.asarray(engine.spec.model.qpos0, jnp.float32), (N, 1))
    control = jnp.zeros((N, engine.spec.model.nu))

    @jax.jit
    def run(qpos):
        prepared = engine.prepare(qpos, jnp.zeros((N, engine.spec.model.nv)), jnp.zeros(N, int))
        state = engine.reset(engine.init(), jnp.ones(N, bool), prepared)
        return engine.overflows(engine.step(state, control, 2)).sum()

    return int(run(flat)), int(run(flat.at[:, 2].add(1.0)))


@pytest.mark.slow
def test_what_does_not_fit_is_counted_and_not_printed(model, capfd):
    assert overflows(warp_engine(model)) == (0, 0)
    # The contacts of all environments share one buffer: all have overflown together.
    assert overflows(warp_engine(model, naconmax=N - 1)) == (N, 0)
    assert overflows(warp_engine(model, njmax=3)) == (N, 0)
    assert "overflow" not in "".join(capfd.readouterr())


def test_the_count_is_of_the_last_step(model):
    engine = warp_engine(model, njmax=3)
    step = jax.jit(lambda s: engine.step(s, jnp.zeros((N, model.nu)), 1))
    state = step(jax.jit(engine.init)())
    assert int(engine.overflows(state).sum()) == N
    up = state.data.qpos.at[1:, 2].add(1.0)
    assert int(engine.overflows(step(state.replace(data=state.data.replace(qpos=up)))).sum()) == 1


def test_sizes_come_from_the_model_or_from_the_user(model):
    assert warp_engine(model).buffer_sizes == {"naconmax": N, "njmax": 4}
    given = {"naconmax": 100, "njmax": 7}
    assert warp_engine(model, **given).buffer_sizes == given


def test_steps_agree_bit_for_bit_whether_taken_one_by_one_or_donated(model):
    engine = warp_engine(model, fields=frozenset({"sensordata"}))
    control = jnp.ones((N, model.nu))
    one = jax.jit(lambda s: engine.step(s, control, 1))
    four = jax.jit(lambda s: engine.step(s, control, 4), donate_argnums=0)
    state = jax.jit(engine.init)()
    slow = state
    for _ in range(4):
        slow = one(slow)
    fast = four(state)
    assert all(leaf.shape[0] == N for leaf in jax.tree.leaves(fast))
    jax.tree.map(np.testing.assert_array_equal, slow, fast)


def test_the_graph_mode_is_what_the_user_says(model, monkeypatch):
    def mode(**keys):
        return warp_engine(model, **keys)._backend.put(model).opt._impl.graph_mode.name

    assert mode() == mode(graph_mode="none") == "NONE"
    with pytest.raises(UserError, match=r"engine.graph_mode=warp: .*there is none. Leave it out"):
        warp_engine(model, graph_mode="warp")
    monkeypatch.setattr(mjx_backends, "on_nvidia", lambda: True)
    assert mode() == "WARP"
    assert mode(graph_mode="warp_staged") == "WARP_STAGED"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("'geom_pos' of what cannot move", lambda m: m.geom_pos.__setitem__((0, 2), -0.1)),
        ("sizes, types or flags", lambda m: setattr(m.opt, "iterations", 3)),
        ("sizes, types or flags", lambda m: m.geom_condim.__setitem__(1, 1)),
    ],
)
def test_variants_that_differ_where_warp_has_one_value_are_refused(model, field, change):
    changed = copy.copy(model)
    change(changed)
    with pytest.raises(UserError, match=f"differ in .*{field}.*Use engine.impl=jax"):
        warp_engine(model, variants=variants_of(model, model, changed))


def test_a_model_that_is_not_to_reset_itself_is_taken(model):
    model = copy.copy(model)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    warp_engine(model)
    assert model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET


@pytest.mark.slow
def test_cartpole_trains(tmp_path):
    short = "terminations.time_limit.max_length_seconds=0.1"
    done = ksim(*TINY, "task=cartpole", short, cwd=tmp_path, check=0)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["engine"], summary["iterations"]) == ("mjx (warp)", 2)
    for noise in ("Warp 1", "Module ", "Failed to import"):
        assert noise not in done.stdout + done.stderr


@pytest.mark.slow
def test_an_overflow_is_said_once_with_what_to_type(tmp_path):
    for path, text in {"tasks/ball.xml": SMALL, "configs/task/ball.yaml": BALL}.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text.lstrip())
    done = ksim(*TINY, "task=ball", "engine.naconmax=3", cwd=tmp_path, check=0)
    told = [line for line in (done.stdout + done.stderr).splitlines() if "did not fit" in line]
    assert len(told) == 1 and told[0].endswith("engine.naconmax=6 engine.njmax=8")
    rows = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["overflow"] > 0 for row in rows] == [True, True]


def test_seeds_that_are_stepped_together_have_room_for_all_of_them(model):
    assert warp_engine(model, num_seeds=3).buffer_sizes == {"naconmax": 3 * N, "njmax": 4}
    engine = warp_engine(model, num_seeds=2)
    flat = jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (2, N, 1))

    def run(qpos):
        prepared = engine.prepare(qpos, jnp.zeros((N, model.nv)), jnp.zeros(N, int))
        state = engine.reset(engine.init(), jnp.ones(N, bool), prepared)
        return engine.overflows(engine.step(state, jnp.zeros((N, model.nu)), 2))

    assert not jax.jit(jax.vmap(run))(flat).any()
