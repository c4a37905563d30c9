import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import Policy

SIZES = {"actor": 3, "critic": 4}


def make(**fields):
    config = MLP(hidden_size=8, **fields)
    return NNXAdapter(lambda key: config.build(SIZES, 2, key))


def test_the_network_is_what_its_weights_say():
    model = make(num_hidden_layers=1, normalize_observations=False, activation="relu")
    variables = model.init(jax.random.key(0))
    obs = {"actor": jnp.array([[1.0, -2.0, 0.5]]), "critic": jnp.ones((1, 4))}
    first, last = (jax.tree.map(np.asarray, variables.params["actor"]["layers"][i]) for i in (0, 1))
    hidden = np.maximum(np.asarray(obs["actor"]) @ first["kernel"] + first["bias"], 0.0)
    wanted = hidden @ last["kernel"] + last["bias"]
    got, carry = model.merge(variables).action_distribution(obs, ())
    np.testing.assert_allclose(got.mean, wanted, rtol=1e-5)
    assert carry == ()
    value, _ = model.merge(variables).value(obs, ())
    assert value.shape == (1,)


def test_the_first_actions_are_small_and_as_wide_as_configured():
    model = make(init_std=0.5)
    obs = {"actor": jnp.ones((5, 3)), "critic": jnp.ones((5, 4))}
    got, _ = model.merge(model.init(jax.random.key(0))).action_distribution(obs, ())
    assert np.abs(got.mean).max() < 0.1
    np.testing.assert_allclose(got.std, 0.5, rtol=1e-6)


def test_hidden_weights_are_orthogonal_with_gain_sqrt_two():
    params = make(num_hidden_layers=2).init(jax.random.key(0)).params
    kernel = np.asarray(params["actor"]["layers"][1]["kernel"])
    np.testing.assert_allclose(kernel.T @ kernel, 2.0 * np.eye(8), atol=1e-5)


def test_what_the_networks_see_is_normalised_and_clipped():
    model = make(num_hidden_layers=1, observation_clip=1.5)
    variables = model.init(jax.random.key(0))
    far, sides = jnp.full((1, 3), 100.0), jnp.array([[1.0, 1.0, 1.0], [5.0, 5.0, 5.0]])
    seen = {"actor": sides, "critic": jnp.ones((2, 4))}
    # mean 3, deviation 2: the far one stands at 1.5 deviations, where 6 stands too.
    variables = Policy(model).update_statistics(variables, seen, jnp.ones(2, bool))

    def mean(actor):
        obs = {"actor": actor, "critic": jnp.ones((1, 4))}
        return model.merge(variables).action_distribution(obs, ())[0].mean

    np.testing.assert_allclose(mean(far), mean(jnp.full((1, 3), 6.0)), rtol=1e-5)
    assert not np.allclose(mean(far), mean(jnp.full((1, 3), 5.0)), rtol=1e-3)
    plain = make(num_hidden_layers=1, normalize_observations=False)
    obs = {"actor": sides, "critic": jnp.ones((2, 4))}
    fresh = model.init(jax.random.key(0))
    before, after = (
        plain.merge(v).action_distribution(obs, ())[0].mean for v in (fresh, variables)
    )
    np.testing.assert_array_equal(before, after, "without normalising, statistics do not show")


def test_lists_of_widths_give_layers_of_those_widths():
    params = make(actor_hidden=[5, 3], critic_hidden=[7]).init(jax.random.key(0)).params
    layers = {name: [shape(layer) for _, layer in ordered(params[name])] for name in SIZES}
    assert layers == {"actor": [(3, 5), (5, 3), (3, 2)], "critic": [(4, 7), (7, 1)]}
    # The short form holds for what has no list, and for [] there is no hidden layer at all.
    params = make(actor_hidden=[], num_hidden_layers=3).init(jax.random.key(0)).params
    layers = {name: [shape(layer) for _, layer in ordered(params[name])] for name in SIZES}
    assert layers == {"actor": [(3, 2)], "critic": [(4, 8), (8, 8), (8, 8), (8, 1)]}


def ordered(network):
    return sorted(network["layers"].items())


def shape(layer):
    return layer["kernel"].shape


def test_an_unknown_activation_is_refused():
    with pytest.raises(UserError, match=r"Did you mean 'relu'"):
        make(activation="rellu")
