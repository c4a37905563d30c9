import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError
from ksim_cli.models.actor_critic import ACTIVATIONS, dense, make_activation, widths
from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.gru import GRU
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import Policy

SIZES = {"actor": 3, "critic": 4}
OBS = {"actor": jnp.arange(15.0).reshape(5, 3), "critic": -jnp.arange(20.0).reshape(5, 4)}


def make(config, sizes=SIZES):
    return Policy(NNXAdapter(lambda key: config.build(sizes, 2, key)))


def test_every_name_the_config_allows_is_an_activation():
    (field,) = (f for f in dataclasses.fields(ActorCriticConfig) if f.name == "activation")
    assert set(field.metadata["choices"]) == set(ACTIVATIONS)
    with pytest.raises(UserError, match=r"Did you mean 'relu'"):
        make_activation("rellu")


def test_weights_are_orthogonal_with_their_gain_and_biases_zero():
    from flax import nnx

    layer = dense(4, 6, 3.0, nnx.Rngs(0))
    kernel = np.asarray(layer.kernel[...])
    np.testing.assert_allclose(kernel @ kernel.T, 9.0 * np.eye(4), atol=1e-5)
    assert not layer.bias[...].any()


@pytest.mark.parametrize("config", [MLP(hidden_size=8), GRU(hidden_size=8)])
def test_each_network_sees_its_own_observations_by_its_own_statistics(config):
    policy = make(config)
    variables, carry = policy.init(jax.random.key(0)), policy.initial_carry(5)
    variables = policy.update_statistics(variables, OBS, jnp.ones(5, bool))
    for group in SIZES:
        statistics = variables.statistics[f"{group}_input"]["statistics"]
        np.testing.assert_allclose(statistics.mean, OBS[group].mean(0), rtol=1e-6)

    def both(obs):
        now = policy.ppo_variables(variables, obs, jnp.ones((5, 2)), carry)
        return now.log_prob.sum() + now.entropy.sum(), now.value.sum()

    actor, critic = jax.jacobian(both)(OBS)
    assert actor["actor"].any() and critic["critic"].any()
    assert not actor["critic"].any() and not critic["actor"].any()


GROUPS = {"a": 2, "b": 3, "c": 1}
SEEN = {"a": jnp.ones((5, 2)), "b": 10.0 * jnp.ones((5, 3)), "c": jnp.full((5, 1), 100.0)}


@pytest.mark.parametrize("model", [MLP, GRU])
def test_networks_see_the_groups_that_the_configuration_maps_to_them(model):
    config = model(hidden_size=8, actor_groups=["c", "a"], critic_groups=["b", "a", "c"])
    policy = make(config, GROUPS)
    variables, carry = policy.init(jax.random.key(0)), policy.initial_carry(5)
    variables = policy.update_statistics(variables, SEEN, jnp.ones(5, bool))
    mean = {net: variables.statistics[f"{net}_input"]["statistics"].mean for net in SIZES}
    assert mean["actor"].tolist() == [100.0, 1.0, 1.0], "in the order of the configuration"
    assert mean["critic"].tolist() == [10.0, 10.0, 10.0, 1.0, 1.0, 100.0]

    def both(obs):
        now = policy.ppo_variables(variables, obs, jnp.ones((5, 2)), carry)
        return now.log_prob.sum(), now.value.sum()

    actor, critic = jax.jacobian(both)(SEEN)
    assert actor["a"].any() and actor["c"].any() and not actor["b"].any()
    assert all(critic[group].any() for group in GROUPS)


@pytest.mark.parametrize("model", [MLP, GRU])
def test_without_groups_there_is_no_critic_and_no_value(model):
    policy = make(model(hidden_size=8, critic_groups=[]), {"actor": 3})
    variables, carry = policy.init(jax.random.key(0)), policy.initial_carry(5)
    assert set(variables.params) == {"actor", "head"} and set(variables.statistics) == {
        "actor_input"
    }
    sample = policy.sample(variables, OBS, carry, jax.random.key(0))
    now = policy.ppo_variables(variables, OBS, sample.action, carry)
    assert sample.value is None and now.value is None
    np.testing.assert_allclose(now.log_prob, sample.log_prob, rtol=1e-6)
    assert jax.tree.structure(sample.carry) == jax.tree.structure(carry)
    after = policy.update_statistics(variables, OBS, jnp.ones(5, bool))
    assert after.statistics["actor_input"]["statistics"].count == 5


@pytest.mark.parametrize("model", [MLP, GRU])
def test_an_actor_sees_something(model):
    with pytest.raises(UserError, match=r"model\.actor_groups=\[\]: an actor sees something"):
        make(model(actor_groups=[]))


def test_groups_that_no_observation_is_in_are_refused_by_their_key():
    with pytest.raises(UserError, match=r"model\.critic_groups: no observation.*'critik'.*Did you"):
        make(MLP(critic_groups=["actor", "critik"]))


def test_widths_are_a_list_or_the_short_form():
    assert widths(None, 64, 3) == [64, 64, 64]
    assert widths([5, 3], 64, 3) == [5, 3] and widths([], 64, 3) == []
