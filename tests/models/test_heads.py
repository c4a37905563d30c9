import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError
from ksim_cli.models.distributions import DiagonalNormal, NormalMixture, TanhNormal
from ksim_cli.models.heads import HEADS, make_head


def make(**fields):
    return make_head(ActorCriticConfig(**fields), 2)


def test_every_name_the_config_allows_is_a_head():
    (field,) = (f for f in dataclasses.fields(ActorCriticConfig) if f.name == "distribution")
    assert set(field.metadata["choices"]) == set(HEADS)


@pytest.mark.parametrize(
    ("name", "kind"), [("normal", DiagonalNormal), ("tanh_normal", TanhNormal)]
)
def test_the_network_gives_the_means_and_the_deviations_are_the_same_everywhere(name, kind):
    head = make(distribution=name, init_std=0.5)
    assert head.num_inputs == 2
    x = jnp.arange(6.0).reshape(3, 2)
    got = head(x)
    assert type(got) is kind
    np.testing.assert_array_equal(got.mean, x)
    np.testing.assert_allclose(got.std, jnp.full((3, 2), 0.5), rtol=1e-6)
    head.log_std.set_value(jnp.array([jnp.log(2.0), -100.0]))
    np.testing.assert_allclose(head(x).std, [[2.0, 1e-3]] * 3, rtol=1e-5)


def test_the_network_gives_weights_and_means_of_a_mixture():
    head = make(distribution="mixture", num_mixtures=3, init_std=0.5)
    assert head.num_inputs == 2 * 2 * 3
    x = jnp.arange(24.0).reshape(2, 12)
    got = head(x)
    assert type(got) is NormalMixture
    np.testing.assert_array_equal(got.logits[1], [[12, 13, 14], [15, 16, 17]])
    # The means start half the deviation apart from their neighbours.
    np.testing.assert_allclose(got.mean[0, 0], [6 - 0.25, 7, 8 + 0.25], rtol=1e-6)
    np.testing.assert_allclose(got.mean[1, 1], [21 - 0.25, 22, 23 + 0.25], rtol=1e-6)
    assert got.std.shape == (2, 2, 3)
    np.testing.assert_allclose(got.std, 0.5, rtol=1e-6)
    assert head(x[0]).log_prob(jnp.zeros(2)).shape == ()
    assert head(jnp.zeros((4, 3, 12))).entropy().shape == (4, 3)


def test_a_mixture_of_one_is_a_normal():
    one = make(distribution="mixture", num_mixtures=1)(jnp.array([5.0, -5.0, 0.3, -0.2]))
    normal = make()(jnp.array([0.3, -0.2]))
    action = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(one.log_prob(action), normal.log_prob(action), rtol=1e-6)
    np.testing.assert_array_equal(one.mode(), normal.mode())


def test_components_move_apart():
    # Alike they would all have the same gradient; here each is drawn its own way.
    head = make(distribution="mixture", num_mixtures=4)
    gradient = jax.grad(lambda x: head(x).log_prob(jnp.array([2.0, -2.0])))(jnp.zeros(16))
    assert len(np.unique(np.asarray(gradient[8:12]).round(4))) == 4


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(("init_std", "min_std"), [(5e-4, 1e-3), (0.02, 0.02)])
def test_a_deviation_that_starts_at_its_bound_or_beyond_is_refused(name, init_std, min_std):
    wanted = rf"model.init_std={init_std}.*above model.min_std={min_std}.*model.min_std="
    with pytest.raises(UserError, match=wanted):
        make(distribution=name, init_std=init_std, min_std=min_std)
    just = make(distribution=name, init_std=1.01 * min_std, min_std=min_std)
    std = just(jnp.zeros(just.num_inputs)).std
    np.testing.assert_allclose(std, 1.01 * min_std, rtol=1e-5)


def test_an_unknown_distribution_is_refused():
    with pytest.raises(UserError, match=r"Did you mean 'mixture'"):
        make(distribution="mixtur")
