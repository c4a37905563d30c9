"""PPO's diagnostics against numbers by hand and float64 NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.rl import diagnostics
from ksim_cli.rl.algorithm import init, train_step
from ksim_cli.rl.ppo import PPO
from tests.envs import Probe
from tests.rl.test_ppo import MODEL, make_context

ALL = jnp.ones((2, 2), bool)


def test_explained_variance_by_hand():
    # Targets 0, 2, 4, 6 have variance 5; errors 1, -1, 1, -1 have 1.
    target, value = jnp.array([[0.0, 2.0], [4.0, 6.0]]), jnp.array([[-1.0, 3.0], [3.0, 7.0]])
    np.testing.assert_allclose(diagnostics.explained_variance(value, target, ALL), 0.8, rtol=1e-6)
    assert diagnostics.explained_variance(target, target, ALL) == 1.0
    # What always errs alike explains everything, what knows nothing nothing.
    np.testing.assert_allclose(diagnostics.explained_variance(target + 3, target, ALL), 1.0)
    nothing = diagnostics.explained_variance(jnp.full((2, 2), 9.0), target, ALL)
    np.testing.assert_allclose(nothing, 0.0, atol=1e-6)
    assert np.isnan(diagnostics.explained_variance(value, jnp.ones((2, 2)), ALL))


def test_explained_variance_is_that_of_numpy_and_leaves_out_what_does_not_count():
    rng = np.random.default_rng(0)
    target, noise = rng.normal(10.0, 2.0, (2, 50, 4))
    value, mask = target + 0.3 * noise, rng.random((50, 4)) < 0.7
    wanted = 1.0 - np.var((target - value)[mask]) / np.var(target[mask])
    target[~mask], value[~mask] = np.nan, np.inf
    got = diagnostics.explained_variance(*(jnp.asarray(x) for x in (value, target, mask)))
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_saturated_actions_by_hand():
    action = jnp.array([[[1.0, 0.5], [-0.99, 0.98]], [[7.0, -2.0], [0.0, 0.0]]])
    assert diagnostics.saturated_share(action, ALL) == 4 / 8
    mask = jnp.array([[True, True], [False, False]])
    assert diagnostics.saturated_share(action, mask) == 2 / 4


def test_the_norms_of_networks_are_those_of_their_gradients_and_make_up_the_whole():
    gradients = {"actor": {"w": jnp.array([[3.0], [4.0]])}, "critic": [jnp.ones(2), jnp.ones(2)]}
    norms = diagnostics.gradient_norms(gradients)
    wanted = {"grad_norm/actor": 5.0, "grad_norm/critic": 2.0, "grad_norm": np.sqrt(29.0)}
    assert norms.keys() == wanted.keys()
    for name, norm in norms.items():
        np.testing.assert_allclose(norm, wanted[name], rtol=1e-6)
    assert diagnostics.gradient_norms(jnp.array([3.0, 4.0])) == {"grad_norm": 5.0}


def test_an_iteration_tells_them_all():
    env = Probe(lambda shown, action, count: shown, 3, shows="coin", num_envs=8)
    context = make_context(env, model=dataclasses.replace(MODEL, init_std=0.5))
    algo = PPO(num_passes=1)
    state = jax.jit(lambda key: init(algo, context, key))(jax.random.key(0))
    _, metrics, _ = jax.jit(lambda state: train_step(algo, context, state))(state)
    assert {name for name in metrics if name.startswith("grad_norm")} == {
        *("grad_norm", "grad_norm/actor", "grad_norm/critic", "grad_norm/head")
    }
    np.testing.assert_allclose(metrics["action_std"], 0.5, rtol=0.02)
    # |0.5 z| >= 0.99 of 4.8 % of all; 64 were drawn.
    assert 0.0 <= metrics["saturated_actions"] < 0.2
    assert metrics["explained_variance"] < 1.0
