import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.rl import losses

ALL = jnp.ones(4, bool)


def test_the_surrogate_by_hand():
    # ratios 0.5, 0.9, 1.1, 2 with clip 0.2 and advantages 1, -1, 1, -1:
    # min(0.5, 0.8) = 0.5; min(-0.9, -0.9) = -0.9; 1.1; min(-2, -1.2) = -2
    ratio = jnp.array([0.5, 0.9, 1.1, 2.0])
    advantage = jnp.array([1.0, -1.0, 1.0, -1.0])
    got = losses.surrogate_loss(jnp.log(ratio), advantage, 0.2, ALL)
    np.testing.assert_allclose(got, -(0.5 - 0.9 + 1.1 - 2.0) / 4, atol=1e-6)


@pytest.mark.parametrize(("ratio", "advantage"), [(1.3, 1.0), (0.7, -1.0)])
def test_beyond_the_clip_there_is_no_gradient_where_it_would_go_further(ratio, advantage):
    def loss(log_ratio):
        return losses.surrogate_loss(
            log_ratio[None], jnp.array([advantage]), 0.2, jnp.ones(1, bool)
        )

    assert jax.grad(loss)(jnp.log(ratio)) == 0.0
    back = jax.grad(
        lambda x: losses.surrogate_loss(x[None], jnp.array([-advantage]), 0.2, jnp.ones(1, bool))
    )
    assert back(jnp.log(ratio)) != 0.0


def test_the_value_loss_by_hand():
    value, old, target = jnp.array([3.0, 1.0]), jnp.array([1.0, 1.0]), jnp.array([4.0, 0.0])
    both = jnp.ones(2, bool)
    # (1 + 1) / 2 / 2
    np.testing.assert_allclose(losses.value_loss(value, old, target, None, both), 0.5, atol=1e-6)
    # clipped to 1.5: max(1, 6.25) = 6.25; unchanged: 1. (6.25 + 1) / 2 / 2
    np.testing.assert_allclose(losses.value_loss(value, old, target, 0.5, both), 1.8125, atol=1e-6)


def test_the_value_loss_is_the_larger_of_clipped_and_not():
    value = jnp.array([1.0, 1.0, -1.0, 0.1])
    target = jnp.array([2.0, 0.3, -3.0, 1.0])
    # From 0 the value may move by 0.2: clipped values 0.2, 0.2, -0.2, 0.1.
    # not clipped: 1, 0.49, 4, 0.81; clipped: 3.24, 0.01, 7.84, 0.81
    # larger: 3.24, 0.49, 7.84, 0.81; half their mean = 12.38 / 4 / 2 = 1.5475
    got = losses.value_loss(value, jnp.zeros(4), target, 0.2, ALL)
    np.testing.assert_allclose(got, 1.5475, rtol=1e-6)


