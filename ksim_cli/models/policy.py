"""The policy: what acts, as pure functions of its variables.

Training, viewing, evaluation and collection act through it, so none of them can forget the
normaliser. Arrays have a leading axis of N environments.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

Observations = Mapping[str, jax.Array]
"""Observation group -> `[N, O]`."""


class Variables(struct.PyTreeNode):
    """The arrays of a model.

    Attributes:
        params: trained by the optimizer.
        statistics: running statistics and other state, saved but never trained.
    """

    params: Any
    statistics: Any = ()


class ActionSample(struct.PyTreeNode):
    """An action and what came with it.

    Attributes:
        action: `[N, A]`.
        carry: the model's carry after the step.
        log_prob: `[N]` log density of the action; None where the model does not give it.
        value: `[N]` the critic's value of the observation; None where there is no critic.
        aux: auxiliary outputs, any pytree `[N, ...]`: rewards see it as `step.aux`.
        raw_action: `[N, A]` what the action is a function of, and its density is evaluated at;
            None: the action itself. See `ksim_cli.models.distributions`.
    """

    action: jax.Array
    carry: Any = ()
    log_prob: jax.Array | None = None
    value: jax.Array | None = None
    aux: Any = ()
    raw_action: jax.Array | None = None


class PPOVariables(struct.PyTreeNode):
    """What a policy-gradient loss needs of the current policy for stored transitions.

    Attributes:
        log_prob: `[B]` log density of the stored actions.
        value: `[B]` value of the stored observations; None without a critic.
        entropy: `[B]` entropy of the action distribution.
        carry: the model's carry after the step; a recurrent model's next step starts from it.
        std: `[B]` mean over the elements of the standard deviation of the action distribution (of
            the raw action); None: not known.
    """

    log_prob: jax.Array
    value: jax.Array | None
    entropy: jax.Array
    carry: Any = ()
    std: jax.Array | None = None


class Adapter(Protocol):
    """A model of any library as its arrays, and back; see `ksim_cli.models.adapters`."""

    def init(self, key: jax.Array) -> Variables:
        """Fresh variables."""
        ...

    def merge(self, variables: Variables) -> Any:
        """The model with these variables in it."""
        ...

    def split(self, model: Any) -> Variables:
        """The variables of a model; the inverse of `merge`."""
        ...


def sample_action(
    model: Any, obs: Observations, carry: Any, key: jax.Array, argmax: bool
) -> ActionSample:
    """An action of a model with `action_distribution` and `value`, as `ActorCritic` has them."""
    distribution, carry = model.action_distribution(obs, carry)
    value, carry = model.value(obs, carry)
    raw_action = distribution.mode() if argmax else distribution.sample(key)
    action = distribution.action(raw_action)
    return ActionSample(
        action=action,
        carry=carry,
        log_prob=distribution.log_prob(raw_action),
        value=value,
        raw_action=None if action is raw_action else raw_action,
    )


def ppo_variables(
    model: Any,
    obs: Observations,
    action: jax.Array,
    carry: Any,
    raw_action: jax.Array | None = None,
) -> PPOVariables:
    """Log density, value and entropy under a model as in `sample_action`.

    Without `raw_action` the density is that of the raw action that the action tells.
    """
    distribution, carry = model.action_distribution(obs, carry)
    value, carry = model.value(obs, carry)
    if raw_action is None:
        raw_action = distribution.raw_action(action)
    return PPOVariables(
        log_prob=distribution.log_prob(raw_action),
        value=value,
        entropy=distribution.entropy(),
        carry=carry,
        std=distribution.deviation().mean(-1),
    )


def initial_carry(model: Any, num_envs: int) -> Any:
    """The carry of `num_envs` environments of a model; `()` of one without `initial_carry`."""
    if not hasattr(model, "initial_carry"):
        return ()
    return jax.tree.map(
        lambda x: jnp.broadcast_to(x, (num_envs, *jnp.shape(x))), model.initial_carry()
    )


class Policy:
    """A model that acts.

    Args:
        adapter: the model.
        act: `(model, obs, carry, key, argmax) -> ActionSample`.
        evaluate: `(model, obs, action, carry) -> PPOVariables`; None where nothing tells it.
        start: `(model, num_envs) -> carry` at the start of an episode.

    Attributes:
        abstract: shapes and types of its variables.
    """

    def __init__(
        self,
        adapter: Adapter,
        act: Callable[..., ActionSample] = sample_action,
        evaluate: Callable[..., PPOVariables] | None = ppo_variables,
        start: Callable[[Any, int], Any] = initial_carry,
    ) -> None:
        self.adapter = adapter
        self.init = adapter.init
        self._act, self._evaluate, self._start = act, evaluate, start
        self.abstract = jax.eval_shape(adapter.init, jax.random.key(0))

    def initial_carry(self, num_envs: int) -> Any:
        """The model's carry of N environments at the start of their episodes."""
        return self._start(self.adapter.merge(self.abstract), num_envs)

    @property
    def recurrent(self) -> bool:
        """Whether the model has a carry, so that its transitions are learned from in order."""
        return bool(jax.tree.leaves(self.initial_carry(1)))

    @property
    def evaluates(self) -> bool:
        """Whether `ppo_variables` and `value` can be asked for."""
        return self._evaluate is not None

    def sample(
        self, variables: Variables, obs: Observations, carry: Any, key: jax.Array
    ) -> ActionSample:
        """A random action of each environment."""
        return self._sample(variables, obs, carry, key, argmax=False)

    def mode(self, variables: Variables, obs: Observations, carry: Any) -> ActionSample:
        """The deterministic action: the mode of the distribution."""
        key = jax.random.key(0)  # no mode depends on it
        return self._sample(variables, obs, carry, key, argmax=True)

    def _sample(
        self, variables: Variables, obs: Observations, carry: Any, key: jax.Array, argmax: bool
    ) -> ActionSample:
        sample = self._act(self.adapter.merge(variables), obs, carry, key, argmax=argmax)
        if sample.raw_action is None or self._evaluate is ppo_variables:
            return sample
        # An evaluation of the task's own knows actions only, and will find the density of those.
        return sample.replace(raw_action=None, log_prob=None)

    def ppo_variables(
        self,
        variables: Variables,
        obs: Observations,
        action: jax.Array,
        carry: Any,
        raw_action: jax.Array | None = None,
    ) -> PPOVariables:
        """Log densities, values and entropies of stored transitions under these variables.

        Args:
            variables: of the model.
            obs: observations.
            action: `[B, A]`.
            carry: the model's carry.
            raw_action: what `sample` gave beside the action.
        """
        assert self._evaluate is not None  # `evaluates` says so
        raw = () if raw_action is None else (raw_action,)
        return self._evaluate(self.adapter.merge(variables), obs, action, carry, *raw)

    def value(self, variables: Variables, obs: Observations, carry: Any, size: int) -> jax.Array:
        """`[N]` values.

        Args:
            variables: of the model.
            obs: observations.
            carry: the model's carry.
            size: elements of an action; the value must not depend on it.
        """
        n = next(iter(obs.values())).shape[0]
        value = self.ppo_variables(variables, obs, jnp.zeros((n, size)), carry).value
        assert value is not None  # the algorithm was refused otherwise
        return value

    def update_statistics(
        self, variables: Variables, obs: Observations, mask: jax.Array
    ) -> Variables:
        """Add observations `[..., O]` where `mask` `[...]` to the running statistics.

        A model without a method of that name has none.
        """
        model = self.adapter.merge(variables)
        update = getattr(model, "update_statistics", None)
        if update is None:
            return variables
        changed = update(obs, mask)  # a mutable model changes in place and gives back nothing
        statistics = self.adapter.split(model if changed is None else changed).statistics
        return variables.replace(statistics=statistics)
