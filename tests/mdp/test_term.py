import jax.numpy as jnp

from ksim_cli.mdp.term import Latch


def test_a_latch_gives_something_else_until_it_holds_a_value():
    empty = Latch.empty(2, 3)
    assert empty.value.shape == (2, 3) and not empty.is_set
    row = jnp.array([1.0, 2.0, 3.0])
    assert empty.get(row).tolist() == [[1.0, 2.0, 3.0]] * 2
    held = Latch.holding(jnp.full((2, 3), 4.0))
    assert held.get(row).tolist() == [[4.0] * 3] * 2
