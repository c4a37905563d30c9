"""Gated recurrent units (Cho et al. 2014) as actor and critic."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import GRUConfig
from ksim_cli.errors import UserError
from ksim_cli.models.actor_critic import ActorCritic, dense, make_activation, widths
from ksim_cli.models.distributions import Distribution
from ksim_cli.registry import MODELS

Carry = dict[str, tuple[jax.Array, ...]]
"""Network (`actor`, `critic`) -> state of each of its layers, `[..., width]`."""


class RecurrentNetwork(nnx.Module):
    """A dense encoder, layers of gated recurrent units and a dense head.

    Args:
        activation: after the encoder.
        sizes: elements of the input, widths of the recurrent layers, elements of the output.
        last_gain: gain of the head's weights.
        rngs: random keys of the weights.
    """

    def __init__(self, activation: str, sizes: list[int], last_gain: float, rngs: nnx.Rngs) -> None:
        inputs, *hidden, outputs = sizes
        if not hidden:
            raise UserError("model: a recurrent network needs a layer. Type model.num_layers=1")
        self.activation = make_activation(activation)
        self.encoder = dense(inputs, hidden[0], 2**0.5, rngs)
        self.cells = nnx.List(
            nnx.GRUCell(n, m, rngs=rngs) for n, m in zip([hidden[0], *hidden], hidden, strict=False)
        )
        self.head = dense(hidden[-1], outputs, last_gain, rngs)
        self.hidden = tuple(hidden)

    def __call__(
        self, x: jax.Array, carry: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """One step.

        Args:
            x: `[..., inputs]`.
            carry: state of each layer, `[..., width]`.

        Returns:
            `[..., outputs]`, and the carry after the step.
        """
        x, states = self.activation(self.encoder(x)), list[jax.Array]()
        for cell, state in zip(self.cells, carry, strict=True):
            _, x = cell(state, x)
            states.append(x)
        return self.head(x), tuple(states)

    def initial_carry(self) -> tuple[jax.Array, ...]:
        """Zeros."""
        return tuple(jnp.zeros(width) for width in self.hidden)


class GRUActorCritic(ActorCritic):
    """Two recurrent networks that share nothing, each behind a normaliser of its observations."""

    def __init__(
        self, config: GRUConfig, sizes: Mapping[str, int], action_size: int, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, sizes, action_size)
        short = (config.hidden_size, config.num_layers)
        hidden, outputs = widths(config.actor_hidden, *short), self.head.num_inputs
        self.actor = RecurrentNetwork(
            config.activation, [self.actor_input.size, *hidden, outputs], 0.01, rngs
        )
        critic = self.critic_input
        self.critic = critic and RecurrentNetwork(
            config.activation, [critic.size, *widths(config.critic_hidden, *short), 1], 1.0, rngs
        )

    def action_distribution(
        self, obs: Mapping[str, jax.Array], carry: Carry
    ) -> tuple[Distribution, Carry]:
        """The distribution of the actions, and the carry after the actor's step."""
        x, actor = self.actor(self.actor_input(obs), carry["actor"])
        return self.head(x), {**carry, "actor": actor}

    def value(self, obs: Mapping[str, jax.Array], carry: Carry) -> tuple[jax.Array | None, Carry]:
        """The value `[...]` of states, None without a critic, and the carry after its step."""
        if self.critic is None or self.critic_input is None:
            return None, carry
        x, critic = self.critic(self.critic_input(obs), carry["critic"])
        return x[..., 0], {**carry, "critic": critic}

    def initial_carry(self) -> Carry:
        """Zeros."""
        networks = {"actor": self.actor, "critic": self.critic}
        return {
            name: network.initial_carry()
            for name, network in networks.items()
            if network is not None
        }


@MODELS.register("gru")
@dataclass(frozen=True)
class GRU(GRUConfig):
    """`model=gru`."""

    def build(self, sizes: Mapping[str, int], action_size: int, key: jax.Array) -> nnx.Module:
        """A fresh actor-critic.

        Args:
            sizes: observation group -> size.
            action_size: elements of an action.
            key: random key of the weights.
        """
        return GRUActorCritic(self, sizes, action_size, nnx.Rngs(key))
