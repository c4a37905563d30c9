"""Multilayer perceptrons as actor and critic."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import MLPConfig
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.models.distributions import DiagonalNormal
from ksim_cli.models.normalizers import RunningStatistics, running_statistics
from ksim_cli.registry import MODELS

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}


class Statistic(nnx.Variable[RunningStatistics]):
    """A variable that is saved with the model and never trained."""


class Perceptron(nnx.Module):
    """Dense layers with an activation between them.

    Orthogonal weights with gain sqrt(2) inside and `last_gain` at the end, zero biases
    (Huang et al. 2022, the implementation details of PPO).
    """

    def __init__(self, sizes: list[int], activation: str, last_gain: float, rngs: nnx.Rngs) -> None:
        if activation not in ACTIVATIONS:
            raise UserError(
                f"model.activation={activation}: no such activation."
                f"{nearest(activation, ACTIVATIONS)} One of {listing(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]
        gains = [2**0.5] * (len(sizes) - 2) + [last_gain]
        self.layers = nnx.List(
            nnx.Linear(n, m, kernel_init=nnx.initializers.orthogonal(gain), rngs=rngs)
            for n, m, gain in zip(sizes, sizes[1:], gains, strict=False)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., sizes[0]]` -> `[..., sizes[-1]]`."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class MLPActorCritic(nnx.Module):
    """Two perceptrons that share nothing, each behind a normaliser of its observations.

    The standard deviation of the actions is a parameter of its own, the same for all states.
    """

    def __init__(
        self, config: MLPConfig, sizes: Mapping[str, int], action_size: int, rngs: nnx.Rngs
    ) -> None:
        hidden = [config.hidden_size] * config.num_hidden_layers
        self.config = nnx.static(config)
        self.actor = Perceptron(
            [sizes["actor"], *hidden, action_size], config.activation, 0.01, rngs
        )
        self.critic = Perceptron([sizes["critic"], *hidden, 1], config.activation, 1.0, rngs)
        self.log_std = nnx.Param(jnp.full(action_size, jnp.log(config.init_std)))
        self.statistics = nnx.Dict(
            {group: Statistic(running_statistics(sizes[group])) for group in ("actor", "critic")}
        )

    def action_distribution(
        self, obs: Mapping[str, jax.Array], carry: tuple[()]
    ) -> tuple[DiagonalNormal, tuple[()]]:
        """The distribution of the actions and the (empty) carry."""
        mean = self.actor(self._normalized("actor", obs))
        std = jnp.maximum(jnp.exp(self.log_std[...]), self.config.min_std)
        return DiagonalNormal(mean=mean, std=jnp.broadcast_to(std, mean.shape)), carry

    def value(self, obs: Mapping[str, jax.Array], carry: tuple[()]) -> tuple[jax.Array, tuple[()]]:
        """The value `[...]` of states and the (empty) carry."""
        return self.critic(self._normalized("critic", obs))[..., 0], carry

    def update_statistics(self, obs: Mapping[str, jax.Array], mask: jax.Array) -> None:
        """Adds the observations `[..., O]` where `mask` `[...]` to the running statistics."""
        for group, statistic in self.statistics.items():
            statistic.set_value(statistic.get_value().update(obs[group], mask))

    def initial_carry(self) -> tuple[()]:
        """No carry."""
        return ()

    def _normalized(self, group: str, obs: Mapping[str, jax.Array]) -> jax.Array:
        if not self.config.normalize_observations:
            return obs[group]
        statistics = self.statistics[group].get_value()
        return statistics.normalize(obs[group], self.config.observation_clip)


@MODELS.register("mlp")
@dataclass(frozen=True)
class MLP(MLPConfig):
    """`model=mlp`."""

    def build(self, sizes: Mapping[str, int], action_size: int, key: jax.Array) -> nnx.Module:
        """A fresh actor-critic.

        Args:
            sizes: observation group -> size.
            action_size: elements of an action.
            key: random key of the weights.
        """
        return MLPActorCritic(self, sizes, action_size, nnx.Rngs(key))
