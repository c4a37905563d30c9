"""What is kept of an environment that was quarantined, to find out why."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.rl.rollout import Experience


class Incident(struct.PyTreeNode):
    """The first environment of a rollout that was quarantined, and all its steps there.

    Attributes:
        cause: int32 of `StepResult.quarantined`; 0: there was none, and the rest means nothing.
        step: control step of the rollout at which it was.
        env: environment.
        obs: group -> `[T, O]` what the networks saw before each step.
        action: `[T, A]` the actions.
        view: fields after each step, `[T, ...]`.
        commands: name -> `[T, ...]` what was in force.
        rewards: name -> `[T]` weighted rewards; 0 where a step was quarantined.
        suspects: what `cause` means: i + 1 is the i-th.
    """

    cause: jax.Array
    step: jax.Array
    env: jax.Array
    obs: dict[str, jax.Array]
    action: jax.Array
    view: Any
    commands: dict[str, jax.Array]
    rewards: dict[str, jax.Array]
    suspects: tuple[str, ...] = struct.field(pytree_node=False, default=())


def first_incident(experience: Experience) -> Incident:
    """What is known of the first environment that was quarantined in a rollout."""
    results = experience.results
    bad_tn = results.quarantined > 0
    step = jnp.argmax(bad_tn.any(axis=1))
    env = jnp.argmax(bad_tn[step])
    chosen_n = jnp.arange(bad_tn.shape[1]) == env
    known = (
        experience.obs,
        experience.action,
        results.steps.view,
        results.steps.commands,
        experience.scores.components,
    )

    def entry(x: jax.Array) -> jax.Array:
        # An index into environments that lie on several devices would gather all of them.
        mask = chosen_n.reshape(1, -1, *[1] * (x.ndim - 2))
        return jnp.where(mask, x, 0).sum(axis=1, dtype=x.dtype)

    def nothing() -> Any:
        return jax.tree.map(lambda x: jnp.zeros((x.shape[0], *x.shape[2:]), x.dtype), known)

    # Mostly there is none, and the way through all that was experienced is saved.
    found = jax.lax.cond(bad_tn.any(), lambda: jax.tree.map(entry, known), nothing)
    obs, action, view, commands, rewards = found
    return Incident(
        cause=results.quarantined[step].max(where=chosen_n, initial=0),
        step=step,
        env=env,
        obs=obs,
        action=action,
        view=view,
        commands=commands,
        rewards=rewards,
        suspects=experience.suspects,
    )
