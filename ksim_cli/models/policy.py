"""The policy: normaliser, network and action distribution behind one interface.

Training, viewing, evaluation and collection all act through it, so none of them can forget the
normaliser.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx, struct

Observations = Mapping[str, jax.Array]


class Variables(struct.PyTreeNode):
    """What a policy is made of.

    Attributes:
        params: what the optimizer trains.
        statistics: running statistics, saved but never trained.
    """

    params: Any
    statistics: Any


class ActionSample(struct.PyTreeNode):
    """What acting gives.

    Attributes:
        action: `[N, A]`.
        log_prob: `[N]` log density of the action.
        value: `[N]` the critic's value of the observation.
        carry: the model's carry after the step.
    """

    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    carry: Any


class PPOVariables(struct.PyTreeNode):
    """What PPO's loss needs of the current policy for stored transitions.

    Attributes:
        log_prob: `[B]` log density of the stored actions.
        value: `[B]` value of the stored observations.
        entropy: `[B]` entropy of the action distribution.
        carry: the model's carry after the step; a recurrent model's next step starts from it.
    """

    log_prob: jax.Array
    value: jax.Array
    entropy: jax.Array
    carry: Any = ()


class Model(Protocol):
    """A model as pure functions over pytrees; how any library's models are used here."""

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        ...

    def initial_carry(self) -> Any:
        """The carry of one environment at the start of an episode."""
        ...

    def action_distribution(
        self, variables: Variables, obs: Observations, carry: Any
    ) -> tuple[Any, Any]:
        """A distribution with `sample`, `mode`, `log_prob`, `entropy`; and the new carry."""
        ...

    def value(self, variables: Variables, obs: Observations, carry: Any) -> tuple[jax.Array, Any]:
        """Values and the new carry."""
        ...

    def update_statistics(
        self, variables: Variables, obs: Observations, mask: jax.Array
    ) -> Variables:
        """Variables whose statistics have seen the observations where `mask`."""
        ...


class NNXModel:
    """A Flax NNX module as a `Model`: `nnx.Param` is trained, every other variable is not.

    Args:
        build: makes the module from a random key. The module has the methods
            `action_distribution`, `value`, `update_statistics` and `initial_carry`.
    """

    def __init__(self, build: Callable[[jax.Array], Any]) -> None:
        self._build = build
        module: Any = nnx.eval_shape(lambda: build(jax.random.key(0)))
        self._graph, _, _ = nnx.split(module, nnx.Param, ...)
        self._carry = module.initial_carry()

    def init(self, key: jax.Array) -> Variables:
        """See `Model`."""
        _, params, statistics = nnx.split(self._build(key), nnx.Param, ...)
        return Variables(params=nnx.to_pure_dict(params), statistics=nnx.to_pure_dict(statistics))

    def initial_carry(self) -> Any:
        """See `Model`."""
        return self._carry

    def action_distribution(
        self, variables: Variables, obs: Observations, carry: Any
    ) -> tuple[Any, Any]:
        """See `Model`."""
        return self._module(variables).action_distribution(obs, carry)

    def value(self, variables: Variables, obs: Observations, carry: Any) -> tuple[jax.Array, Any]:
        """See `Model`."""
        return self._module(variables).value(obs, carry)

    def update_statistics(
        self, variables: Variables, obs: Observations, mask: jax.Array
    ) -> Variables:
        """See `Model`."""
        module = self._module(variables)
        module.update_statistics(obs, mask)
        _, _, statistics = nnx.split(module, nnx.Param, ...)
        return variables.replace(statistics=nnx.to_pure_dict(statistics))

    def _module(self, variables: Variables) -> Any:
        return nnx.merge(self._graph, variables.params, variables.statistics)


class Policy:
    """A model that acts.

    Args:
        model: the networks with their normalisers.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def recurrent(self) -> bool:
        """Whether the model has a carry, so that its transitions are learned from in order."""
        return bool(jax.tree.leaves(self.model.initial_carry()))

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        return self.model.init(key)

    def initial_carry(self, num_envs: int) -> Any:
        """The model's carry of `num_envs` environments at the start of their episodes."""
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x, (num_envs, *jnp.shape(x))), self.model.initial_carry()
        )

    def sample_action(
        self, variables: Variables, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        """Acts in `[N]` environments: a sample, or with `argmax` the mode of the distribution."""
        distribution, new_carry = self.model.action_distribution(variables, obs, carry)
        value, new_carry = self.model.value(variables, obs, new_carry)
        action = distribution.mode() if argmax else distribution.sample(key)
        return ActionSample(
            action=action,
            log_prob=distribution.log_prob(action),
            value=value,
            carry=new_carry,
        )

    def value(self, variables: Variables, obs: Observations, carry: Any) -> jax.Array:
        """`[N]` values."""
        return self.model.value(variables, obs, carry)[0]

    def ppo_variables(
        self, variables: Variables, obs: Observations, action: jax.Array, carry: Any
    ) -> PPOVariables:
        """Log densities, values and entropies of stored transitions under these variables."""
        distribution, new_carry = self.model.action_distribution(variables, obs, carry)
        value, new_carry = self.model.value(variables, obs, new_carry)
        return PPOVariables(
            log_prob=distribution.log_prob(action),
            value=value,
            entropy=distribution.entropy(),
            carry=new_carry,
        )

    def update_statistics(
        self, variables: Variables, obs: Observations, mask: jax.Array
    ) -> Variables:
        """Variables whose statistics have seen the observations where `mask`."""
        return self.model.update_statistics(variables, obs, mask)
