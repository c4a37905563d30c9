"""Every registered reset does what its name says, and nothing else."""

import io
import random
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import EngineConfig
from ksim_cli.env import Limits, TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.mdp import maths, register_terms
from ksim_cli.mdp.action_manager import Timing
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.term import Pose
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.engines import make_engine
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import ACTUATORS, OBSERVATIONS, RESETS, TERMINATIONS
from tests.legged import LEGGED
from tests.motion.motions import of_motions

register_terms()
N = 2000
HILLS = LEGGED.replace(
    "<worldbody>",
    """<asset><hfield name="hills" nrow="3" ncol="3" size="2 1 0.5 0.1"
         elevation="0 0 0  0 0.5 1  0 0.5 1"/></asset><worldbody>
       <geom name="ground" type="hfield" hfield="hills" pos="10 0 1"/>""",
)
# Section, and the addresses in qpos and qvel that it may change.
TABLE = {
    "random_joint_position": ({"scale": 0.3, "joints": ["left_knee"]}, [8], []),
    "random_joint_velocity": ({"scale": 0.3, "joints": ["*_hip"]}, [], [6, 8]),
    "plane_xy_position": ({"x_range": 2.0, "y_range": 1.0}, [0, 1], []),
    "height_field_xy_position": ({"geom": "ground"}, [0, 1, 2], []),
    "base_xy_velocity": ({"x_range": 0.5, "y_range": 0.2}, [], [0, 1]),
    "random_heading": ({}, [3, 6], []),
    "random_height": ({"range": [0.1, 0.3]}, [2], []),
    "random_pitch_roll": ({"pitch_range": 0.2, "roll_range": 0.1}, [3, 4, 5, 6], []),
    "motion_state": ({"path": "motion.npz"}, list(range(11)), list(range(10))),
}


@pytest.fixture(autouse=True)
def motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    qpos = rng.normal(size=(3, 11))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    np.savez("motion.npz", qpos=qpos, qvel=rng.normal(size=(3, 10)))


def model_of():
    return mujoco.MjSpec.from_string(HILLS).compile()


def build(kind, **changes):
    return RESETS.build({"type": kind, **TABLE[kind][0], **changes}, "resets.x")


def drawn(kind, seed=0, **changes):
    """Home pose and N poses after a reset."""
    model = model_of()
    term = build(kind, **changes).bind(model)
    start = Pose(qpos=jnp.asarray(home_pose(model), jnp.float32), qvel=jnp.ones(model.nv))
    keys = jax.random.split(jax.random.key(seed), N)
    return start, jax.jit(jax.vmap(lambda k: term(start, k, jnp.ones(()))))(keys)


def test_every_reset_is_tried_here():
    assert set(RESETS.names()) - of_motions(RESETS) == set(TABLE)


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_it_changes_what_it_says_and_nothing_else(kind):
    start, pose = drawn(kind)
    _, qpos, qvel = TABLE[kind]
    for name, allowed in (("qpos", qpos), ("qvel", qvel)):
        before, after = np.asarray(getattr(start, name)), np.asarray(getattr(pose, name))
        changed = np.flatnonzero((after != before).any(axis=0)).tolist()
        assert changed == allowed, name
        assert np.isfinite(after).all()
    np.testing.assert_allclose(np.linalg.norm(pose.qpos[:, 3:7], axis=1), 1.0, rtol=1e-5)
    again = drawn(kind)[1]
    np.testing.assert_array_equal(pose.qpos, again.qpos)
    other = drawn(kind, seed=1)[1]
    assert (pose.qpos != other.qpos).any() or (pose.qvel != other.qvel).any()


