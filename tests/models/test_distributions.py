import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ksim_cli.models.distributions import DiagonalNormal, NormalMixture, TanhNormal

NORMAL = DiagonalNormal(mean=jnp.array([[0.5, -1.0]]), std=jnp.array([[2.0, 0.1]]))
LOGITS, MEANS, STDS = [0.3, -1.0, 0.8], [-1.5, 0.0, 1.0], [0.4, 1.0, 0.5]


sample = jax.jit(lambda distribution, key: distribution.sample(key))
log_prob = jax.jit(lambda distribution, raw: distribution.log_prob(raw))
entropy_of = jax.jit(lambda distribution: distribution.entropy())
log_probs = jax.jit(jax.vmap(lambda distribution, raw: distribution.log_prob(raw), (None, 0)))
scores = jax.jit(jax.vmap(jax.grad(lambda distribution, u: distribution.log_prob(u)), (None, 0)))


def tanh_normal(mean, std, *interval):
    return TanhNormal(jnp.array([mean]), jnp.array([std]), *interval)


def mixture(logits=LOGITS, means=MEANS, stds=STDS):
    return NormalMixture(*(jnp.array([x], float) for x in (logits, means, stds)))


def mixture_density(x):
    """By the definition, in float64."""
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum()
    return scipy.stats.norm.pdf(np.asarray(x)[..., None], MEANS, STDS) @ weights


def at(distribution, points):
    """Log density of one element at many raw actions, as float64."""
    return np.asarray(log_probs(distribution, jnp.asarray(points)[:, None]), np.float64)


