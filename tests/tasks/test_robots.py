"""The built-in robots: what their models promise, and that their tasks train."""

import jax
import mujoco
import numpy as np
import pytest

from ksim_cli.load_task import make_task
from ksim_cli.task_model import TaskModel
from tests.helpers import TINY, run_config

ROBOTS = {"humanoid": (21, 35.0), "humanoid_stand": (21, 35.0), "quadruped": (12, 13.5)}


def task_model(task):
    return TaskModel(make_task(run_config(f"task={task}", *TINY)))


@pytest.fixture(scope="module", params=sorted(ROBOTS))
def robot(request):
    return request.param, task_model(request.param)


def test_joints_and_mass(robot):
    name, built = robot
    joints, mass = ROBOTS[name]
    assert built.action_size == joints == built.model.nu
    np.testing.assert_allclose(built.model.body_subtreemass[1], mass, rtol=1e-6)


def test_the_home_pose_stands_on_its_feet(robot):
    _, built = robot
    data = mujoco.MjData(built.model)
    mujoco.mj_resetDataKeyframe(built.model, data, built.model.key("home").id)
    mujoco.mj_forward(built.model, data)
    touches = [i for i in range(built.model.ngeom) if built.model.geom_conaffinity[i]]
    lowest = min(data.geom_xpos[i, 2] - built.model.geom_size[i, 0] for i in touches)
    assert -0.002 <= lowest <= 0.001
    # Within the range of every joint.
    for i in range(1, built.model.njnt):
        low, high = built.model.jnt_range[i]
        assert low <= data.qpos[built.model.jnt_qposadr[i]] <= high


def test_left_and_right_are_mirrored():
    model = task_model("humanoid").model
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    for joint in [model.joint(i).name for i in range(1, model.njnt)]:
        if joint.startswith("left_"):
            angle = rng.uniform(*model.joint(joint).range)
            for side in ("left_", "right_"):
                address = model.joint(joint.replace("left_", side)).qposadr[0]
                data.qpos[address] = angle
    mujoco.mj_forward(model, data)
    for point in ("foot", "hand"):
        left, right = (data.site(f"{side}_{point}").xpos for side in ("left", "right"))
        np.testing.assert_allclose(left, right * [1, -1, 1], atol=1e-9)


@pytest.mark.parametrize(
    "task",
    [
        *("quadruped", "cartpole_swingup"),
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("humanoid", "humanoid_stand")),
    ],
)
def test_environments_of_every_task_step(task):
    env = task_model(task).make_env(4, training=True)

    @jax.jit
    def run(key):
        state = env.begin_rollout(env.init(key))
        actions = 0.1 * jax.random.normal(key, (10, 4, env.action_size))
        state, results = jax.lax.scan(env.step, state, actions)
        return state, results, env.rewards(env.init_rewards(), results)[1]

    state, results, scores = jax.device_get(run(jax.random.key(0)))
    assert not results.quarantined.any()
    for tree in (state.obs, scores):
        for leaf in jax.tree.leaves(tree):
            assert np.isfinite(leaf).all()


def test_the_swing_up_begins_with_the_pole_down():
    env = task_model("cartpole_swingup").make_env(100)
    state = jax.jit(env.init)(jax.random.key(0))
    angle = np.asarray(env.engine.view(state.physics).qpos[:, 1])
    np.testing.assert_allclose(angle, np.pi, atol=0.05)
    assert angle.std() > 0.005


def test_the_critic_of_the_humanoid_sees_more_than_its_actor():
    sizes = task_model("humanoid").observation_sizes
    assert sizes["critic"] - sizes["actor"] == 3 + 1, "velocity and height of the base"
