"""Several seeds in one program: their states are stacked along a leading axis."""

from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.models.policy import Variables
from ksim_cli.rl.rollout import Agent


def each_seed(tree: Any, num_seeds: int) -> list[Any]:
    """The tree of each seed; of one seed there is no axis."""
    if num_seeds == 1:
        return [tree]
    return [jax.tree.map(itemgetter(i), tree) for i in range(num_seeds)]


def variables_of(
    store: CheckpointStore, step: int, agent: Agent, num_seeds: int
) -> tuple[Variables, Any]:
    """A checkpoint's policy and curriculum level, of all its seeds.

    Raises:
        CheckpointReadError: they are of other shapes than the configuration's.
    """

    def policy(key: jax.Array) -> tuple[Variables, jax.Array]:
        return agent.init(key), jnp.zeros(())

    if num_seeds == 1:
        target = jax.eval_shape(policy, jax.random.key(0))
    else:
        target = jax.eval_shape(jax.vmap(policy), jax.random.split(jax.random.key(0), num_seeds))
    return (
        store.restore_subtree(step, "train/learner/variables", target[0]),
        store.restore_subtree(step, "train/env/level", target[1]),
    )
