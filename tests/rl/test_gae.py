import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.rl.gae import gae


def loop(rewards, values, next_values, done, gamma, lam):
    """The definition, one environment and one step after another, in float64."""
    advantages = np.zeros(rewards.shape)
    for n in range(rewards.shape[1]):
        following = 0.0
        for t in reversed(range(rewards.shape[0])):
            delta = rewards[t, n] + gamma * next_values[t, n] - values[t, n]
            following = delta + gamma * lam * (0.0 if done[t, n] else following)
            advantages[t, n] = following
    return advantages


@pytest.mark.parametrize(("gamma", "lam"), [(0.99, 0.95), (0.9, 1.0), (1.0, 0.5), (0.97, 0.0)])
def test_against_a_float64_loop(gamma, lam):
    rng = np.random.default_rng(0)
    shape = (128, 16)
    rewards, values, next_values = rng.normal(size=(3, *shape))
    done = rng.random(shape) < 0.05
    wanted = loop(rewards, values, next_values, done, gamma, lam)
    arrays = [jnp.asarray(x, jnp.float32) for x in (rewards, values, next_values)]
    got = jax.jit(gae, static_argnums=(4, 5))(*arrays, jnp.asarray(done), gamma, lam)
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_by_hand():
    # gamma 0.5, lam 0.5; the episode ends at the second of three steps.
    # delta = [1 + 0.5*2 - 1, 2 + 0.5*0 - 2, 3 + 0.5*4 - 3] = [1, 0, 2]
    # A_2 = 2; A_1 = 0 (nothing crosses the end); A_0 = 1 + 0.25 * 0 = 1
    column = lambda *x: jnp.array(x, jnp.float32)[:, None]  # noqa: E731
    got = gae(column(1, 2, 3), column(1, 2, 3), column(2, 0, 4), column(0, 1, 0) > 0, 0.5, 0.5)
    assert got[:, 0].tolist() == [1.0, 0.0, 2.0]


def test_the_true_value_of_an_endless_task_has_no_advantage_however_it_is_cut():
    gamma, reward = 0.9, 2.0
    value = reward / (1 - gamma)
    shape = (50, 3)
    done = jnp.zeros(shape, bool).at[::7].set(True)
    full = lambda x: jnp.full(shape, x, jnp.float32)  # noqa: E731
    got = gae(full(reward), full(value), full(value), done, gamma, 0.95)
    np.testing.assert_allclose(got, 0.0, atol=1e-4)


def test_lambda_one_is_the_return_less_the_value_and_zero_the_td_error():
    rng = np.random.default_rng(1)
    rewards, values = jnp.asarray(rng.normal(size=(2, 10, 2)), jnp.float32)
    next_values = jnp.concatenate([values[1:], jnp.ones((1, 2))])
    done = jnp.zeros((10, 2), bool)
    returns = np.zeros((10, 2))
    following = np.ones(2)
    for t in reversed(range(10)):
        following = np.asarray(rewards[t]) + 0.9 * following
        returns[t] = following
    one = gae(rewards, values, next_values, done, 0.9, 1.0)
    np.testing.assert_allclose(one, returns - values, atol=1e-5)
    zero = gae(rewards, values, next_values, done, 0.9, 0.0)
    np.testing.assert_allclose(zero, rewards + 0.9 * next_values - values, atol=1e-6)