def uniform(values, half):
    assert np.abs(values).max() <= half * (1 + 1e-5)
    np.testing.assert_allclose(np.std(values), half / np.sqrt(3), rtol=0.06)
    assert abs(np.mean(values)) < 0.06 * half


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize(("kind", "at"), [("position", 8), ("velocity", 7)])
def test_joints_are_moved_by_the_declared_distribution(kind, at, distribution):
    changes = {"distribution": distribution, "joints": ["left_knee"], "scale": 0.1}
    start, pose = drawn(f"random_joint_{kind}", **changes)
    field = {"position": "qpos", "velocity": "qvel"}[kind]
    moved = np.asarray(getattr(pose, field))[:, at] - np.asarray(getattr(start, field))[at]
    if distribution == "uniform":
        uniform(moved, 0.1)
    else:
        np.testing.assert_allclose(moved.std(), 0.1, rtol=0.05)


SIZED = sorted(set(TABLE) - {"motion_state", "height_field_xy_position"})


@pytest.mark.parametrize("kind", SIZED)
def test_what_is_drawn_may_grow_with_the_level(kind):
    model = model_of()
    start = Pose(qpos=jnp.asarray(home_pose(model), jnp.float32), qvel=jnp.ones(model.nv))
    key = jax.random.key(0)

    def change(level, **section):
        pose = build(kind, **section).bind(model)(start, key, jnp.float32(level))
        return np.concatenate([pose.qpos - start.qpos, pose.qvel - start.qvel])

    np.testing.assert_array_equal(change(0.25), change(1.0))
    np.testing.assert_array_equal(change(1.0, by_level="linear"), change(1.0))
    assert not change(0.0, by_level="linear").any()
    half = change(0.5, by_level="linear")
    # An angle's quaternion goes by its sine.
    np.testing.assert_allclose(half, 0.5 * change(1.0), rtol=0.2, atol=0.02)
    assert half.any()


@pytest.mark.parametrize("scale", [0.3, 1.0])
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_joints_stay_in_their_ranges(scale, distribution):
    keyed = LEGGED.replace("0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0.5 1 0 0 0 0.1 1.6 -1.2 0")
    model = mujoco.MjModel.from_xml_string(keyed)
    section = {"type": "random_joint_position", "scale": scale, "distribution": distribution}
    term = RESETS.build(section, "resets.x").bind(model)
    home = jnp.asarray(home_pose(model), jnp.float32)
    start = Pose(qpos=home, qvel=jnp.zeros(model.nv))
    keys = jax.random.split(jax.random.key(0), 10_000)
    drawn = jax.vmap(lambda k: term(start, k, jnp.ones(())).qpos)(keys)
    joints = np.asarray(drawn)[:, 7:]
    # Home of the second and the third lies beyond the range, which then ends there.
    low, high = np.float32([-1.0, -0.5, -1.2, -0.5]), np.float32([1.0, 1.6, 1.0, 1.5])
    assert (joints >= low).all() and (joints <= high).all()
    assert joints[:, 1].max() == high[1] and joints[:, 2].min() == low[2]
    # What is inside is what was drawn.
    wanted = np.asarray(home[None, 7:] + jax.vmap(lambda k: term.sample(k, jnp.ones(())))(keys))
    inside = (wanted > low) & (wanted < high)
    np.testing.assert_array_equal(joints[inside], wanted[inside])
    assert 0.1 < inside.mean() < 0.95


def test_the_base_is_moved_turned_and_thrown():
    pose = drawn("plane_xy_position")[1]
    uniform(pose.qpos[:, 0], 2.0)
    uniform(pose.qpos[:, 1], 1.0)
    assert abs(np.corrcoef(pose.qpos[:, 0], pose.qpos[:, 1])[0, 1]) < 0.08
    pose = drawn("base_xy_velocity")[1]
    uniform(pose.qvel[:, 0] - 1.0, 0.5)
    uniform(pose.qvel[:, 1] - 1.0, 0.2)
    rise = np.asarray(drawn("random_height")[1].qpos[:, 2]) - 0.5
    assert 0.1 <= rise.min() < 0.102 and 0.298 < rise.max() <= 0.3001
    uniform(maths.euler(drawn("random_heading")[1].qpos[:, 3:7])[:, 2], np.pi)
    some = maths.euler(drawn("random_heading", range=0.5)[1].qpos[:, 3:7])
    uniform(some[:, 2], 0.5)


