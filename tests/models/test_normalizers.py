import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.models.normalizers import running_statistics


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1000.0, 1.0), (-3.0, 1e-3)])
def test_welford_against_float64(offset, scale):
    rng = np.random.default_rng(0)
    update = jax.jit(lambda s, x, m: s.update(x, m))
    statistics, seen = running_statistics(3), []
    for size in (1, 7, 500, 3, 2000):
        x = rng.normal(size=(size, 4, 3)) * scale + offset
        mask = rng.random((size, 4)) < 0.7
        seen.append(x[mask])
        statistics = update(statistics, jnp.asarray(x, jnp.float32), jnp.asarray(mask))
    x = np.concatenate(seen).astype(np.float32).astype(np.float64)
    assert statistics.count == len(x)
    np.testing.assert_allclose(statistics.mean, x.mean(0), rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(statistics.variance, x.var(0), rtol=2e-3 if offset else 1e-4)


def test_many_samples_keep_their_precision():
    # 400 batches of 250,000: beyond 2^24, where a float32 count cannot grow one by one.
    update = jax.jit(lambda s, k: s.update(2 + jax.random.normal(k, (250_000, 1)), MASK))
    statistics = running_statistics(1)
    for i in range(100):
        statistics = update(statistics, jax.random.key(i))
    np.testing.assert_allclose(statistics.mean, 2.0, atol=1e-3)
    np.testing.assert_allclose(statistics.variance, 1.0, rtol=1e-3)
    np.testing.assert_allclose(statistics.count, 2.5e7, rtol=1e-6)


MASK = jnp.ones(250_000, bool)


def test_nothing_new_changes_nothing_and_what_is_masked_may_be_anything():
    statistics = running_statistics(2).update(
        jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.ones(2, bool)
    )
    same = statistics.update(jnp.full((3, 2), 1e30), jnp.zeros(3, bool))
    for a, b in zip(jax.tree.leaves(statistics), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)


def test_normalising_and_clipping_by_hand():
    statistics = running_statistics(1).update(jnp.array([[1.0], [5.0]]), jnp.ones(2, bool))
    # mean 3, std 2
    got = statistics.normalize(jnp.array([[3.0], [5.0], [100.0]]), clip=10.0)
    np.testing.assert_allclose(got[:, 0], [0.0, 1.0, 10.0], rtol=1e-5)
