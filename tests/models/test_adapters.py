"""Models of several libraries as arrays, and back."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from ksim_cli.errors import UserError
from ksim_cli.models.adapters import LinenAdapter, NNXAdapter, PytreeAdapter, adapt
from ksim_cli.models.policy import ActionSample, Policy

SIZES = {"actor": 3, "critic": 2}
OBS = {"actor": jnp.arange(12.0).reshape(4, 3), "critic": jnp.ones((4, 2))}


class Count(nnx.Variable):
    pass


class Module(nnx.Module):
    """A layer, and how often it was called."""

    def __init__(self, key):
        self.layer = nnx.Linear(3, 2, rngs=nnx.Rngs(key))
        self.calls = Count(jnp.zeros((), jnp.int32))
        self.scale = 2.0

    def __call__(self, obs):
        return self.scale * self.layer(obs["actor"])

    def update_statistics(self, obs, mask):
        self.calls.set_value(self.calls.get_value() + mask.sum())


class Net(linen.Module):
    """A layer, and a running mean of its input."""

    width: int = 2

    @linen.compact
    def __call__(self, obs):
        mean = self.variable("running", "mean", lambda: jnp.zeros(3))
        return linen.Dense(self.width)(obs["actor"] - mean.value[None])


class Wrong(linen.Module):
    @linen.compact
    def __call__(self, x, y):
        return linen.Dense(2)(x + y)


@partial(jax.tree_util.register_dataclass)
@dataclass
class Pytree:
    """As an Equinox module is: arrays among functions, numbers and names."""

    weight: jax.Array
    table: np.ndarray
    order: jax.Array
    activation: object
    key: jax.Array
    absent: object = None
    name: str = field(default="net", metadata={"static": True})

    def __call__(self, obs):
        return self.activation(obs["actor"][:, self.order] @ self.weight) + self.table[None]


def make_pytree(key):
    return Pytree(
        weight=jax.random.normal(key, (3, 2)),
        table=np.array([1.0, 2.0], np.float32),
        order=jnp.array([2, 0, 1]),
        activation=jnp.tanh,
        key=jax.random.key_data(key),
    )


def make_dict(key):
    return {"w": jax.random.normal(key, (3, 2)), "b": jnp.zeros(2), "steps": jnp.int32(3)}


MODELS = {
    "nnx": (Module, NNXAdapter),
    "linen": (lambda key: Net(), LinenAdapter),
    "pytree": (make_pytree, PytreeAdapter),
    "dict": (make_dict, PytreeAdapter),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_library_has_its_adapter_and_merging_is_the_inverse_of_splitting(name):
    make, kind = MODELS[name]
    adapter = adapt(make, SIZES)
    assert type(adapter) is kind
    variables = adapter.init(jax.random.key(1))
    again = adapter.split(adapter.merge(variables))
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    for a, b in zip(*map(jax.tree.leaves, (again, variables)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [x.shape for x in jax.tree.leaves(jax.eval_shape(adapter.init, jax.random.key(0)))] == [
        x.shape for x in jax.tree.leaves(variables)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_the_weights_are_drawn_from_the_key(name):
    adapter = adapt(MODELS[name][0], SIZES)
    one, same, other = (adapter.init(jax.random.key(i)).params for i in (0, 0, 1))
    leaves = [jax.tree.leaves(x) for x in (one, same, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*leaves[:2], strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(leaves[0], leaves[2], strict=True))


def test_of_nnx_parameters_are_trained_and_other_variables_kept():
    variables = adapt(Module, SIZES).init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, variables.params) == {"layer": {"kernel": (3, 2), "bias": (2,)}}
    assert variables.statistics == {"calls": 0}
    adapter = adapt(Module, SIZES)
    policy = Policy(adapter, None, None)
    after = policy.update_statistics(variables, OBS, jnp.array([True, False, True, True]))
    assert after.statistics == {"calls": 3} and after.params is variables.params
    layer = variables.params["layer"]
    wanted = 2.0 * (
        np.asarray(OBS["actor"]) @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    )
    np.testing.assert_allclose(adapter.merge(after)(OBS), wanted, rtol=1e-5)


def test_of_linen_the_collection_params_is_trained_and_others_kept():
    adapter = adapt(lambda key: Net(5), SIZES)
    variables = adapter.init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, variables.params) == {
        "Dense_0": {"kernel": (3, 5), "bias": (5,)}
    }
    assert jax.tree.map(jnp.shape, variables.statistics) == {"running": {"mean": (3,)}}
    moved = variables.replace(statistics={"running": {"mean": jnp.ones(3)}})
    layer = variables.params["Dense_0"]
    kernel, bias = np.asarray(layer["kernel"]), np.asarray(layer["bias"])
    wanted = (np.asarray(OBS["actor"]) - 1.0) @ kernel + bias
    np.testing.assert_allclose(adapter.merge(moved)(OBS), wanted, rtol=1e-5)


def test_a_linen_module_that_takes_no_observations_is_refused():
    with pytest.raises(UserError, match="get_model: Wrong is initialised by a call with the obser"):
        adapt(lambda key: Wrong(), SIZES).init(jax.random.key(0))


def test_of_a_pytree_floats_are_trained_other_arrays_kept_and_the_rest_is_fixed():
    variables = adapt(make_pytree, SIZES).init(jax.random.key(0))
    params, statistics = variables.params, variables.statistics
    assert params.weight.shape == (3, 2) and params.table.tolist() == [1.0, 2.0]
    assert len(jax.tree.leaves(params)) == 2
    assert statistics.order.tolist() == [2, 0, 1] and statistics.key.dtype == jnp.uint32
    assert len(jax.tree.leaves(statistics)) == 2
    for part in (params, statistics):
        assert part.activation is None and part.name == "net"
    model = adapt(make_pytree, SIZES).merge(variables)
    assert model.activation is jnp.tanh and model.absent is None and model.name == "net"
    product = np.asarray(OBS["actor"])[:, [2, 0, 1]] @ np.asarray(params.weight)
    wanted = np.tanh(product) + np.asarray(params.table)
    np.testing.assert_allclose(model(OBS), wanted, rtol=1e-5)


def test_integers_of_a_dict_are_kept():
    variables = adapt(make_dict, SIZES).init(jax.random.key(0))
    assert variables.params["steps"] is None and variables.statistics == {
        "w": None,
        "b": None,
        "steps": 3,
    }


@pytest.mark.parametrize("name", ["nnx", "linen", "pytree"])
def test_a_gradient_step_moves_the_parameters_and_nothing_else(name):
    adapter = adapt(MODELS[name][0], SIZES)
    variables = adapter.init(jax.random.key(0))
    optimizer = optax.adam(0.1)

    @jax.jit
    def step(variables):
        def loss(params):
            return jnp.square(adapter.merge(variables.replace(params=params))(OBS)).mean()

        value, gradients = jax.value_and_grad(loss)(variables.params)
        updates, _ = optimizer.update(gradients, optimizer.init(variables.params))
        params = optax.apply_updates(variables.params, updates)
        return value, loss(params), variables.replace(params=params)

    before, after, new = step(variables)
    assert after < before
    for a, b in zip(*(jax.tree.leaves(v.statistics) for v in (variables, new)), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(*(jax.tree.leaves(v.params) for v in (variables, new)), strict=True):
        assert not np.array_equal(a, b)


class Controller:
    """An object of one's own: no pytree, so nothing in it is learned."""

    def __init__(self, gains):
        self.gains = gains


def test_an_object_with_nothing_to_learn_is_itself():
    adapter = adapt(lambda key: Controller(jnp.array([1.0, 2.0, 3.0])), SIZES)
    assert type(adapter) is PytreeAdapter

    def act(model, obs, carry, key, argmax):
        return ActionSample(action=obs["actor"] @ model.gains[:, None])

    policy = Policy(adapter, act, None)
    variables = policy.init(jax.random.key(0))
    assert jax.tree.leaves(variables) == [] and not policy.recurrent
    # Its arrays are real though it was looked at while tracing.
    action = jax.jit(lambda obs: policy.mode(variables, obs, ()).action)(OBS)
    assert action[:, 0].tolist() == [8.0, 26.0, 44.0, 62.0]


def test_a_function_is_a_model_with_nothing_to_learn():
    adapter = adapt(lambda key: jnp.tanh, SIZES)
    variables = adapter.init(jax.random.key(0))
    assert jax.tree.leaves(variables) == [] and adapter.merge(variables) is jnp.tanh
