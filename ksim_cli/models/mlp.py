"""Multilayer perceptrons as actor and critic."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
from flax import nnx

from ksim_cli.config.components import MLPConfig
from ksim_cli.models.actor_critic import ActorCritic, dense, make_activation
from ksim_cli.models.distributions import Distribution
from ksim_cli.registry import MODELS


class Perceptron(nnx.Module):
    """Dense layers with an activation between them; `last_gain` is that of the last one."""

    def __init__(self, sizes: list[int], activation: str, last_gain: float, rngs: nnx.Rngs) -> None:
        self.activation = make_activation(activation)
        gains = [2**0.5] * (len(sizes) - 2) + [last_gain]
        self.layers = nnx.List(
            dense(n, m, gain, rngs) for n, m, gain in zip(sizes, sizes[1:], gains, strict=False)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., sizes[0]]` -> `[..., sizes[-1]]`."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class MLPActorCritic(ActorCritic):
    """Two perceptrons that share nothing, each behind a normaliser of its observations."""

    def __init__(
        self, config: MLPConfig, sizes: Mapping[str, int], action_size: int, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, sizes, action_size)
        hidden = [config.hidden_size] * config.num_hidden_layers
        self.actor = Perceptron(
            [sizes["actor"], *hidden, self.head.num_inputs], config.activation, 0.01, rngs
        )
        self.critic = Perceptron([sizes["critic"], *hidden, 1], config.activation, 1.0, rngs)

    def action_distribution(
        self, obs: Mapping[str, jax.Array], carry: tuple[()]
    ) -> tuple[Distribution, tuple[()]]:
        """The distribution of the actions and the (empty) carry."""
        return self.head(self.actor(self.normalized("actor", obs))), carry

    def value(self, obs: Mapping[str, jax.Array], carry: tuple[()]) -> tuple[jax.Array, tuple[()]]:
        """The value `[...]` of states and the (empty) carry."""
        return self.critic(self.normalized("critic", obs))[..., 0], carry

    def initial_carry(self) -> tuple[()]:
        """No carry."""
        return ()


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
