import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.registry import OPTIMIZERS
from ksim_cli.rl import register_algorithms

register_algorithms()


def one_step(section, gradient):
    transform = OPTIMIZERS.build(section, "optimizer").build()
    params = jnp.array([3.0, 4.0])
    updates, _ = transform.update(jnp.array(gradient), transform.init(params), params)
    return np.asarray(updates)


def test_adams_first_step_is_the_learning_rate_against_the_sign():
    got = one_step({"type": "adam", "learning_rate": 0.1, "max_grad_norm": None}, [5.0, -0.01])
    np.testing.assert_allclose(got, [-0.1, 0.1], rtol=1e-4)


def test_adamw_also_decays():
    section = {"type": "adamw", "learning_rate": 0.1, "weight_decay": 0.5, "max_grad_norm": None}
    # 0.1 * (sign + 0.5 * param)
    np.testing.assert_allclose(one_step(section, [1.0, 1.0]), [-0.25, -0.3], rtol=1e-4)


def test_the_norm_is_clipped_not_the_elements():
    # With eps as large as the gradient Adam keeps proportions: (3, 4) / 5 clipped to norm 1.
    section = {"type": "adam", "learning_rate": 1.0, "eps": 1e6, "max_grad_norm": 1.0}
    got = one_step(section, [30.0, 40.0])
    np.testing.assert_allclose(got * 1e6, [-0.6, -0.8], rtol=1e-3)


def test_a_wrong_field_is_named():
    with pytest.raises(UserError, match=r"optimizer: no parameter 'learning_rat'.*learning_rate"):
        OPTIMIZERS.build({"type": "adam", "learning_rat": 1.0}, "optimizer")
