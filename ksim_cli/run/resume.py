"""What of a saved state the configuration of now replaces."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.config.schema import RunConfig
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.term import Curriculum
from ksim_cli.rl.algorithm import TrainState


def with_typed(
    state: TrainState, config: RunConfig, typed: Collection[str], curriculum: Curriculum
) -> TrainState:
    """A saved state that goes on with what was typed.

    What adapts while training (`algo.kl_coef`, hyperparameters in an optimizer's state) goes on
    from where it was, unless it was typed. What does not adapt is what the config says.

    Args:
        state: as it was saved.
        config: the run's, of now.
        typed: keys that were typed.
        curriculum: what moves the level.
    """
    learner, algo = state.learner, config.algo
    for name, value in algo.items():
        held = getattr(learner, name, None)
        if not isinstance(held, jax.Array) or not isinstance(value, int | float):
            continue
        if {"algo", f"algo.{name}"} & set(typed) or not algo.get("adaptive_kl", True):
            learner = learner.replace(**{name: _filled(held, value)})
    given = {name: v for name, v in config.optimizer.items() if f"optimizer.{name}" in typed}
    learner = learner.replace(opt_state=_with_hyperparameters(learner.opt_state, given))
    state = state.replace(learner=learner)
    if isinstance(curriculum, Constant):  # whose level never moves
        level = _filled(state.env.shared.level, curriculum.level)
        state = state.replace(env=state.env.replace(shared=state.env.shared.replace(level=level)))
    return state


def _with_hyperparameters(opt_state: Any, given: Mapping[str, Any]) -> Any:
    """An optimizer's state with values in place of those that it holds (`inject_hyperparams`)."""

    def holds(node: Any) -> bool:
        return isinstance(getattr(node, "hyperparams", None), dict)

    def changed(node: Any) -> Any:
        if not holds(node):
            return node
        new = {n: _filled(x, given[n]) if n in given else x for n, x in node.hyperparams.items()}
        return node._replace(hyperparams=new)

    return jax.tree.map(changed, opt_state, is_leaf=holds)


def _filled(array: jax.Array, value: float) -> jax.Array:
    """An array of the same shape, type and place that holds one value."""
    return jnp.full_like(array, value, device=array.sharding)