def many(distribution, n):
    """The distribution n times."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), distribution)


def test_log_density_and_entropy_against_scipy():
    action = jnp.array([[1.0, -1.05]])
    parts = scipy.stats.norm([0.5, -1.0], [2.0, 0.1])
    np.testing.assert_allclose(
        NORMAL.log_prob(action), parts.logpdf(np.asarray(action)).sum(-1), rtol=1e-5
    )
    np.testing.assert_allclose(NORMAL.entropy(), [parts.entropy().sum()], rtol=1e-5)


def test_samples_and_mode():
    x = np.asarray(sample(many(NORMAL, 100_000), jax.random.key(0)))[:, 0]
    np.testing.assert_allclose(x.mean(0), [0.5, -1.0], atol=0.03)
    np.testing.assert_allclose(x.std(0), [2.0, 0.1], rtol=0.02)
    np.testing.assert_array_equal(NORMAL.mode(), NORMAL.mean)


def test_deviations_against_numpy():
    np.testing.assert_array_equal(NORMAL.deviation(), NORMAL.std)
    np.testing.assert_array_equal(tanh_normal(0.3, 0.2).deviation(), jnp.array([0.2]))
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum()
    square = weights @ (np.square(STDS) + np.square(MEANS)) - np.square(weights @ np.array(MEANS))
    np.testing.assert_allclose(mixture().deviation(), [np.sqrt(square)], rtol=1e-6)


@pytest.mark.parametrize("distribution", [NORMAL, mixture()], ids=["normal", "mixture"])
def test_the_action_of_what_is_not_squashed_is_the_very_sample(distribution):
    raw = distribution.sample(jax.random.key(0))
    assert distribution.action(raw) is raw and distribution.raw_action(raw) is raw


@pytest.mark.parametrize("interval", [(), (-0.5, 2.0)])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.3), (-1.5, 2.0)])
def test_a_squashed_normal_by_change_of_variables(mean, std, interval):
    low, high = interval or (-1.0, 1.0)
    half = (high - low) / 2
    with jax.enable_x64(True):
        squashed = tanh_normal(mean, std, *interval)
        u = np.linspace(-4.0, 4.0, 101)
        action = low + (np.tanh(u) + 1) * half
        np.testing.assert_allclose(squashed.action(u), action, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(squashed.raw_action(squashed.action(u)), u, rtol=1e-9, atol=1e-9)
        # p(a) = p(u) / (da / du), da / du = (1 - tanh(u)^2) * half
        wanted = scipy.stats.norm.logpdf(u, mean, std) - np.log((1 - np.tanh(u) ** 2) * half)
        np.testing.assert_allclose(at(squashed, u), wanted, rtol=1e-8, atol=1e-8)
        # The density, integrated over the actions themselves.
        u = np.linspace(max(mean - 8 * std, -15.0), min(mean + 8 * std, 15.0), 200_001)
        action = low + (np.tanh(u) + 1) * half
        log_density = at(squashed, u)
        np.testing.assert_allclose(np.trapezoid(np.exp(log_density), action), 1.0, atol=1e-6)
        entropy = -np.trapezoid(np.exp(log_density) * log_density, action)
        tolerance = 1e-4 if std <= 1 else 0.01
        np.testing.assert_allclose(entropy_of(squashed), entropy, atol=tolerance)
    small = tanh_normal(mean, std, *interval)
    u = np.linspace(-3.0, 3.0, 101)
    wanted = scipy.stats.norm.logpdf(u, mean, std) - np.log((1 - np.tanh(u) ** 2) * half)
    np.testing.assert_allclose(at(small, u.astype(np.float32)), wanted, rtol=1e-5, atol=1e-5)
    # From the actions alone, as near as their rounding leaves it.
    told = small.raw_action(jnp.asarray(low + (np.tanh(u) + 1) * half, jnp.float32))
    np.testing.assert_allclose(at(small, told), wanted, rtol=1e-4, atol=1e-3)


def test_the_elements_of_a_squashed_normal_are_independent():
    both = TanhNormal(jnp.array([[0.3, -1.0]]), jnp.array([[1.0, 0.2]]))
    one, other = tanh_normal(0.3, 1.0), tanh_normal(-1.0, 0.2)
    raw = jnp.array([[1.5, -0.5]])
    apart = one.log_prob(raw[0, :1]) + other.log_prob(raw[0, 1:])
    np.testing.assert_allclose(both.log_prob(raw), [apart], rtol=1e-6)
    np.testing.assert_allclose(both.entropy(), [one.entropy() + other.entropy()], rtol=1e-5)


def test_squashed_samples_and_mode():
    squashed = many(tanh_normal(0.5, 0.7, 0.0, 4.0), 200_000)
    raw = sample(squashed, jax.random.key(0))
    x = np.asarray(squashed.action(raw))
    assert x.min() >= 0.0 and x.max() <= 4.0
    u = np.linspace(-6.0, 7.0, 20_001)
    density, action = scipy.stats.norm.pdf(u, 0.5, 0.7), 2 + 2 * np.tanh(u)
    mean = np.trapezoid(density * action, u)
    np.testing.assert_allclose(x.mean(), mean, atol=0.01)
    np.testing.assert_allclose(
        x.std(), np.sqrt(np.trapezoid(density * (action - mean) ** 2, u)), rtol=0.01
    )
    middle = squashed.action(squashed.mode())
    np.testing.assert_allclose(middle, jnp.full_like(middle, 2 + 2 * np.tanh(0.5)), rtol=1e-6)
    # The entropy is what the log density is on average.
    entropy = entropy_of(squashed)[0]
    np.testing.assert_allclose(-log_prob(squashed, raw).mean(), entropy, atol=0.01)


def density_and_entropy(distribution, action):
    return distribution.log_prob(distribution.raw_action(action)), distribution.entropy()


@jax.jit
def with_gradients(distribution, action):
    """Log density and entropy, and their derivatives by every parameter."""
    gradients = jax.jacobian(density_and_entropy)(distribution, action)
    return density_and_entropy(distribution, action), gradients


@pytest.mark.parametrize("action", [-1.0, 1.0, 0.0, 1.0 - 1e-7, 1.5])
@pytest.mark.parametrize("mean", [-50.0, 0.0, 50.0])
@pytest.mark.parametrize("std", [1e-3, 1.0, 30.0])
def test_a_squashed_normal_is_finite_at_the_ends(action, mean, std):
    squashed = TanhNormal(jnp.array([mean]), jnp.array([std]))
    for leaf in jax.tree.leaves(with_gradients(squashed, jnp.array([action]))):
        assert np.isfinite(leaf).all()


def test_what_was_rounded_to_an_end_has_the_density_of_its_neighbourhood():
    squashed = tanh_normal(5.0, 2.0)
    ends = at(squashed, squashed.raw_action(jnp.array([1.0, 1 - 2e-6], jnp.float32)))
    assert abs(ends[0] - ends[1]) < 1.0
    far = squashed.replace(mean=jnp.array([20.0]))
    assert far.action(far.mode()) == 1.0 and np.isfinite(far.log_prob(far.mode()))
    # At the raw action itself: log(1 - tanh(u)^2) is 2 (log 2 - u) this far out.
    wanted = scipy.stats.norm.logpdf(20.0, 20.0, 2.0) - 2 * (np.log(2.0) - 20.0)
    np.testing.assert_allclose(far.log_prob(far.mode()), wanted, rtol=1e-6)


def test_a_mixture_against_scipy_and_numeric_integration():
    x = np.linspace(-8.0, 8.0, 20_001)
    with jax.enable_x64(True):
        log_density = at(mixture(), x)
        np.testing.assert_allclose(log_density, np.log(mixture_density(x)), rtol=1e-10)
        np.testing.assert_allclose(np.trapezoid(np.exp(log_density), x), 1.0, atol=1e-9)
        entropy = -np.trapezoid(np.exp(log_density) * log_density, x)
        np.testing.assert_allclose(entropy_of(mixture()), entropy, atol=1e-3)
    single = at(mixture(), x.astype(np.float32))
    np.testing.assert_allclose(single, np.log(mixture_density(x)), rtol=1e-4, atol=1e-5)


def test_equal_components_are_one_normal_in_every_element():
    mean, std = jnp.array([[0.5, -1.0]]), jnp.array([[2.0, 0.1]])
    spread = lambda x: jnp.repeat(x[..., None], 3, axis=-1)  # noqa: E731
    same = NormalMixture(jnp.array([[[0.0, 1.0, 2.0]] * 2]), spread(mean), spread(std))
    action = jnp.array([[1.0, -1.05]])
    np.testing.assert_allclose(log_prob(same, action), log_prob(NORMAL, action), rtol=1e-5)
    np.testing.assert_allclose(entropy_of(same), NORMAL.entropy(), rtol=1e-4)
    np.testing.assert_array_equal(same.mode(), NORMAL.mode())
    assert sample(same, jax.random.key(0)).shape == (1, 2)


def test_samples_of_a_mixture():
    mixtures = many(mixture(), 200_000)
    x = np.asarray(sample(mixtures, jax.random.key(0)))[:, 0]
    grid = np.linspace(-8.0, 8.0, 20_001)
    below = np.array(
        [np.trapezoid(mixture_density(grid[grid <= c]), grid[grid <= c]) for c in (-1, 0, 1)]
    )
    np.testing.assert_allclose([(x <= c).mean() for c in (-1, 0, 1)], below, atol=0.005)
    mean_log_density = log_prob(mixtures, x[:, None]).mean()
    np.testing.assert_allclose(-mean_log_density, entropy_of(mixture()), atol=0.01)


def test_the_mode_of_a_mixture_is_its_highest_peak():
    # The second has the larger weight, the first the higher peak: 0.4 / 0.1 > 0.6 / 0.5.
    peaked = mixture(np.log([0.4, 0.6]), [3.0, -3.0], [0.1, 0.5])
    assert peaked.mode().tolist() == [3.0]
    assert mixture(np.log([0.1, 0.9]), [3.0, -3.0], [0.5, 0.5]).mode().tolist() == [-3.0]


@pytest.mark.parametrize("action", [0.0, 1e3, -1e3])
@pytest.mark.parametrize("logit", [0.0, 1e3])
@pytest.mark.parametrize("std", [1e-3, 1.0, 1e3])
def test_a_mixture_is_finite_far_out(action, logit, std):
    parameters = [[logit, -logit]], [[-5.0, 5.0]], [[std, 1.0]]
    extreme = NormalMixture(*map(jnp.array, parameters))
    for leaf in jax.tree.leaves(with_gradients(extreme, jnp.array([action]))):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("name", ["mean", "std", "logits"])
def test_the_gradient_of_the_entropies_is_that_of_finite_differences(name):
    with jax.enable_x64(True):
        for distribution in (tanh_normal(0.4, 0.8), mixture()):
            if not hasattr(distribution, name):
                continue

            @jax.jit
            def entropy(x, distribution=distribution):
                return distribution.replace(**{name: x}).entropy()

            x = getattr(distribution, name)
            step = jnp.zeros_like(x).reshape(-1).at[0].set(1e-5).reshape(x.shape)
            wanted = (entropy(x + step) - entropy(x - step)) / 2e-5
            got = jax.jit(jax.grad(entropy))(x).reshape(-1)[0]
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


DRAWN = {
    **{
        f"normal {std}": DiagonalNormal(jnp.array([-0.7]), jnp.array([std]))
        for std in (0.1, 1.0, 3.0)
    },
    **{
        f"tanh_normal {mean} {std}": tanh_normal(mean, std)
        for mean in (0.0, 8.0, 12.0)
        for std in (0.1, 1.0, 3.0)
    },
    **{f"mixture {std}": mixture(stds=[std, 1.0, 0.5]) for std in (0.1, 1.0, 3.0)},
}
"""Name -> distribution of one element."""
SAMPLES = 100_000


def near(values, wanted):
    """Asserts that the mean of independent values is what it is to be, within 4 standard errors."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    error = np.abs(values.mean(0) - wanted) / (values.std(0) / np.sqrt(len(values)) + 1e-12)
    assert (error < 4).all(), (values.mean(0), wanted, error)


