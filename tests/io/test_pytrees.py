from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.io import trees


class Pair(NamedTuple):
    first: object
    second: object


def test_paths_follow_the_tree():
    tree = {"a": [1, Pair(2.0, True)], "b c": {0: np.zeros(2)}, "..": jnp.zeros(1), "n": None}
    arrays, leaves = trees.flatten(tree)
    assert set(leaves) == {"a/0", "a/1/first", "a/1/second", "b%20c/0", "%2E%2E/".rstrip("/")}
    assert {leaf.kind for leaf in leaves.values()} == {"int", "float", "bool", "numpy", "array"}
    assert set(arrays) == set(leaves)


def test_a_single_leaf_is_a_tree():
    arrays, leaves = trees.flatten(3.5)
    assert trees.unflatten(0.0, arrays, leaves) == 3.5


def test_copies_share_no_memory_with_the_tree():
    row = np.arange(3.0)
    device = jnp.arange(3.0)
    arrays, _ = trees.flatten({"row": row, "device": device})
    row[:] = -1
    donate = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    donate(device).block_until_ready()
    assert arrays["row"].tolist() == arrays["device"].tolist() == [0.0, 1.0, 2.0]


def test_two_leaves_with_one_path():
    class Odd:
        pass

    jax.tree_util.register_pytree_with_keys(
        Odd,
        lambda odd: (
            [(jax.tree_util.DictKey("a"), 1), (jax.tree_util.GetAttrKey("a"), 2)],
            None,
        ),
        lambda aux, children: Odd(),
    )
    with pytest.raises(ValueError, match="the path a"):
        trees.flatten(Odd())


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("text", "str cannot be saved"),
        (object(), "object cannot be saved"),
        (2**63, "does not fit in 64 bits"),
        (np.array(["a"]), "an array of <U1 cannot be saved"),
        (np.array([None]), "an array of object cannot be saved"),
        (1j, "complex cannot be saved"),
    ],
)
def test_leaves_that_cannot_be_saved_are_named(leaf: object, message: str):
    with pytest.raises(TypeError, match=f"x/0: .*{message}|x/0: {message}"):
        trees.flatten({"x": [leaf]})


def test_mismatches_name_leaf_stored_and_asked():
    _, stored = trees.flatten(
        {
            "w": jnp.zeros((2, 3)),
            "t": jnp.zeros(2),
            "k": jax.random.key(0),
            "n": 1,
            "gone": 1.0,
            "ok": np.float64(1),
        }
    )
    target = {
        "w": jnp.zeros((3, 2)),
        "t": jnp.zeros(2, jnp.int32),
        "k": jax.random.key(0, impl="rbg"),
        "n": 1.0,
        "new": 1.0,
        "ok": jax.ShapeDtypeStruct((), np.float64),
    }
    assert trees.mismatches(target, stored) == [
        "gone: stored, not asked for",
        "k: stored is key<fry>[], asked is key<rbg>[]",
        "n: stored is int, asked is float",
        "new: asked for, not stored",
        "t: stored is float32[2], asked is int32[2]",
        "w: stored is float32[2, 3], asked is float32[3, 2]",
    ]


def test_many_mismatches_are_cut_short():
    lines = trees.mismatches({}, trees.flatten({str(i): i for i in range(20)})[1])
    assert len(lines) == 9
    assert lines[-1] == "… and 12 more"


def test_a_struct_comes_back_as_it_was_saved():
    tree = {"jax": jnp.ones(2), "numpy": np.ones(2), "key": jax.random.key(1)}
    arrays, leaves = trees.flatten(tree)
    structs = {
        "jax": jax.ShapeDtypeStruct((2,), jnp.float32),
        "numpy": jax.ShapeDtypeStruct((2,), np.float64),
        "key": jax.eval_shape(lambda: jax.random.key(0)),
    }
    assert trees.mismatches(structs, leaves) == []
    back = trees.unflatten(structs, arrays, leaves)
    assert isinstance(back["jax"], jax.Array)
    assert isinstance(back["numpy"], np.ndarray)
    assert jax.random.key_data(back["key"]).tolist() == jax.random.key_data(tree["key"]).tolist()
