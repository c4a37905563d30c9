"""All on one small model and one compiled step of each implementation: they are slow to compile."""

import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_engine import MjxEngine
from ksim_cli.physics.mujoco_engine import MujocoEngine
from tests.helpers import SMALL, variants_of

N = 16
NOMINAL = jnp.zeros(N, jnp.int32)
FIELDS = frozenset({"xpos", "xmat", "sensordata"})


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


@pytest.fixture(scope="module", params=["jax", "warp"])
def engine(model, request):
    if request.param == "warp":
        pytest.importorskip("warp")
    return MjxEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS, impl=request.param))


@pytest.fixture(scope="module")
def programs(engine):
    def reset(state, mask, qpos, qvel):
        return engine.reset(state, mask, engine.prepare(qpos, qvel, NOMINAL))

    return {
        "init": jax.jit(engine.init),
        "step": jax.jit(lambda s, u: engine.step(s, u, 1)),
        "push": jax.jit(engine.push),
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
        state = native.reset(state, everyone, native.prepare(qpos, qvel, NOMINAL))
        return native.step(state, control, 1)

    mujoco_view, mjx_view = jax.jit(once)().view, engine.view(mjx)
    assert float(mujoco_view.sensordata[:, 0].max()) > 1.0, "some balls must touch the floor"
    for name in ("qpos", "qvel", "xpos", "xmat", "sensordata", "time"):
        a, b = np.asarray(getattr(mujoco_view, name)), np.asarray(getattr(mjx_view, name))
        scale = max(1.0, float(np.abs(a).max()))
        assert float(np.abs(a - b).max()) / scale <= 1e-4, name


def test_a_reset_is_a_forward_as_mujoco_does_it(engine, model, programs):
    qpos, qvel = poses(model)
    started = programs["step"](programs["init"](), jnp.ones((N, model.nu)))
    view = engine.view(programs["reset"](started, jnp.ones(N, bool), qpos, qvel))
    for i in range(N):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = np.asarray(qpos[i]), np.asarray(qvel[i])
        mujoco.mj_forward(model, data)
        assert view.time[i] == 0.0
        np.testing.assert_allclose(view.xpos[i], data.xpos, atol=1e-5)
        np.testing.assert_allclose(view.xmat[i], data.xmat, atol=1e-5)
        np.testing.assert_allclose(view.sensordata[i], data.sensordata, rtol=1e-4, atol=1e-5)


def test_push_adds_to_the_velocity(engine, model, programs):
    before = programs["step"](programs["init"](), jnp.ones((N, model.nu)))
    change = jnp.zeros((N, model.nv)).at[2, 6].set(1.5)
    after = programs["push"](before, change)
    np.testing.assert_array_equal(after.data.qvel, before.data.qvel + change)
    np.testing.assert_array_equal(after.data.qpos, before.data.qpos)


def test_a_bad_control_is_seen(engine, model, programs):
    control = jnp.zeros((N, model.nu)).at[2, 0].set(jnp.nan)
    state = programs["step"](programs["init"](), control)
    assert engine.unstable(state).tolist() == [i == 2 for i in range(N)]


def test_variants_of_the_model_are_taken_in_turn_as_on_mujoco(engine, model):
    # What randomizers change: masses, friction, damping, the strength of the motors.
    variants = []
    for scale in (1.0, 1.5, 0.7):
        variant = copy.copy(model)
        variant.body_mass[:] *= scale
        variant.body_inertia[:] *= scale
        variant.dof_damping[:] *= scale**2
        variant.actuator_gear[:] *= scale**3
        variant.geom_friction[:] *= scale
        mujoco.mj_setConst(variant, mujoco.MjData(variant))
        variants.append(variant)
    spec = EngineSpec(model, num_envs=4, variants=variants_of(model, *variants), impl=engine.impl)
    turns = jnp.arange(4, dtype=jnp.int32) % 3
    views = []
    for engine in (MjxEngine(spec), MujocoEngine(spec)):
        qpos, qvel = (x[jnp.zeros(4, jnp.int32)] for x in poses(model))

        def run(engine=engine, qpos=qpos, qvel=qvel):
            state = engine.init()
            state = engine.reset(state, jnp.ones(4, bool), engine.prepare(qpos, qvel, turns))
            return engine.view(engine.step(state, jnp.ones((4, model.nu)), 2))

        view = jax.jit(run)()
        np.testing.assert_allclose(view.time, 2 * model.opt.timestep, rtol=1e-6)
        views.append(np.asarray(view.qvel))
    mjx, native = views
    np.testing.assert_allclose(mjx, native, atol=1e-4 * np.abs(native).max())
    np.testing.assert_array_equal(native[0], native[3])
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(native[i] - native[j]).max() > 1e-3


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
