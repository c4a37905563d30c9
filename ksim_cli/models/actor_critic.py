"""What every actor-critic is made of, whatever its networks."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.models.heads import make_head
from ksim_cli.models.normalizers import RunningStatistics, running_statistics

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


class Statistic(nnx.Variable[RunningStatistics]):
    """A variable that is saved with the model and never trained."""


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
        self.config = nnx.static(config)
        self.head = make_head(config, action_size)
        self.statistics = nnx.Dict(
            {group: Statistic(running_statistics(sizes[group])) for group in ("actor", "critic")}
        )

    def update_statistics(self, obs: Mapping[str, jax.Array], mask: jax.Array) -> None:
        """Adds the observations `[..., O]` where `mask` `[...]` to the running statistics."""
        for group, statistic in self.statistics.items():
            statistic.set_value(statistic.get_value().update(obs[group], mask))

    def normalized(self, group: str, obs: Mapping[str, jax.Array]) -> jax.Array:
        """What a group's network sees, `[..., O]`."""
        if not self.config.normalize_observations:
            return obs[group]
        statistics = self.statistics[group].get_value()
        return statistics.normalize(obs[group], self.config.observation_clip)
