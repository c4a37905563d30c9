"""Poses that the next episodes of N environments begin in."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp.closed_loops import ClosedLoops, closed_loops
from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.resets import JointReset
from ksim_cli.mdp.term import Pose, Reset
from ksim_cli.physics.engine import HUGE
from ksim_cli.physics.robot import home_pose, home_velocity
from ksim_cli.quarantine import beyond
from ksim_cli.trees import select_envs

_TRIALS = 64
"""Draws of which at least half must leave loops that can be closed."""


class ResetManager(Manager[Reset]):
    """The resets, applied in order to the model's home pose; then closed loops are closed.

    Args:
        terms: the resets, bound.
        model: the compiled model.
        num_envs: N.

    Raises:
        UserError: closed loops are open at home, or in most poses that a joint reset draws.
    """

    kind = "resets"

    def __init__(self, terms: Mapping[str, Reset], model: mujoco.MjModel, num_envs: int) -> None:
        ordered = sorted(terms.items(), key=lambda named: named[1].comes_last)
        super().__init__(dict(ordered), num_envs)
        self._qpos = jnp.asarray(home_pose(model), jnp.float32)
        self._qvel = jnp.asarray(home_velocity(model), jnp.float32)
        moves_joints = any(not term.keeps_loops for term in terms.values())
        self._loops = closed_loops(model, home_pose(model)) if moves_joints else None
        if self._loops is not None:
            self._refuse_open(self._loops)

    def __call__(
        self, key: jax.Array, level: jax.Array, commands: Mapping[str, jax.Array]
    ) -> tuple[Pose, dict[str, jax.Array]]:
        """Poses with a leading axis of N, and which resets left one that is not finite.

        Where one did, the pose is the home pose, so that there is something to go on from.

        Args:
            key: random key.
            level: curriculum level.
            commands: name -> `[N, ...]` commands that the episodes begin with; resets read them.
        """
        home = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (self.num_envs, *x.shape)), (self._qpos, self._qvel)
        )
        pose, bad = Pose(*home, commands=dict(commands)), {}
        for name, term in self.terms.items():
            moved = jax.vmap(term, in_axes=(0, 0, None))(pose, self.keys(key, name), level)
            pose = pose.replace(qpos=moved.qpos, qvel=moved.qvel)
            bad[f"resets.{name}"] = beyond((pose.qpos, pose.qvel), self.num_envs, HUGE)
        unsound = beyond((pose.qpos, pose.qvel), self.num_envs, HUGE)
        pose = select_envs(unsound, Pose(*home, commands=pose.commands), pose)
        bad = {name: mask & unsound for name, mask in bad.items()}  # a later one may have mended it
        if self._loops is None:
            return pose, bad
        qpos, qvel, _ = jax.vmap(self._loops.close)(pose.qpos, pose.qvel)
        return pose.replace(qpos=qpos, qvel=qvel), bad

    def _refuse_open(self, loops: ClosedLoops) -> None:
        """Tries every joint reset by itself, from the home pose."""
        home, full = Pose(qpos=self._qpos, qvel=self._qvel), jnp.ones(())
        close = jax.jit(jax.vmap(loops.close))
        for name, term in self.terms.items():
            if isinstance(term, JointReset):
                keys = jax.random.split(jax.random.key(0), _TRIALS)
                drawn = jax.vmap(term, in_axes=(None, 0, None))(home, keys, full)
                closed = int(close(drawn.qpos, drawn.qvel)[2].sum())
                if 2 * closed < _TRIALS:
                    raise UserError(
                        f"resets.{name}: {_TRIALS - closed} of {_TRIALS} draws leave a pose where"
                        f" {loops.names} cannot be satisfied. Type a smaller scale"
                    )
