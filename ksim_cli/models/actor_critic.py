"""The base of actor-critics, whatever their networks."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.models.heads import make_head
from ksim_cli.models.normalizers import Normalizer

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}


def make_activation(name: str) -> Callable[[jax.Array], jax.Array]:
    """The function that `model.activation` names.

    Raises:
        UserError: it names none.
    """
    if name not in ACTIVATIONS:
        raise UserError(
            f"model.activation={name}: no such activation."
            f"{nearest(name, ACTIVATIONS)} One of {listing(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def dense(inputs: int, outputs: int, gain: float, rngs: nnx.Rngs) -> nnx.Linear:
    """A layer with orthogonal weights and zero biases.

    After Huang et al. 2022, the implementation details of PPO: gain sqrt(2) inside a network.
    """
    return nnx.Linear(inputs, outputs, kernel_init=nnx.initializers.orthogonal(gain), rngs=rngs)


class ActorCritic(nnx.Module):
    """Head and normalisers of two networks that share nothing; a base class.

    Args:
        config: the model's.
        sizes: observation group -> size.
        action_size: elements of an action.
    """

    def __init__(
        self, config: ActorCriticConfig, sizes: Mapping[str, int], action_size: int
    ) -> None:
        clip = config.observation_clip if config.normalize_observations else None
        if not config.actor_groups:
            raise UserError("model.actor_groups=[]: an actor sees something. Type [actor]")
        self.head = make_head(config, action_size)
        self.actor_input = Normalizer("model.actor_groups", config.actor_groups, sizes, clip)
        critic = ("model.critic_groups", config.critic_groups, sizes, clip)
        self.critic_input = Normalizer(*critic) if config.critic_groups else None

    def update_statistics(self, obs: Mapping[str, jax.Array], mask: jax.Array) -> None:
        """Add the observations `[..., O]` where `mask` `[...]` to the running statistics."""
        self.actor_input.update(obs, mask)
        if self.critic_input is not None:
            self.critic_input.update(obs, mask)


def widths(given: Sequence[int] | None, size: int, count: int) -> list[int]:
    """The widths of a network's hidden layers: the list, or the short form."""
    return [size] * count if given is None else list(given)
