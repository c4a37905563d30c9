"""From the last layer of an actor to the distribution of its actions."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import ActorCriticConfig
from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.models.bounds import at_least
from ksim_cli.models.distributions import (
    DiagonalNormal,
    Distribution,
    NormalMixture,
    TanhNormal,
)


class NormalHead(nnx.Module):
    """The network gives the means; the deviations are parameters, the same for all states.

    Args:
        distribution: of a mean and a standard deviation, each `[..., A]`.
        config: the model's.
        action_size: A.
    """

    def __init__(
        self,
        distribution: Callable[[jax.Array, jax.Array], Distribution],
        config: ActorCriticConfig,
        action_size: int,
    ) -> None:
        self.distribution = distribution
        self.min_log_std = math.log(config.min_std)
        self.num_inputs = action_size
        self.log_std = nnx.Param(jnp.full(action_size, jnp.log(config.init_std)))

    def __call__(self, x: jax.Array) -> Distribution:
        """The distribution for the actor's outputs `[..., num_inputs]`."""
        std = jnp.exp(at_least(self.log_std[...], self.min_log_std))
        return self.distribution(x, jnp.broadcast_to(std, x.shape))


class MixtureHead(nnx.Module):
    """The network gives weights and means; each component's deviation is a parameter.

    The means start up to `init_std` apart: components that start alike would stay alike.

    Args:
        config: the model's.
        action_size: A.
    """

    def __init__(self, config: ActorCriticConfig, action_size: int) -> None:
        self.shape = (action_size, config.num_mixtures)
        self.init_std, self.min_log_std = config.init_std, math.log(config.min_std)
        self.num_inputs = 2 * action_size * config.num_mixtures
        self.log_std = nnx.Param(jnp.full(self.shape, jnp.log(config.init_std)))

    def __call__(self, x: jax.Array) -> NormalMixture:
        """The distribution for the actor's outputs `[..., num_inputs]`."""
        logits, mean = jnp.moveaxis(x.reshape(*x.shape[:-1], 2, *self.shape), -3, 0)
        num_mixtures = self.shape[1]
        steps = jnp.arange(num_mixtures) - 0.5 * (num_mixtures - 1)
        apart = steps * (self.init_std / max(num_mixtures - 1, 1))
        std = jnp.exp(at_least(self.log_std[...], self.min_log_std))
        return NormalMixture(
            logits=logits,
            mean=mean + jnp.broadcast_to(apart, mean.shape),
            std=jnp.broadcast_to(std, mean.shape),
        )


Head = NormalHead | MixtureHead

HEADS: dict[str, Callable[[ActorCriticConfig, int], Head]] = {
    "normal": lambda config, size: NormalHead(DiagonalNormal, config, size),
    "tanh_normal": lambda config, size: NormalHead(TanhNormal, config, size),
    "mixture": MixtureHead,
}


def make_head(config: ActorCriticConfig, action_size: int) -> Head:
    """The head that `model.distribution` names.

    Raises:
        UserError: it names none, or the deviation would start at its bound.
    """
    if config.distribution not in HEADS:
        raise UserError(
            f"model.distribution={config.distribution}: no such distribution."
            f"{nearest(config.distribution, HEADS)} One of {listing(HEADS)}"
        )
    if config.init_std <= config.min_std:
        raise UserError(
            f"model.init_std={config.init_std:g}: must be above model.min_std={config.min_std:g},"
            " the lower bound of the standard deviation. Type a larger model.init_std, or"
            f" model.min_std={config.init_std / 10:g}"
        )
    return HEADS[config.distribution](config, action_size)
