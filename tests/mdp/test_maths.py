import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.maths import tolerance


def test_one_at_zero_the_given_value_at_the_margin_symmetric_and_falling():
    x = jnp.linspace(0, 10, 50)
    for sigmoid, at in (("gaussian", 0.1), ("quadratic", 0.3)):
        value = tolerance(x, 2.0, at, sigmoid)
        np.testing.assert_allclose(tolerance(jnp.zeros(()), 2.0, at, sigmoid), 1.0)
        np.testing.assert_allclose(tolerance(jnp.array(2.0), 2.0, at, sigmoid), at, rtol=1e-6)
        np.testing.assert_allclose(tolerance(-x, 2.0, at, sigmoid), value)
        assert (np.diff(value) <= 0).all() and (value >= 0).all()


def test_an_unknown_sigmoid_is_refused():
    with pytest.raises(ValueError, match="gaussian, quadratic"):
        tolerance(jnp.zeros(()), 1.0, 0.1, "cosine")
