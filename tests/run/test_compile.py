import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.rl.ppo import Incident
from ksim_cli.run.compile import iterate, strong


def test_fused_iterations_average_floats_sum_counts_and_keep_the_first_incident():
    def step(state):
        cause = jnp.where(state == 2, 4, 0)
        incident = Incident(cause=cause, step=state, env=state, obs={}, action=state * 1.0, view=())
        metrics = {"loss": state * 1.0, "count": state, "rare": jnp.where(state == 1, 5.0, jnp.nan)}
        return state + 1, metrics, incident

    state, metrics, incident = jax.jit(lambda s: iterate(step, 4, s))(jnp.int32(0))
    assert state == 4
    np.testing.assert_allclose(metrics["loss"], 1.5)
    assert metrics["count"] == 6 and metrics["rare"] == 5.0
    assert int(incident.cause) == 4 and int(incident.step) == 2


def test_strong_types():
    weak = jax.eval_shape(lambda: {"a": jnp.asarray(1.0) * 1, "k": jax.random.key(0)})
    assert weak["a"].weak_type
    fixed = jax.eval_shape(lambda: strong({"a": jnp.asarray(1.0) * 1, "k": jax.random.key(0)}))
    assert not fixed["a"].weak_type and fixed["a"].dtype == jnp.float32
