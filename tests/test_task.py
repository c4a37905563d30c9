import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.term import Randomizer
from ksim_cli.registry import load_task
from ksim_cli.rl.rollout import collect
from ksim_cli.task import Task
from ksim_cli.task_model import TaskModel, make_task
from tests.helpers import tiny_cartpole


class Halved(Task):
    """Acts half as hard as the policy says, and says so to the loss."""

    def get_mujoco_model(self):
        return load_task("cartpole")(self.config).get_mujoco_model()

    def sample_action(self, policy, variables, obs, carry, key, argmax):
        sample = policy.sample_action(variables, obs, carry, key, argmax)
        return sample.replace(action=sample.action / 2)

    def get_ppo_variables(self, policy, variables, obs, action, carry):
        return policy.ppo_variables(variables, obs, action * 2, carry)

    def get_initial_model_carry(self, policy, num_envs):
        return jnp.zeros(num_envs)


@pytest.fixture(scope="module")
def config():
    load_task("cartpole")
    return tiny_cartpole()


def test_every_method_has_a_default_that_builds_from_the_config(config):
    task = make_task(config, load_task)
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
    variables = task.get_model({"actor": 5, "critic": 5}, 1).init(jax.random.key(0))
    assert variables.params["actor"]["layers"][0]["kernel"].shape == (5, 64)


def test_a_term_set_to_null_is_left_out(config):
    fewer = dataclasses.replace(config, resets={**config.resets, "velocity": None})
    assert list(make_task(fewer, load_task).get_resets()) == ["cart_position", "pole_angle"]


def test_what_a_task_overrides_is_what_acts_and_what_is_learned_from(config):
    agent = TaskModel(Halved(config)).make_agent()
    plain = TaskModel(make_task(config, load_task)).make_agent()
    variables = plain.init(jax.random.key(0))
    obs = {"actor": jnp.ones((4, 5)), "critic": jnp.ones((4, 5))}
    one = plain.sample_action(variables, obs, (), jax.random.key(1), False)
    half = agent.sample_action(variables, obs, (), jax.random.key(1), False)
    np.testing.assert_allclose(half.action, one.action / 2)
    again = agent.ppo_variables(variables, obs, half.action, ())
    np.testing.assert_allclose(again.log_prob, one.log_prob, rtol=1e-6)
    assert agent.initial_carry(3).shape == (3,)


def test_update_model_may_be_overridden(config):
    calls = []

    class Counting(Task):
        def update_model(self, algorithm, setup, learner, batch, key):
            calls.append(type(algorithm).__name__)
            return super().update_model(algorithm, setup, learner, batch, key)

    task = Counting(config)

    class Algorithm:
        def update_model(self, *arguments):
            return arguments

    assert task.update_model(Algorithm(), 1, 2, 3, 4) == (1, 2, 3, 4)
    assert calls == ["Algorithm"]


def test_a_task_needs_an_actuator(config):
    with pytest.raises(UserError, match="actuators: none"):
        TaskModel(make_task(dataclasses.replace(config, actuators={}), load_task))


def test_a_wrong_term_is_named_by_its_path(config):
    wrong = {"balance": {"type": "cartpole_balanc"}}
    with pytest.raises(UserError, match=r"rewards.balance.type.*Did you mean 'cartpole_balance'"):
        TaskModel(make_task(dataclasses.replace(config, rewards=wrong), load_task))


def test_without_a_time_limit_an_evaluation_has_one(config):
    endless = dataclasses.replace(config, terminations={}, eval_length_seconds=3.0)
    assert TaskModel(make_task(endless, load_task)).episode_steps() == 300


def test_the_runs_timing_and_clips_reach_the_environments(config):
    changed = dataclasses.replace(
        config,
        ctrl_dt=0.05,
        action_clip_max=7.0,
        reward_clip_min=-1.0,
        reward_clip_max=3.0,
        engine=dataclasses.replace(config.engine, num_threads=3),
    )
    env = TaskModel(make_task(changed, load_task)).make_env(2)
    # 0.05 s at 0.01 s per physics step.
    assert (env.timing.ctrl_dt, env.timing.num_substeps) == (0.05, 5)
    assert env.limits.action_clip == 7.0
    assert env.limits.reward_clip == (-1.0, 3.0)
    assert env.engine.spec.num_threads == 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heavier(Randomizer):
    def __call__(self, model, rng):
        model.body_mass[:] *= rng.uniform(1.5, 2.0)


def test_only_training_runs_on_randomised_models(config):
    class Randomised(Task):
        def get_mujoco_model(self):
            return load_task("cartpole")(self.config).get_mujoco_model()

        def get_physics_randomizers(self):
            return {"heavier": Heavier()}

    task_model = TaskModel(Randomised(config))
    assert task_model.make_env(2).engine.spec.variants is None
    one, two = task_model.make_env(2, training=True).engine.spec.variants.models
    nominal = task_model.model.body_mass
    assert (one.body_mass[1:] >= 1.49 * nominal[1:]).all()
    assert not np.array_equal(one.body_mass, two.body_mass)


def test_training_environments_begin_anywhere_in_their_first_episode(config):
    task_model = TaskModel(make_task(config, load_task))
    assert task_model.make_env(4, training=True).limits.stagger_steps == 1000
    assert task_model.make_env(4).limits.stagger_steps == 0
    together = dataclasses.replace(config, stagger_episodes=False)
    task_model = TaskModel(make_task(together, load_task))
    assert task_model.make_env(4, training=True).limits.stagger_steps == 0


def test_an_agent_plays_the_task(config):
    task_model = TaskModel(make_task(config, load_task))
    env, agent = task_model.make_env(4), task_model.make_agent()

    def play(key):
        variables = agent.init(key)
        start = (env.init(key), agent.initial_carry(4))
        return collect(env, agent, variables, start, key, 5)[1]

    rollout = jax.jit(play)(jax.random.key(0))
    assert rollout.action.shape == (5, 4, 1)
    for leaf in jax.tree.leaves(rollout):
        assert np.isfinite(leaf).all()
