from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mujoco_engine import MujocoEngine
from tests.helpers import SMALL, variants_of

N = 5
NOMINAL = jnp.zeros(N, jnp.int32)
FIELDS = frozenset({"xpos", "sensordata", "qacc"})


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


@pytest.fixture
def engine(model):
    return MujocoEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS, num_threads=2))


def twins(model):
    """One MjData per environment, as the engine starts them."""
    datas = [mujoco.MjData(model) for _ in range(N)]
    for data in datas:
        mujoco.mj_forward(model, data)
    return datas


def same_view(view, datas):
    for name in ("qpos", "qvel", "time", *FIELDS):
        wanted = np.stack([np.asarray(getattr(d, name), np.float32) for d in datas])
        np.testing.assert_array_equal(np.asarray(getattr(view, name)), wanted, err_msg=name)


def rows(model, datas):
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
    out = np.zeros((N, size))
    for row, data in zip(out, datas, strict=True):
        mujoco.mj_getState(model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION)
    return out


def test_bit_identical_to_mj_step_on_one_mjdata_per_environment(engine, model):
    datas = twins(model)
    state = jax.jit(engine.init)()
    same_view(engine.view(state), datas)
    step = jax.jit(lambda s, u: engine.step(s, u, 2))
    controls = np.random.default_rng(0).normal(size=(100, N, model.nu)).astype(np.float32)
    for control in controls:
        state = step(state, jnp.asarray(control))
        for data, u in zip(datas, control, strict=True):
            data.ctrl[:] = u
            mujoco.mj_step(model, data, 2)
    jax.block_until_ready(state)
    assert np.any(np.stack([d.sensordata[0] for d in datas]) > 1.0), (
        "the ball must lie on the floor"
    )
    same_view(engine.view(state), datas)
    np.testing.assert_array_equal(engine.host_state()["state"], rows(model, datas))


def test_advance_is_one_step_that_refreshes_positions_and_velocities_only(engine, model):
    datas = twins(model)
    state = jax.jit(engine.init)()
    before = np.asarray(state.view.xpos)
    control = jnp.full((N, model.nu), 0.3)
    state = jax.jit(lambda s: engine.advance(s, control, 1))(state)
    for data in datas:
        data.ctrl[:] = np.float32(0.3)
        mujoco.mj_step(model, data)
    np.testing.assert_array_equal(
        np.asarray(state.view.qpos), np.stack([d.qpos for d in datas]).astype(np.float32)
    )
    np.testing.assert_array_equal(np.asarray(state.view.xpos), before)


def test_a_reset_is_a_forward_of_what_was_prepared_and_touches_nothing_else(engine, model):
    state = jax.jit(engine.init)()
    step = jax.jit(lambda s: engine.step(s, jnp.ones((N, model.nu)), 10))
    state = step(state)
    jax.block_until_ready(state)
    untouched = engine.host_state()["state"].copy()
    qpos = jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (N, 1)).at[:, 7].set(0.25)
    qvel = jnp.zeros((N, model.nv)).at[:, 6].set(-0.5)
    mask = jnp.array([False, True, False, False, True])
    old = jax.device_get(state)
    state = jax.jit(lambda s: engine.reset(s, mask, engine.prepare(qpos, qvel, NOMINAL)))(state)
    jax.block_until_ready(state)
    for i in range(N):
        if mask[i]:
            data = mujoco.MjData(model)
            data.qpos[:], data.qvel[:] = np.asarray(qpos[i]), np.asarray(qvel[i])
            mujoco.mj_forward(model, data)
            np.testing.assert_array_equal(state.view.xpos[i], data.xpos.astype(np.float32))
            np.testing.assert_array_equal(
                state.view.sensordata[i], data.sensordata.astype(np.float32)
            )
            assert state.view.time[i] == 0.0
        else:
            np.testing.assert_array_equal(engine.host_state()["state"][i], untouched[i])
            for name, values in old.view.fields().items():
                np.testing.assert_array_equal(getattr(state.view, name)[i], values[i])


