"""Any pytree as a flat table of numpy arrays with string paths, and back, bit for bit."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from ksim_cli.io.manifest import Leaf

ROOT = "leaf"
"""Path of the only leaf of a tree that is nothing but that leaf."""

_SCALARS = {"bool": np.bool_, "int": np.int64, "float": np.float64}
_MISMATCHES_SHOWN = 8


def flatten(tree: Any) -> tuple[dict[str, np.ndarray], dict[str, Leaf]]:
    """Copy `tree` to the host.

    The copies share no memory with the tree: a later donation of its buffers, or a write into its
    numpy arrays, does not reach them.

    Args:
        tree: pytree of jax arrays, typed PRNG keys, numpy arrays and Python numbers.

    Returns:
        The arrays by path, without those of no elements; and the description of every leaf.

    Raises:
        TypeError: a leaf is none of these.
        ValueError: two leaves have one path.
    """
    leaves = _leaves(tree)
    described = {path: describe(leaf, path) for path, leaf in leaves.items()}
    sources: dict[str, Any] = {}
    for path, leaf in leaves.items():
        sources[path] = jax.random.key_data(leaf) if described[path].kind == "key" else leaf
        if isinstance(sources[path], jax.Array):
            sources[path].copy_to_host_async()  # all transfers run at once
    arrays: dict[str, np.ndarray] = {}
    for path, source in sources.items():
        array = np.array(source, dtype=_SCALARS.get(described[path].kind), copy=True, order="C")
        if array.size:
            arrays[path] = array
    return arrays, described


def unflatten(target: Any, arrays: Mapping[str, np.ndarray], stored: Mapping[str, Leaf]) -> Any:
    """Build a tree of `target`'s structure from `arrays`, which `mismatches` has found to fit.

    Args:
        target: pytree whose leaves say how each comes back: numpy arrays as numpy, jax arrays as
            jax with their sharding, a `ShapeDtypeStruct` as what was saved.
        arrays: the arrays by path; those of no elements may be missing.
        stored: description of the saved leaves.
    """
    leaves = [
        _rebuild(leaf, arrays.get(path), stored[path]) for path, leaf in _leaves(target).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def mismatches(target: Any, stored: Mapping[str, Leaf]) -> list[str]:
    """One line for each leaf in which `target` and the saved tree differ, at most a few."""
    leaves = _leaves(target)
    lines = [f"{path}: asked for, not stored" for path in leaves.keys() - stored.keys()]
    lines += [f"{path}: stored, not asked for" for path in stored.keys() - leaves.keys()]
    for path in leaves.keys() & stored.keys():
        asked = describe(leaves[path], path)
        have = stored[path]
        if not _fits(asked, have):
            lines.append(f"{path}: stored is {_spell(have)}, asked is {_spell(asked)}")
    lines.sort()
    if len(lines) > _MISMATCHES_SHOWN:
        rest = len(lines) - _MISMATCHES_SHOWN
        lines = [*lines[:_MISMATCHES_SHOWN], f"… and {rest} more"]
    return lines


def describe(leaf: Any, path: str) -> Leaf:
    """Shape, type and kind of a leaf.

    Raises:
        TypeError: the leaf at `path` cannot be saved.
    """
    if isinstance(leaf, bool | int | float) and not isinstance(leaf, np.generic):
        kind = type(leaf).__name__
        if kind not in _SCALARS:
            raise TypeError(f"{path}: {kind} cannot be saved; make it a plain number")
        if kind == "int" and not -(2**63) <= leaf < 2**63:
            raise TypeError(f"{path}: the integer {leaf} does not fit in 64 bits")
        return Leaf((), np.dtype(_SCALARS[kind]).name, kind)
    if not isinstance(leaf, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct):
        raise TypeError(
            f"{path}: {type(leaf).__name__} cannot be saved. Allowed: jax and numpy arrays, typed "
            "PRNG keys, int, float, bool."
        )
    shape, dtype = tuple(leaf.shape), leaf.dtype
    if jax.numpy.issubdtype(dtype, jax.dtypes.prng_key):
        impl = str(jax.random.key_impl(leaf)) if isinstance(leaf, jax.Array) else ""
        return Leaf(shape, str(dtype), "key", impl)
    if dtype.hasobject or dtype.kind in "SUmM" or dtype.names:
        raise TypeError(f"{path}: an array of {dtype} cannot be saved. Allowed: numbers.")
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return Leaf(shape, np.dtype(dtype).name, "struct")
    return Leaf(shape, np.dtype(dtype).name, "array" if isinstance(leaf, jax.Array) else "numpy")


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
    for field in ("key", "idx", "name"):
        if hasattr(key, field):
            text = str(getattr(key, field))
            break
    else:
        text = str(key)
    quoted = quote(text, safe="").replace("~", "%7E")
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted or "%"


def _fits(asked: Leaf, have: Leaf) -> bool:
    """Whether what is stored can come back as asked, without any conversion of its values."""
    if (asked.shape, asked.dtype) != (have.shape, have.dtype):
        return False
    arrays = ("array", "numpy", "struct")
    return asked.kind == have.kind or (asked.kind in arrays and have.kind in arrays)


def _spell(leaf: Leaf) -> str:
    """A leaf for a message: `float32[8, 3]`, `int`."""
    if leaf.kind in _SCALARS:
        return leaf.kind
    return f"{leaf.dtype}[{', '.join(map(str, leaf.shape))}]"


def _rebuild(target: Any, array: np.ndarray | None, have: Leaf) -> Any:
    """One leaf as `target` wants it; `array` is None for one of no elements."""
    if have.kind in _SCALARS:
        assert array is not None
        return array.item()
    if have.kind == "key":
        return _rebuild_key(target, array, have)
    if array is None:
        array = np.zeros(have.shape, np.dtype(have.dtype))
    if isinstance(target, np.generic):
        return array[()]
    if isinstance(target, np.ndarray):
        return array
    if isinstance(target, jax.ShapeDtypeStruct) and have.kind == "numpy":
        return array
    return _place(array, target)


def _rebuild_key(target: Any, array: np.ndarray | None, have: Leaf) -> Any:
    """An array of PRNG keys of the saved generator."""
    if array is None:
        spare = jax.random.key_data(jax.random.key(0, impl=have.impl))
        array = np.zeros((*have.shape, *spare.shape), spare.dtype)
    return jax.random.wrap_key_data(_place(array, target), impl=have.impl)


def _place(array: np.ndarray, target: Any) -> jax.Array:
    """A jax array, spread over devices as `target` is; one device's arrays stay free to move."""
    sharding = getattr(target, "sharding", None)
    if sharding is None or len(sharding.device_set) == 1:
        return jax.numpy.array(array, copy=True)
    # Of several processes each puts its part of the array on its own devices.
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
