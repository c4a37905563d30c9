"""Several seeds in one program: their states are stacked along a leading axis."""

from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.io.checkpoints import CheckpointStore
from ksim_cli.rl.algorithm import Algorithm, Context
from ksim_cli.rl.rollout import PolicyState

POLICY, TRAINING, HOST = "policy", "train", "host"
"""Parts of a checkpoint: what acts, the rest of the training state, the engine's host state."""


def each_seed(tree: Any, num_seeds: int) -> list[Any]:
    """The tree of each seed; of one seed there is no axis."""
    if num_seeds == 1:
        return [tree]
    return [jax.tree.map(itemgetter(i), tree) for i in range(num_seeds)]


def read_policy_state(
    store: CheckpointStore, step: int, algorithm: Algorithm, context: Context, num_seeds: int
) -> PolicyState:
    """What acts in a checkpoint, of all its seeds.

    Raises:
        CheckpointReadError: it is of other shapes than the configuration's.
    """

    def fresh(key: jax.Array) -> PolicyState:
        learner = algorithm.init(context, context.policy.init(key), key).learner
        return PolicyState(learner.variables, learner.reward_variables, jnp.zeros(()))

    keys = jax.random.split(jax.random.key(0), num_seeds)
    several = num_seeds > 1
    target = jax.eval_shape(jax.vmap(fresh) if several else fresh, keys if several else keys[0])
    return store.restore_subtree(step, POLICY, target)
