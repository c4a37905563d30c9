"""Poses that the next episodes of N environments begin in."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Pose, Reset
from ksim_cli.physics.robot import home_pose, home_velocity


class ResetManager(Manager[Reset]):
    """The resets, applied in order to the model's home pose.

    Args:
        terms: the resets, bound.
        model: the compiled model.
        num_envs: N.
    """

    kind = "resets"

    def __init__(self, terms: Mapping[str, Reset], model: mujoco.MjModel, num_envs: int) -> None:
        super().__init__(terms, num_envs)
        self._qpos = jnp.asarray(home_pose(model), jnp.float32)
        self._qvel = jnp.asarray(home_velocity(model), jnp.float32)

    def __call__(self, key: jax.Array, level: jax.Array, commands: Mapping[str, jax.Array]) -> Pose:
        """Poses with a leading axis of N.

        Args:
            key: random key.
            level: curriculum level.
            commands: name -> `[N, ...]` commands that the episodes begin with; resets read them.
        """
        home = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (self.num_envs, *x.shape)), (self._qpos, self._qvel)
        )
        pose = Pose(*home, commands=dict(commands))
        for name, term in self.terms.items():
            moved = jax.vmap(term, in_axes=(0, 0, None))(pose, self.keys(key, name), level)
            pose = pose.replace(qpos=moved.qpos, qvel=moved.qvel)
        return pose
