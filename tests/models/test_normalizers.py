import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.models.normalizers import Normalizer, running_statistics


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
    # 100 batches of 250,000: beyond 2^24, where a float32 count cannot grow one by one.
    drawn = 2 + jax.random.normal(jax.random.key(0), (250_000, 1))
    batches = jnp.stack([drawn, 1.5 * drawn - 1.0])
    update = jax.jit(lambda s, i: s.update(batches[i], MASK))
    statistics = running_statistics(1)
    for i in range(100):
        statistics = update(statistics, i % 2)
    exact = np.asarray(batches, np.float64)
    np.testing.assert_allclose(statistics.mean, exact.mean(), rtol=1e-4)
    np.testing.assert_allclose(statistics.variance, exact.var(), rtol=1e-4)
    np.testing.assert_allclose(statistics.count, 2.5e7, rtol=1e-6)


MASK = jnp.ones(250_000, bool)


def test_nothing_new_changes_nothing_and_what_is_masked_may_be_anything():
    statistics = running_statistics(2).update(
        jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.ones(2, bool)
    )
    same = statistics.update(jnp.full((3, 2), 1e30), jnp.zeros(3, bool))
    for a, b in zip(jax.tree.leaves(statistics), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("samples", "mask", "wanted"),
    [
        ([], [], 1.0),
        ([5.0, 7.0], [False, False], 1.0),
        ([5.0], [True], 1.0),
        ([5.0, 9.0], [True, False], 1.0),
        ([5.0, 9.0], [True, True], 1 / 2),
        ([1.0, 2.0, 3.0], [True, True, True], 1 / np.sqrt(2 / 3)),
    ],
)
def test_a_scale_needs_two_samples(samples, mask, wanted):
    statistics = running_statistics()
    for sample, counts in zip(samples, mask, strict=True):
        statistics = statistics.update(jnp.array([sample]), jnp.array([counts]))
    np.testing.assert_allclose(statistics.inverse_std, wanted, rtol=1e-6)


def seen_once(*groups, clip=10.0, **samples):
    sizes = {name: x.shape[-1] for name, x in samples.items()}
    normalizer = Normalizer("model.actor_groups", groups, sizes, clip)
    mask = jnp.ones(next(iter(samples.values())).shape[:-1], bool)
    normalizer.update(samples, mask)
    return normalizer


def test_normalising_and_clipping_by_hand():
    normalizer = seen_once("a", a=jnp.array([[1.0], [5.0]]))
    # mean 3, std 2
    got = normalizer({"a": jnp.array([[3.0], [5.0], [100.0], [-100.0]])})
    np.testing.assert_allclose(got[:, 0], [0.0, 1.0, 10.0, -10.0], rtol=1e-5)
    narrow = seen_once("a", a=jnp.array([[1.0], [5.0]]), clip=0.5)
    np.testing.assert_allclose(narrow({"a": jnp.array([[5.0]])}), [[0.5]])


def test_the_groups_stand_in_the_order_they_are_named():
    a, b = jnp.array([[1.0, 2.0], [3.0, 6.0]]), jnp.array([[10.0], [30.0]])
    for groups, wanted in ((("a", "b"), [1.0, 2.0, 10.0]), (("b", "a"), [10.0, 1.0, 2.0])):
        normalizer = seen_once(*groups, a=a, b=b, clip=None)
        assert normalizer.size == 3
        assert normalizer({"a": a, "b": b})[0].tolist() == wanted, "without a clip as they are"
        mean = dict(zip(("a0", "a1", "b0"), (2.0, 4.0, 20.0), strict=True))
        order = ("a0", "a1", "b0") if groups[0] == "a" else ("b0", "a0", "a1")
        got = normalizer.statistics.get_value().mean
        assert got.tolist() == [mean[name] for name in order]


def test_only_what_the_mask_names_is_seen_whatever_the_leading_axes():
    normalizer = Normalizer("model.actor_groups", ["a"], {"a": 2, "unused": 7}, 10.0)
    obs = jnp.arange(24.0).reshape(4, 3, 2)
    normalizer.update({"a": obs.at[1].set(jnp.nan)}, jnp.ones((4, 3), bool).at[1].set(False))
    statistics = normalizer.statistics.get_value()
    kept = np.delete(np.asarray(obs), 1, axis=0).reshape(-1, 2)
    assert statistics.count == 9
    np.testing.assert_allclose(statistics.mean, kept.mean(0), rtol=1e-6)
    np.testing.assert_allclose(statistics.variance, kept.var(0), rtol=1e-6)
    assert normalizer({"a": obs}).shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("group", "sizes", "message"),
    [
        ("actr", {"actor": 3}, r"model\.teacher: no observation is in the group 'actr'.*'actor'"),
        ("empty", {"empty": 0, "actor": 3}, "no observation is in the group 'empty'"),
    ],
)
def test_a_group_without_observations_is_refused(group, sizes, message):
    with pytest.raises(UserError, match=message):
        Normalizer("model.teacher", [group], sizes, 10.0)
