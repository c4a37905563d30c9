import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.gru import GRU
from ksim_cli.models.policy import Policy

SIZES = {"actor": 3, "critic": 4}


def make(**fields):
    config = GRU(hidden_size=6, **fields)
    return NNXAdapter(lambda key: config.build(SIZES, 2, key))


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


OBS = {"actor": jnp.asarray(draw(0, 5, 3)), "critic": jnp.asarray(draw(1, 5, 4))}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def linear(x, layer):
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer.get("bias", 0.0))


def by_hand(network, x, carry):
    """The definition of Cho et al. 2014, in float64: output and new states."""
    x, states = np.tanh(linear(x, network["encoder"])), []
    for i in range(len(carry)):
        h, cell = carry[i], network["cells"][i]
        of_x, of_h = (
            np.split(linear(y, cell[k]), 3, -1) for y, k in ((x, "dense_i"), (h, "dense_h"))
        )
        r, z = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
        x = (1 - z) * np.tanh(of_x[2] + r * of_h[2]) + z * h
        states.append(x)
    return linear(x, network["head"]), states


def test_the_network_is_what_its_weights_say():
    model = make(num_layers=2, normalize_observations=False)
    variables = model.init(jax.random.key(0))
    carry = {"actor": tuple(draw(2, 2, 5, 6)), "critic": tuple(draw(3, 2, 5, 6))}
    wanted, states = by_hand(variables.params["actor"], np.asarray(OBS["actor"]), carry["actor"])
    got, after = model.merge(variables).action_distribution(OBS, carry)
    np.testing.assert_allclose(got.mean, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["actor"], states, rtol=1e-4, atol=1e-6)
    wanted, states = by_hand(variables.params["critic"], np.asarray(OBS["critic"]), carry["critic"])
    value, after = model.merge(variables).value(OBS, carry)
    np.testing.assert_allclose(value, wanted[:, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["critic"], states, rtol=1e-4, atol=1e-6)


def test_each_network_moves_its_own_part_of_the_carry():
    model = make()
    variables = model.init(jax.random.key(0))
    carry = jax.tree.map(lambda x: x + 1.0, Policy(model).initial_carry(5))
    _, after = model.merge(variables).action_distribution(OBS, carry)
    np.testing.assert_array_equal(after["critic"], carry["critic"])
    assert not np.allclose(after["actor"], carry["actor"])
    _, after = model.merge(variables).value(OBS, carry)
    np.testing.assert_array_equal(after["actor"], carry["actor"])
    assert not np.allclose(after["critic"], carry["critic"])


def test_an_episode_starts_without_memories():
    policy = Policy(make(num_layers=3))
    assert policy.recurrent
    carry = policy.initial_carry(7)
    assert set(carry) == {"actor", "critic"}
    for states in carry.values():
        assert [x.shape for x in states] == [(7, 6)] * 3
    assert not any(x.any() for x in jax.tree.leaves(carry))


def test_what_was_seen_is_remembered():
    policy = Policy(make())
    variables = policy.init(jax.random.key(0))
    blank = jax.tree.map(jnp.zeros_like, OBS)

    def after(first):
        carry = policy.initial_carry(5)
        for obs in (first, blank, blank):
            sample = policy.mode(variables, obs, carry)
            carry = sample.carry
        return sample

    one, other = after(OBS), after(blank)
    assert not np.allclose(one.action, other.action) and not np.allclose(one.value, other.value)


def test_the_first_actions_are_small():
    model = make()
    carry = Policy(model).initial_carry(5)
    got, _ = model.merge(model.init(jax.random.key(0))).action_distribution(OBS, carry)
    assert np.abs(got.mean).max() < 0.1


def test_lists_of_widths_give_layers_of_those_widths():
    model = make(actor_hidden=[5, 3], critic_hidden=[4])
    variables, carry = model.init(jax.random.key(0)), Policy(model).initial_carry(5)
    assert jax.tree.map(jnp.shape, carry) == {"actor": ((5, 5), (5, 3)), "critic": ((5, 4),)}
    actor, critic = variables.params["actor"], variables.params["critic"]
    assert actor["encoder"]["kernel"].shape == (3, 5) and actor["head"]["kernel"].shape == (3, 2)
    assert actor["cells"][1]["dense_i"]["kernel"].shape == (5, 9), "three gates of three units"
    assert critic["encoder"]["kernel"].shape == (4, 4) and critic["head"]["kernel"].shape == (4, 1)
    # Of different widths, it is still what its weights say.
    carry = {"actor": (draw(2, 5, 5), draw(3, 5, 3)), "critic": (draw(4, 5, 4),)}
    plain = make(actor_hidden=[5, 3], critic_hidden=[4], normalize_observations=False)
    got, after = plain.merge(variables).action_distribution(OBS, carry)
    wanted, states = by_hand(actor, np.asarray(OBS["actor"]), carry["actor"])
    np.testing.assert_allclose(got.mean, wanted, rtol=1e-4, atol=1e-6)
    for one, two in zip(after["actor"], states, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_a_recurrent_network_needs_a_layer():
    with pytest.raises(UserError, match=r"Type model\.num_layers=1"):
        make(actor_hidden=[])
