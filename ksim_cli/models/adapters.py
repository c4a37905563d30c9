"""Models of any library as a pytree of arrays: what is trained, what is only kept, what is fixed.

Flax NNX and Linen modules are told apart by their classes. Everything else is a pytree: an Equinox
module, a dict of arrays. Its floating-point arrays are trained, its other arrays are kept, and the
rest (functions, strings) is fixed. An object that is no pytree holds nothing to learn.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from ksim_cli.errors import UserError
from ksim_cli.models.policy import Variables

MakeModel = Callable[[jax.Array], Any]
"""Makes a model from a random key."""


class NNXAdapter:
    """A Flax NNX module: `nnx.Param` is trained, every other variable is kept."""

    def __init__(self, make: MakeModel) -> None:
        self._make = make
        module: Any = nnx.eval_shape(lambda: make(jax.random.key(0)))
        self._graph = nnx.split(module, nnx.Param, ...)[0]

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        return self.split(self._make(key))

    def merge(self, variables: Variables) -> Any:
        """The module with these variables."""
        return nnx.merge(self._graph, variables.params, variables.statistics)

    def split(self, model: Any) -> Variables:
        """The variables of a module."""
        _, params, statistics = nnx.split(model, nnx.Param, ...)
        return Variables(params=nnx.to_pure_dict(params), statistics=nnx.to_pure_dict(statistics))


class LinenAdapter:
    """A Flax Linen module, initialised with the observations; the collection `params` is trained.

    Args:
        make: makes the module.
        observation_sizes: observation group -> size.
    """

    def __init__(self, make: MakeModel, observation_sizes: Mapping[str, int]) -> None:
        self._make = make
        self._sizes = observation_sizes
        self._module = make(jax.random.key(0))

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables; the module is called with zeros, group -> `[1, O]`."""
        obs = {group: jnp.zeros((1, size)) for group, size in self._sizes.items()}
        try:
            collections = dict(self._make(key).init(key, obs))
        except TypeError as error:
            raise UserError(
                f"get_model: {type(self._module).__name__} is initialised by a call with the"
                f" observations, a dict of arrays [N, O], and does not take them ({error})"
            ) from error
        return Variables(params=collections.pop("params", {}), statistics=collections)

    def merge(self, variables: Variables) -> Any:
        """The module bound to these variables."""
        return self._module.bind({"params": variables.params, **variables.statistics})

    def split(self, model: Any) -> Variables:
        """The variables of a bound module."""
        collections = dict(model.variables)
        return Variables(params=collections.pop("params", {}), statistics=collections)


class PytreeAdapter:
    """Any other pytree: floating-point arrays are trained, other arrays kept, the rest is fixed."""

    def __init__(self, make: MakeModel) -> None:
        self._make = make

        def arrays(key: jax.Array) -> Variables:
            model = make(key)
            self._fixed = _only(model, lambda x: not _is_array(x))
            return self.split(model)

        abstract = jax.eval_shape(arrays, jax.random.key(0))
        if not jax.tree.leaves(abstract):
            # An object of one's own may hold arrays where JAX does not see them; they must be real.
            self._fixed = make(jax.random.key(0))

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        return self.split(self._make(key))

    def merge(self, variables: Variables) -> Any:
        """The model with these arrays."""
        parts = (variables.params, variables.statistics, self._fixed)
        return jax.tree.map(_first, *parts, is_leaf=lambda x: x is None)

    def split(self, model: Any) -> Variables:
        """The arrays of a model, None in the place of what is elsewhere."""
        return Variables(
            params=_only(model, _is_trained),
            statistics=_only(model, lambda x: _is_array(x) and not _is_trained(x)),
        )


def adapt(
    make: MakeModel, observation_sizes: Mapping[str, int]
) -> NNXAdapter | LinenAdapter | PytreeAdapter:
    """The adapter for what `make` gives.

    Args:
        make: makes the model from a random key; traced, so it must not look at values.
        observation_sizes: observation group -> size.
    """
    kinds: list[type] = []

    def look(key: jax.Array) -> None:
        kinds.append(type(make(key)))

    jax.eval_shape(look, jax.random.key(0))
    if issubclass(kinds[0], nnx.Module):
        return NNXAdapter(make)
    if issubclass(kinds[0], linen.Module):
        return LinenAdapter(make, observation_sizes)
    return PytreeAdapter(make)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)


def _is_trained(x: Any) -> bool:
    return _is_array(x) and bool(jnp.issubdtype(x.dtype, jnp.floating))


def _only(model: Any, wanted: Callable[[Any], bool]) -> Any:
    """The model with None in the place of every other leaf."""
    return jax.tree.map(lambda x: x if wanted(x) else None, model)


def _first(*leaves: Any) -> Any:
    return next((leaf for leaf in leaves if leaf is not None), None)
