"""Random keys by name, so that no two things ever draw from the same one."""

import zlib

import jax


def named_key(key: jax.Array, *names: str) -> jax.Array:
    """A random key of one's own: `key` folded with each name, whatever else draws from it."""
    for name in names:
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key