def test_pitch_and_roll_are_independent():
    angles = np.asarray(maths.euler(drawn("random_pitch_roll")[1].qpos[:, 3:7]))
    uniform(angles[:, 0], 0.1)
    uniform(angles[:, 1], 0.2)
    np.testing.assert_allclose(angles[:, 2], 0.0, atol=1e-5)
    assert abs(np.corrcoef(angles[:, 0], angles[:, 1])[0, 1]) < 0.08


def test_the_ground_under_a_height_field():
    term = build("height_field_xy_position").bind(model_of())
    # The MJCF's first row is the far one (y = 1), its columns go along x; 1 is 0.5 m, 0 the
    # field's own height, 1 m.
    for (x, y), wanted in {
        (-2.0, -1.0): 1.0,
        (0.0, 0.0): 1.25,
        (2.0, 0.0): 1.5,
        (1.0, 0.0): 1.375,
        (2.0, -0.5): 1.5,
        (2.0, 0.5): 1.25,
        (1.0, 0.5): 1.1875,
    }.items():
        np.testing.assert_allclose(term.height(jnp.float32(x), jnp.float32(y)), wanted, rtol=1e-5)
    pose = drawn("height_field_xy_position")[1]
    uniform(pose.qpos[:, 0] - 10.0, 2.0)
    uniform(pose.qpos[:, 1], 1.0)
    ground = jax.vmap(term.height)(pose.qpos[:, 0] - 10.0, pose.qpos[:, 1])
    # At home the base is 0.5 m up, 0.75 m below the ground at the field's centre.
    np.testing.assert_allclose(pose.qpos[:, 2] - ground, 0.5 - 1.25, atol=1e-5)
    # MuJoCo's own ray from above meets the same ground.
    data = mujoco.MjData(model_of())
    mujoco.mj_forward(data.model, data)
    for x, y in ((0.7, 0.3), (-1.1, 0.6)):
        down = np.array([0.0, 0.0, -1.0])
        distance = mujoco.mj_ray(
            data.model, data, np.array([10 + x, y, 5.0]), down, None, 1, -1, np.zeros(1, np.int32)
        )
        got = float(term.height(jnp.float32(x), jnp.float32(y)))
        np.testing.assert_allclose(5.0 - distance, got, atol=0.06)


def test_a_motion_gives_whole_frames():
    pose = drawn("motion_state")[1]
    with np.load("motion.npz") as arrays:
        rows = np.concatenate([arrays["qpos"], arrays["qvel"]], axis=1).astype(np.float32)
    got = np.concatenate([pose.qpos, pose.qvel], axis=1)
    match = (got[:, None] == rows[None]).all(axis=-1)
    assert match.any(axis=1).all() and match.any(axis=0).all()


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("random_joint_position", {"joints": ["knee"]}, "no hinge or slide joint 'knee'"),
        ("random_joint_position", {"distribution": "gauss"}, "is not one of uniform, normal"),
        ("height_field_xy_position", {"geom": "floor"}, "geom 'floor' is no height field"),
        ("height_field_xy_position", {"margin": 3.0}, "margin=3.0: leaves nothing"),
        ("motion_state", {"path": "gone.npz"}, "path=gone.npz: no such file"),
    ],
)
def test_what_cannot_be_is_refused(kind, changes, message):
    with pytest.raises(UserError, match=message):
        build(kind, **changes).bind(model_of())


def test_a_motion_of_another_robot_is_refused():
    np.savez("motion.npz", qpos=np.zeros((3, 5)), qvel=np.zeros((3, 4)))
    with pytest.raises(UserError, match=r"qpos has shape \(3, 5\).*\(3, 11\)"):
        build("motion_state").bind(model_of())
    np.savez("motion.npz", frames=np.zeros(3))
    with pytest.raises(UserError, match=r"is no \.npz file with qpos and qvel"):
        build("motion_state").bind(model_of())
    np.savez("motion.npz", qpos=np.zeros(()), qvel=np.zeros(()))
    with pytest.raises(UserError, match=r"is no \.npz file with qpos and qvel"):
        build("motion_state").bind(model_of())


