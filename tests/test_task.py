import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli import registry
from ksim_cli.errors import UserError
from ksim_cli.load_task import load_task, make_task
from ksim_cli.task import Task, build_terms
from tests.helpers import tiny_cartpole


@pytest.fixture(scope="module")
def config():
    load_task("cartpole")
    return tiny_cartpole()


def test_every_method_has_a_default_that_builds_from_the_config(config):
    task = make_task(config)
    assert list(task.get_observations()) == ["cart_position", "pole_angle", "velocity"]
    assert list(task.get_rewards()) == ["balance"]
    assert list(task.get_actuators()) == ["all"]
    assert list(task.get_terminations()) == ["time_limit"]
    assert list(task.get_resets()) == ["cart_position", "pole_angle", "velocity"]
    assert task.get_commands() == task.get_events() == task.get_physics_randomizers() == {}
    assert task.get_curriculum().initial_level() == 1.0
    assert task.get_mujoco_model().compile().nq == 2
    weights = {"w": jnp.zeros(3)}
    optimizer = task.get_optimizer()
    updates, _ = optimizer.update({"w": jnp.ones(3)}, optimizer.init(weights), weights)
    # Adam's first step is as long as its learning rate, whatever the gradient.
    np.testing.assert_allclose(updates["w"], -2e-3, rtol=1e-4)
    model = task.get_model({"actor": 5, "critic": 4}, 1, jax.random.key(0))
    assert model.actor.layers[0].kernel.shape == (5, 64)
    assert model.critic.layers[0].kernel.shape == (4, 64)
    obs = {"actor": jnp.ones((2, 5)), "critic": jnp.ones((2, 4))}
    carry = task.get_initial_model_carry(model, 2)
    one, two = (
        task.sample_action(model, obs, carry, jax.random.key(i), argmax=True) for i in (1, 2)
    )
    np.testing.assert_array_equal(one.action, two.action)
    sample = task.sample_action(model, obs, carry, jax.random.key(1), argmax=False)
    assert not np.array_equal(sample.action, one.action)
    now = task.get_ppo_variables(model, obs, sample.action, carry)
    np.testing.assert_allclose(now.log_prob, sample.log_prob, rtol=1e-6)
    np.testing.assert_allclose(now.value, sample.value, rtol=1e-6)


def test_a_term_set_to_null_is_left_out(config):
    fewer = dataclasses.replace(config, resets={**config.resets, "velocity": None})
    assert list(make_task(fewer).get_resets()) == ["cart_position", "pole_angle"]


def test_update_model_may_be_overridden(config):
    calls = []

    class Counting(Task):
        def update_model(self, algorithm, context, learning, experience, key):
            calls.append(type(algorithm).__name__)
            return super().update_model(algorithm, context, learning, experience, key)

    task = Counting(config)

    class Algorithm:
        def update(self, *arguments):
            return arguments

    assert task.update_model(Algorithm(), 1, 2, 3, 4) == (1, 2, 3, 4)
    assert calls == ["Algorithm"]


def test_a_term_that_is_set_but_not_there_is_named_with_the_nearest(config):
    section = {"balance": {"type": "cartpole_balance"}, "balanc": {"weight": 2.0}}
    with pytest.raises(UserError, match=r"rewards.balanc: no reward of that name.*'balance'"):
        build_terms(registry.REWARDS, section, "rewards")
    assert build_terms(registry.REWARDS, {"balance": None}, "rewards") == {}
