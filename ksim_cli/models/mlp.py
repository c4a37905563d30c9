"""Multilayer perceptrons as actor and critic."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
from flax import nnx

from ksim_cli.config.components import MLPConfig
from ksim_cli.models.actor_critic import ActorCritic, dense, make_activation, widths
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
        short = (config.hidden_size, config.num_hidden_layers)
        hidden, outputs = widths(config.actor_hidden, *short), self.head.num_inputs
        self.actor = Perceptron(
            [self.actor_input.size, *hidden, outputs], config.activation, 0.01, rngs
        )
        critic = self.critic_input
        self.critic = critic and Perceptron(
            [critic.size, *widths(config.critic_hidden, *short), 1], config.activation, 1.0, rngs
        )

    def action_distribution(
        self, obs: Mapping[str, jax.Array], carry: tuple[()]
    ) -> tuple[Distribution, tuple[()]]:
        """The distribution of the actions and the (empty) carry."""
        return self.head(self.actor(self.actor_input(obs))), carry

    def value(
        self, obs: Mapping[str, jax.Array], carry: tuple[()]
    ) -> tuple[jax.Array | None, tuple[()]]:
        """The value `[...]` of states, None without a critic, and the (empty) carry."""
        if self.critic is None or self.critic_input is None:
            return None, carry
        return self.critic(self.critic_input(obs))[..., 0], carry

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