def test_push_adds_to_the_velocity(engine, model):
    state = jax.jit(engine.init)()
    change = jnp.zeros((N, model.nv)).at[2, 0].set(1.5)
    state = jax.jit(engine.push)(state, change)
    np.testing.assert_array_equal(np.asarray(state.view.qvel), np.asarray(change))
    jax.block_until_ready(state)
    state = jax.jit(lambda s: engine.step(s, jnp.zeros((N, model.nu)), 1))(state)
    assert state.view.qpos[2, 0] > 0.0
    assert state.view.qpos[1, 0] == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("field", ["qpos", "qvel"])
def test_a_bad_value_is_seen_stays_in_its_environment_and_is_cleared_by_a_reset(
    model, field, value, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def run(spoilt):
        engine = MujocoEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS))
        state = jax.jit(engine.init)()
        step = jax.jit(lambda s: engine.step(s, jnp.ones((N, model.nu)), 1))
        state = step(state)
        jax.block_until_ready(state)
        if spoilt:
            saved = engine.host_state()
            engine._host.batch.bind(field)[3, 2] = value
            assert not np.array_equal(saved["state"], engine.host_state()["state"], equal_nan=True)
        for _ in range(3):
            state = step(state)
        return engine, jax.device_get(state)

    _, clean = run(False)
    engine, state = run(True)
    assert state.unstable.tolist() == [i == 3 for i in range(N)]
    assert not clean.unstable.any()
    # MuJoCo must not have put it right by itself: what went wrong is to be seen.
    assert not (np.abs(state.view.qpos[3]) < 1e10).all()
    others = [0, 1, 2, 4]
    for name, values in clean.view.fields().items():
        np.testing.assert_array_equal(getattr(state.view, name)[others], values[others])
    mask = jnp.arange(N) == 3
    qpos = jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (N, 1))
    again = jax.jit(lambda s: engine.reset(s, mask, (qpos, jnp.zeros((N, model.nv)), NOMINAL)))(
        jax.tree.map(jnp.asarray, state)
    )
    assert not again.unstable.any()
    assert np.isfinite(again.view.qacc).all()
    assert not Path("MUJOCO_LOG.TXT").exists()


def test_a_bad_control_is_seen_through_mujocos_warning(engine, model):
    # MuJoCo steps with a control of zero instead, so the state itself stays sound.
    control = jnp.zeros((N, model.nu)).at[2, 0].set(jnp.nan)
    state = jax.jit(lambda: engine.step(engine.init(), control, 1))()
    assert state.unstable.tolist() == [i == 2 for i in range(N)]
    assert np.isfinite(state.view.qpos).all()


@pytest.mark.parametrize("value", [np.nan, 1e30])
@pytest.mark.parametrize("field", ["qpos", "qvel"])
def test_a_bad_pose_to_reset_to_is_seen_at_once(engine, model, field, value):
    pose = {
        "qpos": jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (N, 1)),
        "qvel": jnp.zeros((N, model.nv)),
    }
    pose[field] = pose[field].at[1, 7].set(value)

    def run():
        state = engine.init()
        return engine.reset(state, jnp.ones(N, bool), engine.prepare(**pose, variant=NOMINAL))

    assert jax.jit(run)().unstable.tolist() == [i == 1 for i in range(N)]


def test_the_number_of_threads_does_not_show(model):
    controls = jax.random.normal(jax.random.key(0), (20, N, model.nu))

    def last(threads):
        engine = MujocoEngine(EngineSpec(model, N, FIELDS, num_threads=threads))
        state = jax.jit(engine.init)()
        step = jax.jit(lambda s, u: engine.step(s, u, 2))
        for control in controls:
            state = step(state, control)
        jax.block_until_ready(state)
        return engine.host_state()["state"]

    np.testing.assert_array_equal(last(1), last(3))


def test_warnings_are_part_of_the_host_state(engine, model):
    control = jnp.zeros((N, model.nu)).at[2, 0].set(jnp.nan)
    jax.block_until_ready(jax.jit(lambda: engine.step(engine.init(), control, 1))())
    other = MujocoEngine(EngineSpec(model, N, FIELDS))
    other.load_host_state(engine.host_state())
    step = jax.jit(lambda: other.step(None, jnp.zeros((N, model.nu)), 1))
    assert step().unstable.tolist() == [i == 2 for i in range(N)]


