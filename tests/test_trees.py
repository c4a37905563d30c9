import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.trees import breaks, filled, select_envs, unless, zeroed


def test_environments_are_selected_leaf_by_leaf():
    new = {"x": jnp.ones((3, 2)), "k": jax.random.split(jax.random.key(1), 3)}
    old = {"x": jnp.zeros((3, 2)), "k": jax.random.split(jax.random.key(2), 3)}
    got = select_envs(jnp.array([True, False, True]), new, old)
    assert got["x"].tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    assert (got["k"] == new["k"]).tolist() == [True, False, True]
    assert (got["k"] == old["k"]).tolist() == [False, True, False]


def test_what_is_zeroed():
    tree = {"a": jnp.full((3, 2), jnp.nan), "i": jnp.ones(3, jnp.int32), "flag": jnp.ones(3, bool)}
    clean = zeroed(jnp.array([True, False, True]), tree)
    assert np.isnan(clean["a"]).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert clean["i"].tolist() == [0, 1, 0] and clean["flag"].all()


def test_a_tree_breaks_where_what_was_finite_is_not():
    old = {"a": jnp.array([1.0, jnp.inf]), "n": jnp.int32(1), "k": jax.random.key(0)}
    for a, broken in (([2.0, jnp.nan], False), ([jnp.nan, 1.0], True), ([jnp.inf, 1.0], True)):
        assert bool(breaks(old, {**old, "a": jnp.array(a)})) == broken
    assert unless(jnp.array(True), {"a": 1}, {"a": 2}) == {"a": 1}


def test_what_is_not_given_is_fresh():
    fresh = {"a": {"b": 1, "c": 2}, "d": 3, "none": None}
    assert filled({"a": {"b": 9, "c": None}, "d": None, "none": None}, fresh) == {
        "a": {"b": 9, "c": 2},
        "d": 3,
        "none": None,
    }
    assert filled({"a": None, "d": 7, "none": None}, fresh)["a"] == fresh["a"]
    assert filled(None, fresh) == fresh
