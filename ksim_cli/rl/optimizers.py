"""Optimizers by name."""

from dataclasses import dataclass

import optax

from ksim_cli.config.components import OptimizerConfig
from ksim_cli.registry import OPTIMIZERS


@OPTIMIZERS.register("adam")
@dataclass(frozen=True)
class Adam(OptimizerConfig):
    """Adam (Kingma & Ba 2015) behind a clip of the gradient's global norm."""

    def build(self) -> optax.GradientTransformation:
        """The gradient transformation."""
        return _clipped(self, optax.adam(self.learning_rate, self.beta1, self.beta2, self.eps))


@OPTIMIZERS.register("adamw")
@dataclass(frozen=True)
class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), clipped likewise."""

    def build(self) -> optax.GradientTransformation:
        """The gradient transformation."""
        adamw = optax.adamw(
            self.learning_rate, self.beta1, self.beta2, self.eps, weight_decay=self.weight_decay
        )
        return _clipped(self, adamw)


def _clipped(
    config: OptimizerConfig, inner: optax.GradientTransformation
) -> optax.GradientTransformation:
    if config.max_grad_norm is None:
        return inner
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), inner)
