"""Rewards of a rollout, and how far its steps were from the commands."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.errors import UserError
from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Command, Reward
from ksim_cli.trees import select_envs
from ksim_cli.types import Scores, Step, StepResult


class RewardManager(Manager[Reward]):
    """The rewards of steps that were taken, outside of the loop over time where possible.

    Args:
        terms: the rewards, bound.
        commands: the commands, bound; the errors of those that have one are measured.
        num_envs: N.
        clip: lower and upper clip of the total reward, None where there is none.
    """

    kind = "rewards"

    def __init__(
        self,
        terms: Mapping[str, Reward],
        commands: Mapping[str, Command],
        num_envs: int,
        clip: tuple[float | None, float | None] = (None, None),
    ) -> None:
        super().__init__(terms, num_envs)
        self._clip = clip
        self.measured = {name: term for name, term in commands.items() if term.is_measured}

    def fresh(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """name -> carry at the start of any episode, leading axis N; `names` as in `init`."""
        return self.init(jax.random.key(0), names)

    def __call__(
        self, carry: Any, results: StepResult, learned: Mapping[str, jax.Array] | None = None
    ) -> tuple[Any, Scores]:
        """Weighted rewards of `[T, N]` steps and the new carries.

        A reward with a carry is scanned over time, and its carry starts anew after each episode;
        so a trajectory gives the same rewards in one piece as in any cut of it.

        Args:
            carry: name -> carry of the rewards.
            results: what the steps left.
            learned: name -> `[T, N]` weighted rewards made elsewhere, which join the components.

        Raises:
            UserError: a learned reward has the name of a reward term.
        """
        components, carries, steps = {}, {}, results.steps
        for name, term in self.terms.items():
            batched = jax.vmap(term)
            if not jax.tree.leaves(carry[name]):
                values, _ = jax.vmap(batched, in_axes=(0, None))(steps, ())
                carries[name] = carry[name]
            else:
                scan = partial(_score_step, batched, self.fresh([name])[name])
                carries[name], values = jax.lax.scan(scan, carry[name], (steps, results.done))
            if term.scale is not None:
                values = term.scale(steps.level) * values
            components[name] = term.weight * values
        for name, values in (learned or {}).items():
            if name in components:
                raise UserError(f"rewards.{name}: the algorithm adds a reward of that name itself")
            components[name] = values
        total = sum(components.values(), start=jnp.zeros(results.terminated.shape))
        low, high = self._clip
        if low is not None or high is not None:
            total = jnp.clip(total, low, high)
        errors = {
            name: jnp.asarray(jax.vmap(jax.vmap(term.error))(steps, steps.commands[name]))
            for name, term in self.measured.items()
        }
        return carries, Scores(total=total, components=components, command_errors=errors)


def _score_step(
    term: Any, fresh: Any, carry: Any, inputs: tuple[Step, jax.Array]
) -> tuple[Any, jax.Array]:
    steps, done = inputs
    values, carry = term(steps, carry)
    return select_envs(done, fresh, carry), values
