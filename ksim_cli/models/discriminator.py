"""The discriminator of motions: does a step look like one of the reference motion?"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ksim_cli.config.components import AMPConfig
from ksim_cli.models.mlp import Perceptron
from ksim_cli.models.normalizers import Normalizer


class Discriminator(nnx.Module):
    """A perceptron behind a normaliser; it sees the observations before and after a step.

    Args:
        config: the algorithm's.
        sizes: observation group -> size.
        rngs: random keys of the weights.

    Raises:
        UserError: a group that no observation is in.
    """

    def __init__(self, config: AMPConfig, sizes: Mapping[str, int], rngs: nnx.Rngs) -> None:
        groups, clip = config.disc_groups, config.disc_observation_clip
        self.input = Normalizer("algo.disc_groups", groups, sizes, clip)
        layers = [2 * self.input.size, *config.disc_hidden, 1]
        self.network = Perceptron(layers, "relu", 1.0, rngs)

    def features(
        self, before: Mapping[str, jax.Array], after: Mapping[str, jax.Array]
    ) -> jax.Array:
        """`[..., 2 O]` normalised observations, group -> `[..., O]`, before and after a step."""
        return jnp.concatenate([self.input(before), self.input(after)], axis=-1)

    def __call__(self, features: jax.Array) -> jax.Array:
        """The score `[...]` of steps: towards 1 like the motion, towards -1 unlike it."""
        return self.network(features)[..., 0]

    def update_statistics(self, obs: Mapping[str, jax.Array], mask: jax.Array) -> None:
        """Add the observations `[..., O]` where `mask` `[...]` to the running statistics."""
        self.input.update(obs, mask)