def test_the_host_state_brings_a_batch_back(engine, model):
    step = jax.jit(lambda s, u: engine.step(s, u, 3))
    control = jnp.full((N, model.nu), 0.2)
    state = step(jax.jit(engine.init)(), control)
    jax.block_until_ready(state)
    saved = engine.host_state()
    one = jax.device_get(step(state, control))
    other = MujocoEngine(EngineSpec(model=model, num_envs=N, fields=FIELDS))
    other.load_host_state(saved)
    two = jax.device_get(jax.jit(lambda s, u: other.step(s, u, 3))(state, control))
    np.testing.assert_array_equal(one.view.qpos, two.view.qpos)
    np.testing.assert_array_equal(one.view.sensordata, two.view.sensordata)


def test_environments_run_on_the_variant_that_their_reset_names(model):
    heavy = mujoco.MjModel.from_xml_string(SMALL.replace('mass="0.2"', 'mass="0.4"'))
    spec = EngineSpec(model=model, num_envs=4, variants=variants_of(model, model, heavy))
    engine = MujocoEngine(spec)
    qpos = jnp.tile(jnp.asarray(model.qpos0, jnp.float32), (4, 1))
    qvel, everyone = jnp.zeros((4, model.nv)), jnp.ones(4, bool)

    @jax.jit
    def fall(state, mask, variant):
        state = engine.reset(state, mask, engine.prepare(qpos, qvel, variant))
        return engine.step(state, jnp.zeros((4, model.nu)), 20)

    first = fall(engine.init(), everyone, jnp.array([0, 1, 0, 1]))
    light, laden = np.asarray(first.view.qpos[0]), np.asarray(first.view.qpos[1])
    np.testing.assert_array_equal(first.view.qpos[2:], [light, laden])
    assert not np.array_equal(light, laden)
    twin = mujoco.MjData(heavy)
    mujoco.mj_forward(heavy, twin)
    mujoco.mj_step(heavy, twin, 20)
    np.testing.assert_array_equal(laden, twin.qpos.astype(np.float32))
    # A reset of some may put them on another variant; the others keep theirs.
    again = fall(first, jnp.array([True, False, False, True]), jnp.array([1, 0, 1, 0]))
    np.testing.assert_array_equal(again.view.qpos[0], laden)
    np.testing.assert_array_equal(again.view.qpos[3], light)
    saved = engine.host_state()
    assert saved["variant"].tolist() == [1, 1, 0, 0]
    other = MujocoEngine(spec)
    other.load_host_state(saved)
    on = jnp.zeros((4, model.nu))
    one = jax.device_get(jax.jit(lambda s: engine.step(s, on, 5))(again))
    two = jax.device_get(jax.jit(lambda s: other.step(s, on, 5))(again))
    np.testing.assert_array_equal(one.view.qpos, two.view.qpos)


def test_a_force_acts_until_it_is_set_anew(engine, model):
    push = jnp.zeros((N, model.nbody, 6)).at[2, 1, 0].set(5.0)

    @jax.jit
    def run():
        state = engine.apply_force(engine.init(), push)
        state = engine.step(state, jnp.zeros((N, model.nu)), 10)
        pushed = engine.view(state).qvel
        state = engine.apply_force(state, jnp.zeros_like(push))
        return pushed, engine.view(engine.step(state, jnp.zeros((N, model.nu)), 1)).qvel

    pushed, after = run()
    # The ball, 0.5 kg, is pushed along x above a floor whose friction resists.
    assert 0.0 < pushed[2, 0] <= 10 * 0.002 * 5.0 / 0.5 + 1e-6
    np.testing.assert_allclose(np.delete(pushed[:, 0], 2), 0.0, atol=1e-6)
    assert float(after[2, 0]) <= float(pushed[2, 0])


def test_bare_physics_makes_the_same_steps_beside_what_is_measured(engine, model):
    state = jax.block_until_ready(jax.jit(engine.init)())
    before = engine.host_state()["state"]
    torques = np.random.default_rng(1).normal(size=(20, N, model.nu)).astype(np.float32)
    engine.physics_only_runner(state, 2)(jnp.asarray(torques))
    np.testing.assert_array_equal(engine.host_state()["state"], before)
    alone = engine._host.spare.state.copy()
    step = jax.jit(lambda s, u: engine.step(s, u, 2))
    for control in torques:
        state = step(state, jnp.asarray(control))
    jax.block_until_ready(state)
    np.testing.assert_array_equal(engine.host_state()["state"], alone)
