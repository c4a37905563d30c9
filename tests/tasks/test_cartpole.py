import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task
from ksim_cli.physics.engine import View
from ksim_cli.registry import REWARDS
from ksim_cli.task_model import TaskModel
from ksim_cli.types import Step
from tests.helpers import tiny_cartpole


@pytest.fixture(scope="module")
def task_model():
    return TaskModel(load_task("cartpole")(tiny_cartpole()))


def step(x=0.0, angle=0.0, spin=0.0, action=0.0):
    view = View({"qpos": jnp.array([x, angle]), "qvel": jnp.array([0.0, spin])})
    zero = jnp.zeros(())
    return Step(
        view=view,
        action=jnp.array([action]),
        commands={},
        time=zero,
        termination=zero,
        truncated=zero,
        level=zero,
    )


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ({}, 1.0),
        ({"angle": np.pi}, 0.0),
        ({"angle": np.pi / 2}, 0.5),
        # tol is 0.1 at the margin: (1 + 0.1) / 2
        ({"x": 2.0}, 0.55),
        ({"spin": 5.0}, 0.55),
        # quadratic and 0 at the margin: (4 + 0) / 5, and beyond the range the same
        ({"action": 1.0}, 0.8),
        ({"action": -3.0}, 0.8),
        # (4 + 1 - 0.25) / 5
        ({"action": 0.5}, 0.95),
        # the product of all four
        ({"x": 2.0, "angle": np.pi / 2, "spin": 5.0, "action": 1.0}, 0.55 * 0.5 * 0.55 * 0.8),
    ],
)
def test_balance_by_hand(task_model, state, wanted):
    value, carry = task_model.mdp.rewards["balance"](step(**state), ())
    assert carry == ()
    np.testing.assert_allclose(value, wanted, atol=1e-6)


def test_the_model_is_the_suites(task_model):
    model = task_model.model
    assert model.opt.timestep == 0.01
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    assert (model.nq, model.nv, model.nu) == (2, 2, 1)
    np.testing.assert_allclose(model.body("cart").mass, 1.0)
    np.testing.assert_allclose(model.body("pole").mass, 0.1)
    np.testing.assert_allclose(model.joint("slider").range, [-1.8, 1.8])
    assert task_model.episode_steps() == 1000


def test_a_reward_of_unknown_joints_lists_those_there_are(task_model):
    reward = REWARDS.build({"type": "cartpole_balance", "pole": "hinje"}, "rewards.balance")
    with pytest.raises(UserError, match=r"Did you mean 'hinge'"):
        reward.bind(task_model.model)
