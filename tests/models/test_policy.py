import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.models.distributions import DiagonalNormal
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import NNXModel, Policy

SIZES = {"actor": 3, "critic": 3}
OBS = {"actor": jnp.arange(12.0).reshape(4, 3), "critic": jnp.arange(12.0).reshape(4, 3)}


def make(**fields):
    return Policy(NNXModel(lambda key: MLP(hidden_size=8, **fields).build(SIZES, 2, key)))


def test_what_is_stored_when_acting_is_what_the_loss_sees():
    policy = make()
    variables = policy.init(jax.random.key(0))
    sample = policy.sample_action(variables, OBS, (), jax.random.key(1), False)
    again = policy.ppo_variables(variables, OBS, sample.action, ())
    np.testing.assert_allclose(again.log_prob, sample.log_prob, rtol=1e-6)
    np.testing.assert_allclose(again.value, sample.value, rtol=1e-6)
    np.testing.assert_allclose(policy.value(variables, OBS, ()), sample.value, rtol=1e-6)


def test_argmax_is_the_mode_whatever_the_key():
    policy = make()
    variables = policy.init(jax.random.key(0))
    one, two = (policy.sample_action(variables, OBS, (), jax.random.key(i), True) for i in (1, 2))
    np.testing.assert_array_equal(one.action, two.action)
    loose = policy.sample_action(variables, OBS, (), jax.random.key(1), False)
    assert not np.array_equal(loose.action, one.action)


def test_statistics_normalise_what_the_networks_see_and_have_no_gradient():
    policy = make()
    variables = policy.init(jax.random.key(0))
    seen = policy.update_statistics(variables, OBS, jnp.ones(4, bool))
    np.testing.assert_allclose(seen.statistics["statistics"]["actor"].mean, [4.5, 5.5, 6.5])
    same = jax.tree.map(lambda a, b: bool((a == b).all()), variables.params, seen.params)
    assert all(jax.tree.leaves(same))
    before, after = (policy.value(v, OBS, ()) for v in (variables, seen))
    assert not np.allclose(before, after)
    moved = {k: 10 * v + 7 for k, v in OBS.items()}
    rescaled = policy.update_statistics(variables, moved, jnp.ones(4, bool))
    np.testing.assert_allclose(policy.value(rescaled, moved, ()), after, rtol=1e-4, atol=1e-5)
    assert not any("statistics" in jax.tree_util.keystr(p) for p, _ in paths(seen.params))


def paths(tree):
    return jax.tree_util.tree_leaves_with_path(tree)


class Recurrent:
    """Its carry is (calls of the actor, calls of the critic)."""

    def initial_carry(self):
        return jnp.array([1.0, 2.0])

    def action_distribution(self, variables, obs, carry):
        mean = carry[:, :1]
        normal = DiagonalNormal(mean=mean, std=jnp.ones_like(mean))
        return normal, carry + jnp.array([1.0, 0.0])

    def value(self, variables, obs, carry):
        return carry.sum(axis=1), carry + jnp.array([0.0, 1.0])


def test_a_carry_goes_through_the_actor_then_the_critic_and_both_agree_when_learning():
    policy = Policy(Recurrent())
    carry = policy.initial_carry(3)
    assert carry.tolist() == [[1.0, 2.0]] * 3
    sample = policy.sample_action(None, OBS, carry, jax.random.key(0), True)
    assert sample.action.tolist() == [[1.0]] * 3
    assert sample.carry.tolist() == [[2.0, 3.0]] * 3
    assert sample.value.tolist() == [4.0] * 3, "the critic is called after the actor: 2 + 2"
    again = policy.ppo_variables(None, OBS, sample.action, carry)
    assert again.value.tolist() == sample.value.tolist()
    assert again.log_prob.tolist() == sample.log_prob.tolist()
    assert make().initial_carry(7) == ()
