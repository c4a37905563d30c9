"""Any pytree as a flat table of numpy arrays with string paths, and back, bit for bit."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from ksim_cli.errors import listing
from ksim_cli.io.checkpoint_files import DTYPES, Leaf

ROOT = "leaf"
"""Path of the only leaf of a tree that is nothing but that leaf."""

_SCALARS = {"bool": "bool", "int": "int64", "float": "float64"}
_MISMATCHES_SHOWN = 8


def flatten(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, Leaf]]:
    """Copy `tree` to the host.

    The copies share no memory with the tree: a later donation of its buffers, or a write into its
    numpy arrays, does not reach them.

    Args:
        tree: pytree of jax arrays, typed PRNG keys, numpy arrays and Python numbers.

    Returns:
        The arrays by path, contiguous and in the machine's byte order; and their descriptions.

    Raises:
        TypeError: a leaf is none of these.
        ValueError: two leaves have one path.
    """
    sources = _leaves(tree)
    leaves = {path: describe(leaf, path) for path, leaf in sources.items()}
    for path, leaf in leaves.items():
        if leaf.kind.startswith("key"):
            sources[path] = jax.random.key_data(sources[path])
        if isinstance(sources[path], jax.Array):
            sources[path].copy_to_host_async()  # all transfers run at once
    # `order`: safetensors would write the memory of a strided array as if it were contiguous.
    arrays = {
        path: np.array(source, np.dtype(leaves[path].dtype), copy=True, order="C")
        for path, source in sources.items()
    }
    return arrays, leaves


def unflatten(target: Any, arrays: Mapping[str, np.ndarray], stored: Mapping[str, Leaf]) -> Any:
    """Build a tree of `target`'s structure from `arrays`, which `mismatches` has found to fit.

    Args:
        target: pytree whose leaves say how each comes back: numpy arrays as numpy, jax arrays as
            jax with their sharding, a `ShapeDtypeStruct` as what was saved.
        arrays: the arrays by path.
        stored: description of the saved leaves.
    """
    leaves = [_rebuild(leaf, arrays[path], stored[path]) for path, leaf in _leaves(target).items()]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def matching(target: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """A tree like `target` of those arrays, by path, that fit it; None in place of the others."""

    def fitting(path: str, leaf: Any) -> np.ndarray | None:
        array = arrays.get(path)
        fits = array is not None and _form(describe(array, path)) == _form(describe(leaf, path))
        return array if fits else None

    leaves = [fitting(path, leaf) for path, leaf in _leaves(target).items()]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def mismatches(
    target: Any, stored: Mapping[str, Leaf], most: int | None = _MISMATCHES_SHOWN
) -> list[str]:
    """One line for each leaf in which `target` and the saved tree differ.

    Args:
        target: pytree of arrays, or of their shapes.
        stored: description of the saved leaves by path.
        most: at most that many lines; None: all.
    """
    asked = described(target)
    lines = [f"{path}: asked for, not stored" for path in asked.keys() - stored.keys()]
    lines += [f"{path}: stored, not asked for" for path in stored.keys() - asked.keys()]
    lines += [
        f"{path}: stored is {_spell(stored[path])}, asked is {_spell(asked[path])}"
        for path in asked.keys() & stored.keys()
        if _form(stored[path]) != _form(asked[path])
    ]
    rest = 0 if most is None else len(lines) - most
    return sorted(lines)[:most] + [f"… and {rest} more"] * (rest > 0)


def described(tree: Any) -> dict[str, Leaf]:
    """Shape, type and kind of each leaf by its path; of shapes as of arrays."""
    return {path: describe(leaf, path) for path, leaf in _leaves(tree).items()}


def describe(leaf: Any, path: str) -> Leaf:
    """Shape, type and kind of a leaf.

    Raises:
        TypeError: the leaf at `path` cannot be saved.
    """
    kind = type(leaf).__name__
    if type(leaf) in (bool, int, float):  # no subclass, which would not come back as it was
        if kind == "int" and not -(2**63) <= leaf < 2**63:
            raise TypeError(f"{path}: the integer {leaf} does not fit in 64 bits")
        return Leaf((), _SCALARS[kind], kind)
    if not isinstance(leaf, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct):
        allowed = "jax and numpy arrays, typed PRNG keys, int, float, bool"
        raise TypeError(f"{path}: {kind} cannot be saved. Allowed: {allowed}.")
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return _describe_keys(leaf)
    dtype = np.dtype(leaf.dtype)
    if dtype.name not in DTYPES:
        raise TypeError(f"{path}: an array of {dtype} cannot be saved. Allowed: {listing(DTYPES)}.")
    kind = "numpy" if isinstance(leaf, np.ndarray | np.generic) else "array"
    return Leaf(tuple(leaf.shape), dtype.name, kind)


def _describe_keys(keys: Any) -> Leaf:
    """Typed PRNG keys, also those of a `ShapeDtypeStruct`, which alone does not tell its data."""
    generators: list[str] = []

    def data(keys: jax.Array) -> jax.Array:
        generators.append(str(jax.random.key_impl(keys)))
        return jax.random.key_data(keys)

    stored = jax.eval_shape(data, keys)
    return Leaf(tuple(stored.shape), stored.dtype.name, f"key<{generators[0]}>")


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves of `tree` by path, in the tree's own order."""
    leaves: dict[str, Any] = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        path = "/".join(_part(key) for key in keys) or ROOT
        if path in leaves:
            raise ValueError(f"two leaves of the tree have the path {path}")
        leaves[path] = leaf
    return leaves


def _part(key: Any) -> str:
    """One part of a path: letters, digits and `._-` as they are, all else as `%` and its code."""
    text = jax.tree_util.keystr((key,), simple=True)
    quoted = quote(text, safe="").replace("~", "%7E")
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted or "%"


def _form(leaf: Leaf) -> tuple[object, ...]:
    """The part of a leaf that must agree for it to come back as asked, not converted."""
    return leaf.shape, leaf.dtype, "array" if leaf.kind == "numpy" else leaf.kind


def _spell(leaf: Leaf) -> str:
    """A leaf for a message: `float32[8, 3]`, `key<rbg>[8]`, `int`."""
    if leaf.kind in _SCALARS:
        return leaf.kind
    keys = leaf.kind.startswith("key")
    shape = leaf.shape[:-1] if keys else leaf.shape
    return f"{leaf.kind if keys else leaf.dtype}[{', '.join(map(str, shape))}]"


def _rebuild(target: Any, array: np.ndarray, have: Leaf) -> Any:
    """One leaf as `target` wants it."""
    if have.kind in _SCALARS:
        return array.item()
    if have.kind.startswith("key"):
        generator = have.kind.removeprefix("key<").removesuffix(">")
        return jax.random.wrap_key_data(_place(array, target), impl=generator)
    if isinstance(target, np.generic):
        return array[()]
    struct_of_numpy = isinstance(target, jax.ShapeDtypeStruct) and have.kind == "numpy"
    return array if isinstance(target, np.ndarray) or struct_of_numpy else _place(array, target)


def _place(array: np.ndarray, target: Any) -> jax.Array:
    """A jax array, spread over devices as `target` is; one device's arrays stay free to move."""
    sharding = getattr(target, "sharding", None)
    if sharding is None or len(sharding.device_set) == 1:
        return jax.numpy.array(array, copy=True)
    # Of several processes each puts its part of the array on its own devices.
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
