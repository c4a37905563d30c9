import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError
from ksim_cli.models.actor_critic import ACTIVATIONS, dense, make_activation
from ksim_cli.models.gru import GRU
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import NNXModel, Policy

SIZES = {"actor": 3, "critic": 4}
OBS = {"actor": jnp.arange(15.0).reshape(5, 3), "critic": -jnp.arange(20.0).reshape(5, 4)}


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
    policy = Policy(NNXModel(lambda key: config.build(SIZES, 2, key)))
    variables, carry = policy.init(jax.random.key(0)), policy.initial_carry(5)
    variables = policy.update_statistics(variables, OBS, jnp.ones(5, bool))
    for group in SIZES:
        statistics = variables.statistics["statistics"][group]
        np.testing.assert_allclose(statistics.mean, OBS[group].mean(0), rtol=1e-6)

    def both(obs):
        now = policy.ppo_variables(variables, obs, jnp.ones((5, 2)), carry)
        return now.log_prob.sum() + now.entropy.sum(), now.value.sum()

    actor, critic = jax.jacobian(both)(OBS)
    assert actor["actor"].any() and critic["critic"].any()
    assert not actor["critic"].any() and not critic["actor"].any()
