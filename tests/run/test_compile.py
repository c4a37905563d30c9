import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.rl.incident import Incident
from ksim_cli.run.compile import assert_fixed_point, iterate, without_weak_types


def test_fused_iterations_average_floats_sum_counts_and_keep_the_first_incident():
    def step(state):
        cause = jnp.where(state == 2, 4, 0)
        known = {"obs": {}, "action": state * 1.0, "view": (), "commands": {}, "rewards": {}}
        incident = Incident(cause=cause, step=state, env=state, **known)
        metrics = {"loss": state * 1.0, "count": state, "rare": jnp.where(state == 1, 5.0, jnp.nan)}
        return state + 1, metrics, incident

    state, metrics, incident = jax.jit(lambda s: iterate(step, 4, s))(jnp.int32(0))
    assert state == 4
    np.testing.assert_allclose(metrics["loss"], 1.5)
    assert metrics["count"] == 6 and metrics["rare"] == 5.0
    assert int(incident.cause) == 4 and int(incident.step) == 2


def test_no_leaf_stays_weakly_typed():
    weak = jax.eval_shape(lambda: {"a": jnp.asarray(1.0) * 1, "k": jax.random.key(0)})
    assert weak["a"].weak_type
    fixed = jax.eval_shape(
        lambda: without_weak_types({"a": jnp.asarray(1.0) * 1, "k": jax.random.key(0)})
    )
    assert not fixed["a"].weak_type and fixed["a"].dtype == jnp.float32


def test_a_leaf_that_changes_its_shape_or_type_is_named():
    before = {"a": jnp.zeros(3), "b": jnp.int32(1)}
    assert_fixed_point(before, {"a": jnp.ones(3), "b": jnp.int32(2)})
    with pytest.raises(TypeError, match=r"\['b'\] is int32\[\] before and float32\[\] after"):
        assert_fixed_point(before, {**before, "b": jnp.float32(1)})
    with pytest.raises(TypeError, match=r"\['a'\] is float32\[3\] before and float32\[4\] after"):
        assert_fixed_point(before, {**before, "a": jnp.zeros(4)})
