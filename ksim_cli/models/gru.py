"""Gated recurrent units (Cho et al. 2014) as actor and critic."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import GRUConfig
from ksim_cli.models.actor_critic import ActorCritic, dense, make_activation
from ksim_cli.models.distributions import Distribution
from ksim_cli.registry import MODELS

Carry = dict[str, jax.Array]


class RecurrentNetwork(nnx.Module):
    """A dense encoder, layers of gated recurrent units and a dense head.

    Args:
        config: the model's.
        inputs: what one step gives.
        outputs: what is made of it.
        last_gain: gain of the head's weights.
        rngs: random keys of the weights.
    """

    def __init__(
        self, config: GRUConfig, inputs: int, outputs: int, last_gain: float, rngs: nnx.Rngs
    ) -> None:
        size = config.hidden_size
        self.activation = make_activation(config.activation)
        self.encoder = dense(inputs, size, 2**0.5, rngs)
        self.cells = nnx.List(nnx.GRUCell(size, size, rngs=rngs) for _ in range(config.num_layers))
        self.head = dense(size, outputs, last_gain, rngs)

    def __call__(self, x: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
        """One step.

        Args:
            x: `[..., inputs]`.
            carry: `[..., num_layers, hidden_size]`.

        Returns:
            `[..., outputs]`, and the carry after the step.
        """
        x, states = self.activation(self.encoder(x)), list[jax.Array]()
        for i, cell in enumerate(self.cells):
            _, x = cell(carry[..., i, :], x)
            states.append(x)
        return self.head(x), jnp.stack(states, axis=-2)


class GRUActorCritic(ActorCritic):
    """Two recurrent networks that share nothing, each behind a normaliser of its observations.

    The carry is `{"actor": ..., "critic": ...}`, each `[..., num_layers, hidden_size]`.
    """

    def __init__(
        self, config: GRUConfig, sizes: Mapping[str, int], action_size: int, rngs: nnx.Rngs
    ) -> None:
        super().__init__(config, sizes, action_size)
        self.carry_shape = (config.num_layers, config.hidden_size)
        self.actor = RecurrentNetwork(config, sizes["actor"], self.head.num_inputs, 0.01, rngs)
        self.critic = RecurrentNetwork(config, sizes["critic"], 1, 1.0, rngs)

    def action_distribution(
        self, obs: Mapping[str, jax.Array], carry: Carry
    ) -> tuple[Distribution, Carry]:
        """The distribution of the actions, and the carry after the actor's step."""
        x, actor = self.actor(self.normalized("actor", obs), carry["actor"])
        return self.head(x), {**carry, "actor": actor}

    def value(self, obs: Mapping[str, jax.Array], carry: Carry) -> tuple[jax.Array, Carry]:
        """The value `[...]` of states, and the carry after the critic's step."""
        x, critic = self.critic(self.normalized("critic", obs), carry["critic"])
        return x[..., 0], {**carry, "critic": critic}

    def initial_carry(self) -> Carry:
        """Zeros."""
        return {group: jnp.zeros(self.carry_shape) for group in ("actor", "critic")}


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
