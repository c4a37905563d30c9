"""All on one small model and one compiled step: MJX is slow to compile."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_engine import MjxEngine
from ksim_cli.physics.mujoco_engine import MujocoEngine
from tests.helpers import SMALL

N = 16
FIELDS = frozenset({"xpos", "xmat", "sensordata"})


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


@pytest.fixture(scope="module")
def engine(model):
    return MjxEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS))


@pytest.fixture(scope="module")
def programs(engine):
    def reset(state, mask, qpos, qvel):
        return engine.reset(state, mask, engine.prepare(state, qpos, qvel))

    return {
        "init": jax.jit(engine.init),
        "step": jax.jit(lambda s, u: engine.step(s, u, 1)),
        "reset": jax.jit(reset),
    }


def poses(model):
    rng = np.random.default_rng(1)
    qpos = np.tile(model.qpos0, (N, 1))
    qpos[:, 2] += rng.uniform(-0.004, 0.01, N)
    qpos[:, 7:] = rng.normal(size=(N, 2))
    return jnp.asarray(qpos, jnp.float32), jnp.asarray(
        rng.normal(size=(N, model.nv)) * 0.3, jnp.float32
    )


def test_one_step_from_a_shared_state_agrees_with_mujoco(engine, model, programs):
    qpos, qvel = poses(model)
    control = jnp.linspace(-1, 1, N * model.nu).reshape(N, model.nu)
    everyone = jnp.ones(N, bool)
    mjx = programs["step"](programs["reset"](programs["init"](), everyone, qpos, qvel), control)
    native = MujocoEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS))

    def once():
        state = native.init()
        state = native.reset(state, everyone, native.prepare(state, qpos, qvel))
        return native.step(state, control, 1)

    mujoco_view, mjx_view = jax.jit(once)().view, engine.view(mjx)
    assert float(mujoco_view.sensordata[:, 0].max()) > 1.0, "some balls must touch the floor"
    for name in ("qpos", "qvel", "xpos", "xmat", "sensordata", "time"):
        a, b = np.asarray(getattr(mujoco_view, name)), np.asarray(getattr(mjx_view, name))
        scale = max(1.0, float(np.abs(a).max()))
        assert float(np.abs(a - b).max()) / scale <= 1e-4, name


def test_a_subset_reset_leaves_the_others_bitwise_untouched(engine, model, programs):
    state = programs["step"](programs["init"](), jnp.ones((N, model.nu)))
    qpos, qvel = poses(model)
    mask = jnp.arange(N) % 3 == 0
    after = programs["reset"](state, mask, qpos, qvel)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(np.asarray(old)[~mask], np.asarray(new)[~mask])
    np.testing.assert_array_equal(engine.view(after).qpos[mask], qpos[mask])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_bad_value_is_seen_and_stays_in_its_environment(engine, model, programs, value):
    control = jnp.ones((N, model.nu))
    clean = programs["step"](programs["init"](), control)
    spoilt = clean.replace(data=clean.data.replace(qpos=clean.data.qpos.at[5, 2].set(value)))
    for _ in range(3):
        clean, spoilt = programs["step"](clean, control), programs["step"](spoilt, control)
    assert engine.unstable(spoilt).tolist() == [i == 5 for i in range(N)]
    assert not engine.unstable(clean).any()
    others = np.arange(N) != 5
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(spoilt), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[others], np.asarray(b)[others])


def test_everything_is_in_jax(engine):
    assert engine.host_state() == {}
    engine.load_host_state({})


def test_a_model_mjx_cannot_step_is_a_mistake_of_the_user():
    spec = mujoco.MjSpec.from_string(SMALL)
    spec.option.solver = mujoco.mjtSolver.mjSOL_PGS
    with pytest.raises(UserError, match="Use engine=mujoco"):
        MjxEngine(EngineSpec(model=spec.compile(), num_envs=1))
