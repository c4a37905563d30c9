import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from ksim_cli.models.distributions import DiagonalNormal

NORMAL = DiagonalNormal(mean=jnp.array([[0.5, -1.0]]), std=jnp.array([[2.0, 0.1]]))


def test_log_density_and_entropy_against_scipy():
    action = jnp.array([[1.0, -1.05]])
    parts = scipy.stats.norm([0.5, -1.0], [2.0, 0.1])
    np.testing.assert_allclose(
        NORMAL.log_prob(action), parts.logpdf(np.asarray(action)).sum(-1), rtol=1e-5
    )
    np.testing.assert_allclose(NORMAL.entropy(), [parts.entropy().sum()], rtol=1e-5)


def test_samples_and_mode():
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (100_000, 2)), NORMAL)
    x = np.asarray(many.sample(jax.random.key(0)))
    np.testing.assert_allclose(x.mean(0), [0.5, -1.0], atol=0.03)
    np.testing.assert_allclose(x.std(0), [2.0, 0.1], rtol=0.02)
    np.testing.assert_array_equal(NORMAL.mode(), NORMAL.mean)