@pytest.mark.parametrize("name", DRAWN)
def test_the_mean_score_is_zero(name):
    # E[d log p / d parameter] = 0 for every parameter of every density.
    distribution = DRAWN[name]
    raw = sample(many(distribution, SAMPLES), jax.random.key(1))
    for part in jax.tree.leaves(scores(distribution, raw)):
        near(part, 0.0)


@pytest.mark.parametrize("name", DRAWN)
def test_the_mean_ratio_of_densities_is_one(name):
    # E_p[q / p] = 1, for q whose means are shifted.
    distribution = DRAWN[name]
    shifted = distribution.replace(mean=distribution.mean + 0.1)
    raw = sample(many(distribution, SAMPLES), jax.random.key(2))
    near(jnp.exp(log_probs(shifted, raw) - log_probs(distribution, raw)), 1.0)


def moments(distribution):
    """Mean and variance of the raw actions."""
    if isinstance(distribution, NormalMixture):
        weights = np.asarray(jax.nn.softmax(distribution.logits[0]), np.float64)
        means, stds = np.asarray(distribution.mean[0]), np.asarray(distribution.std[0])
        mean = weights @ means
        return mean, weights @ (stds**2 + means**2) - mean**2
    return float(distribution.mean[0]), float(distribution.std[0]) ** 2


