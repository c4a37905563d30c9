import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ksim_cli.mdp import register_terms
from ksim_cli.mdp.noise import disturbed
from ksim_cli.registry import NOISES

register_terms()
KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("section", "std", "distribution"),
    [
        ({"type": "additive_gaussian", "std": 0.2}, 0.2, scipy.stats.norm(0, 0.2)),
        (
            {"type": "additive_uniform", "magnitude": 0.3},
            0.3 / np.sqrt(3),
            scipy.stats.uniform(-0.3, 0.6),
        ),
    ],
)
def test_noise_has_the_declared_distribution(section, std, distribution):
    noise = NOISES.build(section, "noise")
    value = jnp.full((50_000, 2), 2.0)
    drawn = np.asarray(disturbed(noise, value, KEY, jnp.float32(1.0)), np.float64) - 2.0
    # The standard errors of mean and deviation are below 0.001.
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.005)
    np.testing.assert_allclose(drawn.std(0), std, rtol=0.02)
    assert scipy.stats.kstest(drawn[:, 0], distribution.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03, "elements draw independently"
    half = np.asarray(disturbed(noise, value, KEY, jnp.float32(0.5))) - 2.0
    np.testing.assert_allclose(half, 0.5 * drawn, atol=1e-6)
    np.testing.assert_array_equal(disturbed(noise, value, KEY, jnp.float32(0.0)), value)


@pytest.mark.parametrize(
    ("section", "std"),
    [
        ({"type": "multiplicative_gaussian", "std": 0.1}, 0.1),
        ({"type": "multiplicative_uniform", "magnitude": 0.3}, 0.3 / np.sqrt(3)),
    ],
)
def test_multiplicative_noise_is_in_proportion_to_the_value(section, std):
    noise = NOISES.build(section, "noise")
    value = jnp.tile(jnp.array([0.0, 1.0, -4.0]), (20_000, 1))
    drawn = np.asarray(disturbed(noise, value, KEY, jnp.float32(1.0)))
    assert (drawn[:, 0] == 0.0).all()
    np.testing.assert_allclose(drawn.std(axis=0)[1:], [std, 4 * std], rtol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=0)[1:], [1.0, -4.0], rtol=0.01)
    half = np.asarray(disturbed(noise, value, KEY, jnp.float32(0.5)))
    np.testing.assert_allclose(half - value, 0.5 * (drawn - value), atol=1e-5)


def test_a_chain_draws_independently_and_in_order():
    add = NOISES.build({"type": "additive_gaussian", "std": 1.0}, "n")
    zero = NOISES.build({"type": "multiplicative_gaussian", "std": 0.0}, "n")
    value = jnp.zeros(20_000)
    twice = np.asarray(disturbed((add, zero, add), value, KEY, jnp.float32(1.0)))
    np.testing.assert_allclose(twice.std(), np.sqrt(2), rtol=0.03)
    np.testing.assert_array_equal(disturbed(None, value, KEY, jnp.float32(1.0)), value)


def test_every_noise_is_tried_here():
    assert set(NOISES.names()) == {
        f"{how}_{kind}"
        for how in ("additive", "multiplicative")
        for kind in ("gaussian", "uniform")
    }


@pytest.mark.parametrize(
    ("kind", "size", "wanted"),
    [
        ("additive_gaussian", "std", 2.0 + 0.5 * 0.3),
        ("additive_uniform", "magnitude", 2.0 + 0.5 * 0.3),
        ("multiplicative_gaussian", "std", 2.0 * (1 + 0.5 * 0.3)),
        ("multiplicative_uniform", "magnitude", 2.0 * (1 + 0.5 * 0.3)),
    ],
)
def test_noise_may_have_a_mean(kind, size, wanted):
    noise = NOISES.build({"type": kind, size: 0.0, "mean": 0.3}, "noise")
    got = disturbed(noise, jnp.full(3, 2.0), KEY, jnp.float32(0.5))
    np.testing.assert_allclose(got, [wanted] * 3, rtol=1e-6)
