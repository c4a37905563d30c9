"""Commands of N environments: some drawn before an episode's reset, some after it."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from ksim_cli.mdp.manager import Manager, env_keys
from ksim_cli.mdp.term import Command
from ksim_cli.types import Step, StepResult

Values = dict[str, jax.Array]


class CommandManager(Manager[Command]):
    """The commands, evaluated in an order in which each sees those it reads.

    Those that do not read the view are drawn before an episode's reset, which may go by them; the
    others right after it.

    Args:
        terms: the commands, bound.
        reads_view: `Layout.commands`: name -> whether it reads the view, in order of evaluation.
        num_envs: N.
    """

    kind = "commands"

    def __init__(
        self, terms: Mapping[str, Command], reads_view: Mapping[str, bool], num_envs: int
    ) -> None:
        super().__init__({name: terms[name] for name in reads_view}, num_envs)
        self._before = [name for name, reads in reads_view.items() if not reads]
        self._after = [name for name, reads in reads_view.items() if reads]

    def __call__(
        self, steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[Values, dict[str, Any]]:
        """name -> `[N, ...]` command for the next step, and the new carries."""
        return self._evaluate(self.terms, steps.replace(commands={}), carry, key)

    def initial_shared(self) -> dict[str, Any]:
        """name -> what all environments share at the start of training."""
        return {name: term.initial_shared() for name, term in self.terms.items()}

    def update_shared(self, shared: dict[str, Any], results: StepResult) -> dict[str, Any]:
        """name -> what they share after a rollout `[T, N]`."""
        values = results.steps.commands
        return {
            name: term.update_shared(shared[name], values[name], results)
            for name, term in self.terms.items()
        }

    def before_reset(
        self, steps: Step, shared: dict[str, Any], key: jax.Array
    ) -> tuple[Values, dict[str, Any]]:
        """Values and carries that the next episodes begin with, of what does not read the view.

        Args:
            steps: the time at which the episodes begin, and the level; without a view.
            shared: what all environments share.
            key: random key.
        """
        return self._evaluate(self._before, steps, self._begin(self._before, shared, key), key)

    def after_reset(
        self,
        steps: Step,
        carry: dict[str, Any],
        shared: dict[str, Any],
        key_init: jax.Array,
        key: jax.Array,
    ) -> tuple[Values, dict[str, Any]]:
        """Values and carries that episodes begin with, of all commands.

        Args:
            steps: after the reset, with the commands of `before_reset`.
            carry: the carries of `before_reset`.
            shared: what all environments share.
            key_init: random key of the other carries.
            key: random key of the other values.
        """
        carry = {**carry, **self._begin(self._after, shared, key_init)}
        return self._evaluate(self._after, steps, carry, key)

    def _begin(
        self, names: Iterable[str], shared: dict[str, Any], key: jax.Array
    ) -> dict[str, Any]:
        """name -> carry at the start of an episode."""
        return {
            name: jax.vmap(self.terms[name].begin, in_axes=(0, None))(
                env_keys(key, self.num_envs, "init", self.kind, name), shared[name]
            )
            for name in names
        }

    def _evaluate(
        self, names: Iterable[str], steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[Values, dict[str, Any]]:
        values, carries = dict(steps.commands), dict(carry)
        for name in names:
            values[name], carries[name] = jax.vmap(self.terms[name])(
                steps.replace(commands=values), carry[name], self.keys(key, name)
            )
        return values, carries
