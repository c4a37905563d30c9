import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.models.bounds import at_least
from ksim_cli.models.heads import HEADS, make_head

MIN_STD = 0.05


@pytest.mark.parametrize(
    ("x", "value", "gradient_up", "gradient_down"),
    [(3.0, 3.0, 2.0, -2.0), (1.0, 1.0, 2.0, -2.0), (0.5, 1.0, 0.0, -2.0), (-9.0, 1.0, 0.0, -2.0)],
)
def test_below_the_bound_only_the_gradient_that_raises_is_left(
    x, value, gradient_up, gradient_down
):
    # A step of descent goes against the gradient: a positive one lowers x.
    assert at_least(x, 1.0) == value
    assert jax.grad(lambda x: 2.0 * at_least(x, 1.0))(x) == gradient_up
    assert jax.grad(lambda x: -2.0 * at_least(x, 1.0))(x) == gradient_down


def test_each_element_is_bounded_by_itself_and_under_vmap():
    x = jnp.array([[0.0, 2.0], [1.0, -1.0]])
    np.testing.assert_array_equal(at_least(x, 1.0), [[1.0, 2.0], [1.0, 1.0]])
    down = jax.grad(lambda x: jax.vmap(lambda row: at_least(row, 1.0))(x).sum())(x)
    np.testing.assert_array_equal(down, [[0.0, 1.0], [1.0, 0.0]])


def entropies(name):
    """Mean entropy of a head's distributions, as a function of the parameter behind its `std`."""
    config = ActorCriticConfig(
        distribution=name, init_std=1.0, min_std=MIN_STD, num_mixtures=2, actor_groups=["actor"]
    )
    head = make_head(config, 2)
    graph, _ = nnx.split(head)
    x = jax.random.normal(jax.random.key(0), (7, head.num_inputs))

    def entropy(log_std):
        return nnx.merge(graph, {"log_std": log_std})(x).entropy().mean()

    return entropy, jnp.zeros_like(head.log_std[...])


@functools.cache
def gradients(name):
    """Gradients of descent and of ascent of a head's entropy, compiled once; and where to begin."""
    entropy, start = entropies(name)
    return jax.jit(jax.grad(entropy)), jax.jit(jax.grad(lambda x: -entropy(x))), start


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("beyond", [1.0, 1.0 - 1e-6, 0.5, 1e-8])
def test_at_and_beyond_its_bound_a_deviation_is_led_back_by_the_entropy(name, beyond):
    lowering, raising, start = gradients(name)
    log_std = jnp.full_like(start, np.log(beyond * MIN_STD))
    up, inside = raising(log_std), raising(jnp.full_like(start, np.log(1.01 * MIN_STD)))
    assert (np.asarray(up) < 0).all(), "descent raises it"
    np.testing.assert_allclose(up, inside, rtol=0.05, err_msg="as strongly as inside")
    if beyond < 1:
        assert not np.asarray(lowering(log_std)).any(), "and nothing leads further away"


@pytest.mark.parametrize("name", HEADS)
def test_a_deviation_comes_back_from_its_bound_as_fast_as_it_went(name):
    entropy, start = entropies(name)
    optimizer = optax.adam(0.05)

    def descend(sign, log_std, steps):
        def step(loop, _):
            log_std, state = loop
            gradient = jax.grad(lambda x: sign * entropy(x))(log_std)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(log_std, updates), state), None

        loop, _ = jax.lax.scan(step, (log_std, optimizer.init(log_std)), None, length=steps)
        return loop[0]

    down = jax.jit(lambda x: descend(1.0, x, 500))(start)
    assert (down < np.log(MIN_STD)).all(), "it went beyond"
    assert (down > np.log(MIN_STD) - 1.0).all(), "and not far, however long it was pushed"
    up = jax.jit(lambda x: descend(-1.0, x, 40))(down)
    assert (up > np.log(MIN_STD)).all()


@pytest.mark.parametrize("mean", [0.5, 3.0, 12.0, 50.0, -50.0])
def test_a_squashed_mean_is_led_back_by_the_entropy_however_far_it_is(mean):
    config = ActorCriticConfig(distribution="tanh_normal", actor_groups=["actor"])
    head = make_head(config, 1)
    gradient = jax.grad(lambda x: -head(x).entropy().sum())(jnp.array([mean]))
    assert gradient[0] * mean > 0.1, "descent goes against the gradient, towards 0"
