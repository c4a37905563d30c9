"""Rewards of a rollout, and how far its steps were from the commands."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.term import Command
from ksim_cli.rng import named_key
from ksim_cli.types import Scores, Step, StepResult


class Scorer:
    """Scores steps that were taken, outside of the loop over time where that is possible.

    Args:
        mdp: the terms, bound.
        num_envs: N.
        clip: lower and upper clip of the total reward, None where there is none.
    """

    def __init__(
        self, mdp: Mdp, num_envs: int, clip: tuple[float | None, float | None] = (None, None)
    ) -> None:
        self._rewards = mdp.rewards
        self._num_envs = num_envs
        self._clip = clip
        self.measured = {
            name: term
            for name, term in mdp.commands.items()
            if type(term).error is not Command.error
        }

    def init(self) -> dict[str, Any]:
        """The rewards' carries, each leaf with a leading axis of N."""
        return {name: self._fresh(name) for name in self._rewards}

    def __call__(
        self, carry: dict[str, Any], results: StepResult, learned: Any = {}
    ) -> tuple[dict[str, Any], Scores]:
        """Weighted rewards of `[T, N]` steps and the new carries.

        A reward with a carry is scanned over time, and its carry starts anew after each episode;
        so a trajectory gives the same rewards in one piece as in any cut of it.
        """
        components, carries, steps = {}, {}, results.steps
        for name, term in self._rewards.items():
            batched = jax.vmap(term)
            if not jax.tree.leaves(carry[name]):
                values, _ = jax.vmap(batched, in_axes=(0, None))(steps, ())
                carries[name] = carry[name]
            else:
                scan = partial(_score_step, batched, self._fresh(name))
                carries[name], values = jax.lax.scan(scan, carry[name], (steps, results.done))
            if term.scale is not None:
                values = term.scale(steps.level) * values
            components[name] = term.weight * values
        components |= learned
        total = sum(components.values(), start=jnp.zeros(results.terminated.shape))
        low, high = self._clip
        if low is not None or high is not None:
            total = jnp.clip(total, low, high)
        errors = {
            name: jnp.asarray(jax.vmap(jax.vmap(term.error))(steps, steps.commands[name]))
            for name, term in self.measured.items()
        }
        return carries, Scores(total=total, components=components, command_errors=errors)

    def _fresh(self, name: str) -> Any:
        keys = jax.random.split(named_key(jax.random.key(0), name), self._num_envs)
        return jax.vmap(self._rewards[name].init)(keys)


def _score_step(
    term: Any, fresh: Any, carry: Any, inputs: tuple[Step, jax.Array]
) -> tuple[Any, jax.Array]:
    steps, done = inputs
    values, carry = term(steps, carry)
    return where(done, fresh, carry), values


def where(mask: jax.Array, new: Any, old: Any) -> Any:
    """Leaf by leaf: `new` in the environments of `mask` `[N]`, `old` elsewhere."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)