def saved(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def one_array():
    file = io.BytesIO()
    np.save(file, np.zeros((3, 11)))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"PK\x03\x04 and nothing", saved(qpos=1.0, qvel=2.0), one_array()),
        *(saved(qpos=np.zeros((3, 11))), saved(qpos=np.array([print]), qvel=np.zeros(1))),
        saved(qpos=np.array(["text"]), qvel=np.array(["text"])),
    ],
)
def test_a_motion_that_is_none_is_one_message(content):
    Path("motion.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"^path=motion\.npz: "):
        build("motion_state").bind(model_of())


def test_random_damage_of_a_motion_is_one_message():
    rng, model, whole = random.Random(0), model_of(), Path("motion.npz").read_bytes()
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(whole))] = rng.randrange(256)
        Path("motion.npz").write_bytes(damaged)
        try:
            build("motion_state").bind(model)
        except UserError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("kind", sorted(k for k in TABLE if "joint" not in k and "motion" not in k))
def test_a_fixed_base_cannot_be_moved(kind):
    fixed = HILLS.replace('<freejoint name="root"/>', "")
    fixed = fixed.replace("0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0 0")
    with pytest.raises(UserError, match="no free joint"):
        build(kind).bind(mujoco.MjSpec.from_string(fixed).compile())


@pytest.mark.parametrize("engine", ["mujoco", pytest.param("mjx", marks=pytest.mark.slow)])
def test_the_state_after_a_reset_has_it_and_only_in_the_environments_asked(engine):
    spec = mujoco.MjSpec.from_string(LEGGED)
    mdp = Mdp(
        curriculum=Constant(),
        actuators={"all": ACTUATORS.build({"type": "torque"}, "a")},
        observations={"x": OBSERVATIONS.build({"type": "joint_velocity"}, "o")},
        terminations={
            "far": TERMINATIONS.build({"type": "far_from_origin", "max_distance": 0.5}, "t")
        },
        resets={
            "place": RESETS.build({"type": "random_height", "range": [0.2, 0.3]}, "r"),
            "speed": build("base_xy_velocity"),
            "joints": build("random_joint_velocity"),
        },
    ).edit(spec, {})
    model = spec.compile()
    mdp = mdp.bind(model)
    layout = inspect_terms(model, mdp)
    physics = make_engine(engine, EngineSpec(model, 4, layout.fields | {"xpos"}))
    timing = Timing(ctrl_dt=model.opt.timestep, num_substeps=1)
    env = TaskEnv(physics, mdp, layout, timing, EngineConfig(), Limits())

    @jax.jit
    def run():
        state = env.begin_rollout(env.init(jax.random.key(0)))
        before = env.engine.view(state.physics)
        # Two of the four are thrown far away, and so begin anew.
        throw = jnp.zeros((4, model.nv)).at[:2, 0].set(1000.0)
        state = state.replace(physics=env.engine.push(state.physics, throw))
        after, result = env.step(state, jnp.zeros((4, 4)))
        return before, env.engine.view(after.physics), result.done, result.steps.view

    before, after, done, ended = jax.device_get(run())
    assert done.tolist() == [True, True, False, False]
    for view in (before, after):
        height = view.qpos[: 2 if view is after else 4, 2]
        assert (height > 0.69).all() and (height < 0.81).all()
    # A velocity that was reset is there, in the state and in what follows from it.
    assert np.abs(after.qvel[:2, :2]).max() < 0.6 and np.abs(after.qvel[:2, :2]).min() > 0
    assert np.abs(after.qvel[:2, [6, 8]]).min() > 0
    np.testing.assert_allclose(after.xpos[:2, 1], after.qpos[:2, :3], atol=1e-6)
    assert not np.array_equal(after.qvel[0], after.qvel[1])
    assert not np.array_equal(after.qvel[:2], before.qvel[:2]), "a new draw"
    np.testing.assert_array_equal(after.qpos[2:], ended.qpos[2:])
    assert (np.abs(ended.qpos[:2, 0]) > 0.5).all()