def test_kl_by_hand_and_never_negative():
    # r - 1 - log r at r = 2 and 0.5: 1 - ln 2 and -0.5 + ln 2; the mean is 0.25
    got = losses.kl_divergence(jnp.log(jnp.array([2.0, 0.5])), jnp.ones(2, bool))
    np.testing.assert_allclose(got, 0.25, atol=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = jnp.asarray(rng.normal(size=4), jnp.float32)
        assert losses.kl_divergence(x, ALL) >= 0.0


def test_kl_estimates_that_of_two_normals():
    # KL(N(0,1) || N(0.3,1)) = 0.3^2 / 2 = 0.045
    x = jax.random.normal(jax.random.key(0), (200_000,))
    log_ratio = -0.5 * jnp.square(x - 0.3) + 0.5 * jnp.square(x)
    got = losses.kl_divergence(log_ratio, jnp.ones(200_000, bool))
    np.testing.assert_allclose(got, 0.045, rtol=0.02)


def test_normalising_by_hand():
    # 1, 2, 3, 4: mean 2.5, variance 1.25
    got = losses.normalize(jnp.array([1.0, 2.0, 3.0, 4.0]), ALL)
    np.testing.assert_allclose(got, (np.arange(1, 5) - 2.5) / np.sqrt(1.25), atol=1e-6)
    assert np.isfinite(losses.normalize(jnp.ones(4), ALL)).all()


@pytest.mark.parametrize("valid", [(0,), (2,), (0, 2), (1, 2, 3), ()])
def test_a_lone_value_is_not_normalised_to_nothing(valid):
    values, mask = jnp.array([3.0, -1.0, 2.0, 7.0]), jnp.asarray(np.isin(np.arange(4), valid))
    got = np.asarray(losses.normalize(values, mask), np.float64)
    assert np.isfinite(got).all()
    if len(valid) == 1:
        assert got[valid[0]] == values[valid[0]]
    elif valid:
        counted = np.asarray(values, np.float64)[list(valid)]
        wanted = (counted - counted.mean()) / counted.std()
        np.testing.assert_allclose(got[list(valid)], wanted, rtol=1e-5)
        assert got[list(valid)].any()


def test_the_mask_decides_what_counts():
    mask = jnp.array([True, False, True, False])
    values = jnp.array([1.0, jnp.nan, 3.0, jnp.inf])
    assert losses.masked_mean(values, mask) == 2.0
    assert losses.masked_mean(values, jnp.zeros(4, bool)) == 0.0


def test_the_style_reward_by_hand_and_its_bounds():
    # 1 - (d - 1)^2 / 4: at -1 0, at 0 0.75, at 1 1, at 2 0.75; nothing below 0
    score = jnp.array([-9.0, -1.0, 0.0, 1.0, 2.0, 3.0, 9.0])
    got = losses.style_reward(score)
    np.testing.assert_allclose(got, [0.0, 0.0, 0.75, 1.0, 0.75, 0.0, 0.0], atol=1e-7)
    many = losses.style_reward(jnp.linspace(-1e3, 1e3, 10_001))
    assert many.min() == 0.0 and many.max() == 1.0


def test_the_discriminator_loss_of_a_linear_score_by_hand():
    # d(x) = x . (2, -1): at the motion 1 and 3, at the policy 0, -2 and one that does not count.
    def score(x):
        return x @ jnp.array([2.0, -1.0])

    real = jnp.array([[1.0, 1.0], [1.0, -1.0]])
    fake = jnp.array([[0.0, 0.0], [-1.0, 0.0], [jnp.nan, 0.0]])
    valid = jnp.array([True, True, False])
    total, parts = losses.discriminator_loss(score, real, fake, valid, 10.0)
    # (0 + 4) / 2 towards 1, (1 + 1) / 2 towards -1, |(2, -1)|^2 = 5 times 10 / 2
    np.testing.assert_allclose(total, 2.0 + 1.0 + 25.0, rtol=1e-6)
    np.testing.assert_allclose(parts["disc_grad_penalty"], 5.0, rtol=1e-6)
    assert (parts["disc_real"], parts["disc_fake"]) == (2.0, -1.0)


def test_the_discriminator_loss_and_the_gradient_penalty_of_a_network_in_float64():
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(4, 8)), rng.normal(size=8)
    real, fake = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))

    def score(x):
        return jnp.tanh(x @ first.astype(np.float32)) @ last.astype(np.float32)

    total, parts = losses.discriminator_loss(
        score, real.astype(np.float32), fake.astype(np.float32), np.ones(5, bool), 3.0
    )
    d_real, d_fake = np.tanh(real @ first) @ last, np.tanh(fake @ first) @ last
    slopes = ((1.0 - np.tanh(real @ first) ** 2) * last) @ first.T
    penalty = (slopes**2).sum(1).mean()
    wanted = ((d_real - 1.0) ** 2).mean() + ((d_fake + 1.0) ** 2).mean() + 1.5 * penalty
    np.testing.assert_allclose(parts["disc_grad_penalty"], penalty, rtol=1e-5)
    np.testing.assert_allclose(total, wanted, rtol=1e-5)


@pytest.mark.parametrize(("kl", "factor"), [(0.1, 1.5), (0.001, 1 / 1.5), (0.01, 1.0)])
def test_the_kl_coefficient_follows_the_kl(kl, factor):
    got = losses.adapted_kl_coef(jnp.float32(0.2), jnp.float32(kl), 0.01)
    np.testing.assert_allclose(got, 0.2 * factor, rtol=1e-6)
    assert losses.adapted_kl_coef(jnp.float32(1e2), jnp.float32(1.0), 0.01) == 1e2
