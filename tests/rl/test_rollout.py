import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.models.policy import ActionSample
from ksim_cli.rl.rollout import RandomAgent, ZeroAgent, collect
from tests.envs import Probe


class Teller(ZeroAgent):
    """Says of every observation that it is worth ten times what it shows, plus one; counts."""

    def initial_carry(self, num_envs):
        return jnp.zeros(num_envs)

    def sample_action(self, variables, obs, carry, key, argmax):
        sample = super().sample_action(variables, obs, carry, key, argmax)
        return ActionSample(
            action=sample.action,
            log_prob=sample.log_prob,
            value=self.value(variables, obs, carry),
            carry=carry + 1,
        )

    def value(self, variables, obs, carry):
        return 10 * obs["critic"][:, 0] + 1


def play(env, agent, num_steps, **keywords):
    start = (env.init(jax.random.key(0)), agent.initial_carry(env.num_envs))
    return jax.jit(
        lambda: collect(env, agent, None, start, jax.random.key(1), num_steps, **keywords)
    )()


def nothing(shown, action, count):
    return jnp.zeros_like(action)


def test_the_next_value_is_that_of_the_state_each_step_led_to():
    # Observations count 0, 1, 2 and then anew; values are 1, 11, 21; the state after the third
    # step shows 3 and is worth 31.
    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    (_, carry), rollout = play(env, Teller(1), 5)
    assert rollout.value[:, 0].tolist() == [1.0, 11.0, 21.0, 1.0, 11.0]
    assert rollout.next_value[:, 0].tolist() == [11.0, 21.0, 31.0, 11.0, 21.0]
    ended = Probe(nothing, 3, truncates=False, shows="step", num_envs=2)
    _, rollout = play(ended, Teller(1), 5)
    assert rollout.next_value[:, 0].tolist() == [11.0, 21.0, 0.0, 11.0, 21.0]
    assert rollout.carry.tolist() == [0.0, 0.0], "as before the first step"
    assert carry.tolist() == [2.0, 2.0], "anew after the episode"


def test_a_truncated_state_is_judged_with_the_carry_that_led_to_it():
    class Carried(Teller):
        def value(self, variables, obs, carry):
            return 10 * obs["critic"][:, 0] + carry

    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    _, rollout = play(env, Carried(1), 4)
    # The carry is 0, 1, 2 when acting; the state after the third step shows 3 and has carry 3.
    assert rollout.value[:, 0].tolist() == [0.0, 11.0, 22.0, 0.0]
    assert rollout.next_value[:, 0].tolist() == [11.0, 22.0, 33.0, 11.0]


def test_each_rollout_is_announced_once():
    class Announced(Probe):
        def begin_rollout(self, state):
            return state.replace(shown=state.shown + 10.0)

    env = Announced(nothing, 100, num_envs=2)
    before = env.init(jax.random.key(0)).shown
    (state, _), _ = play(env, ZeroAgent(1), 3)
    np.testing.assert_array_equal(state.shown, before + 10.0)


def test_the_final_observation_is_kept_only_when_asked_for():
    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    _, rollout = play(env, ZeroAgent(1), 4)
    assert rollout.results.final_obs == {}
    _, rollout = play(env, ZeroAgent(1), 4, keep_final_obs=True)
    assert rollout.results.final_obs["actor"][:, 0, 0].tolist() == [1.0, 2.0, 3.0, 1.0]


def test_zero_and_random_agents():
    env = Probe(nothing, 3, num_envs=500)
    _, rollout = play(env, ZeroAgent(1), 2)
    assert not rollout.action.any() and not rollout.value.any()
    _, rollout = play(env, RandomAgent(1), 2)
    action = np.asarray(rollout.action)
    assert action.min() >= -1 and action.max() < 1 and abs(action.mean()) < 0.1
    assert not np.array_equal(action[0], action[1])
