from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.io import pytrees


class Pair(NamedTuple):
    first: object
    second: object


def test_paths_follow_the_tree():
    tree = {"a": [1, Pair(2.0, True)], "b c": {0: np.zeros(2)}, "..": jnp.zeros(1), "n": None}
    arrays, leaves = pytrees.flatten(tree)
    assert set(leaves) == {"a/0", "a/1/first", "a/1/second", "b%20c/0", "%2E%2E/".rstrip("/")}
    assert {leaf.kind for leaf in leaves.values()} == {"int", "float", "bool", "numpy", "array"}
    assert set(arrays) == set(leaves)


def test_a_single_leaf_is_a_tree():
    arrays, leaves = pytrees.flatten(3.5)
    assert pytrees.unflatten(0.0, arrays, leaves) == 3.5


def test_copies_share_no_memory_with_the_tree():
    row = np.arange(3.0)
    device = jnp.arange(3.0)
    arrays, _ = pytrees.flatten({"row": row, "device": device})
    row[:] = -1
    donate = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    donate(device).block_until_ready()
    assert arrays["row"].tolist() == arrays["device"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.broadcast_to(np.arange(3), (2, 3)),
        np.arange(3, dtype=">i4"),
        np.array(7, ">f8"),
        np.asfortranarray(np.arange(6, dtype=np.uint16).reshape(2, 3)),
    ],
)
def test_strided_and_foreign_arrays_become_contiguous_and_native(array: np.ndarray):
    copy = pytrees.flatten({"a": array})[0]["a"]
    assert copy.flags.c_contiguous and copy.dtype.isnative and copy.flags.owndata
    assert copy.shape == array.shape and copy.dtype.name == array.dtype.name
    np.testing.assert_array_equal(copy, array)


def test_keys_are_described_by_their_generator_and_data():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 3)
    leaf = pytrees.describe(keys, "k")
    assert (leaf.shape, leaf.dtype, leaf.kind) == ((3, 4), "uint32", "key<rbg>")
    assert pytrees.describe(jax.eval_shape(lambda: keys), "k") == leaf


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
        pytrees.flatten(Odd())


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("text", "str cannot be saved"),
        (object(), "object cannot be saved"),
        (2**63, "does not fit in 64 bits"),
        (np.array(["a"]), "an array of <U1 cannot be saved"),
        (np.array([None]), "an array of object cannot be saved"),
        (1j, "complex cannot be saved"),
        (np.zeros(2, np.complex64), "an array of complex64 cannot be saved. Allowed: .*float32"),
        (np.zeros(2, np.longdouble), "an array of float128 cannot be saved"),
        (jnp.zeros(2, jnp.float8_e4m3fn), "an array of float8_e4m3fn cannot be saved"),
        (np.zeros(2, [("a", "f4")]), "cannot be saved. Allowed: .*float32"),
    ],
)
def test_leaves_that_cannot_be_saved_are_named(leaf: object, message: str):
    with pytest.raises(TypeError, match=f"x/0: .*{message}|x/0: {message}"):
        pytrees.flatten({"x": [leaf]})


def test_mismatches_name_leaf_stored_and_asked():
    _, stored = pytrees.flatten(
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
    assert pytrees.mismatches(target, stored) == [
        "gone: stored, not asked for",
        "k: stored is key<threefry2x32>[], asked is key<rbg>[]",
        "n: stored is int, asked is float",
        "new: asked for, not stored",
        "t: stored is float32[2], asked is int32[2]",
        "w: stored is float32[2, 3], asked is float32[3, 2]",
    ]


def test_many_mismatches_are_cut_short():
    lines = pytrees.mismatches({}, pytrees.flatten({str(i): i for i in range(20)})[1])
    assert len(lines) == 9
    assert lines[-1] == "… and 12 more"


def test_a_struct_comes_back_as_it_was_saved():
    tree = {"jax": jnp.ones(2), "numpy": np.ones(2), "key": jax.random.key(1)}
    arrays, leaves = pytrees.flatten(tree)
    structs = {
        "jax": jax.ShapeDtypeStruct((2,), jnp.float32),
        "numpy": jax.ShapeDtypeStruct((2,), np.float64),
        "key": jax.eval_shape(lambda: jax.random.key(0)),
    }
    assert pytrees.mismatches(structs, leaves) == []
    back = pytrees.unflatten(structs, arrays, leaves)
    assert isinstance(back["jax"], jax.Array)
    assert isinstance(back["numpy"], np.ndarray)
    assert jax.random.key_data(back["key"]).tolist() == jax.random.key_data(tree["key"]).tolist()
