import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.trees import select_envs, zeroed


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