@pytest.mark.parametrize("name", DRAWN)
def test_samples_have_the_moments_and_the_entropy_of_their_density(name):
    distribution = many(DRAWN[name], SAMPLES)
    raw = sample(distribution, jax.random.key(3))
    mean, variance = moments(DRAWN[name])
    near(raw, mean)
    near(jnp.square(raw - mean), variance)
    # The quadrature is within 0.02 of the entropy.
    log_density = np.asarray(log_prob(distribution, raw), np.float64)
    error = log_density.std() / np.sqrt(SAMPLES)
    assert abs(-log_density.mean() - float(entropy_of(DRAWN[name]))) < 4 * error + 0.02


@pytest.mark.parametrize("name", DRAWN)
def test_densities_in_float32_are_those_in_float64(name):
    distribution = DRAWN[name]
    mean, variance = moments(distribution)
    u = np.linspace(mean - 4 * np.sqrt(variance), mean + 4 * np.sqrt(variance), 101)
    u = u.astype(np.float32)
    single, entropy = at(distribution, u), float(entropy_of(distribution))
    with jax.enable_x64(True):
        double = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), distribution)
        np.testing.assert_allclose(single, at(double, u.astype(np.float64)), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(entropy, entropy_of(double), rtol=1e-5, atol=1e-5)
