import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.rng import named_key


def test_named_keys_differ_by_name_and_are_the_same_for_the_same_names():
    key = jax.random.key(0)
    draw = lambda *names: np.asarray(jax.random.bits(named_key(key, *names)))  # noqa: E731
    assert draw("a", "b") == draw("a", "b")
    assert len({int(draw(*n)) for n in (("a",), ("b",), ("a", "b"), ("b", "a"))}) == 4
    assert jnp.array_equal(jax.random.key_data(named_key(key)), jax.random.key_data(key))
