"""Commands of N environments: some drawn before an episode's reset, some after it."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Command
from ksim_cli.types import Step

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

    def before_reset(self, steps: Step, key: jax.Array) -> tuple[Values, dict[str, Any]]:
        """Values and carries that the next episodes begin with, of what does not read the view.

        Args:
            steps: the time at which the episodes begin, and the level; without a view.
            key: random key.
        """
        return self._evaluate(self._before, steps, self.init(key, self._before), key)

    def after_reset(
        self, steps: Step, carry: dict[str, Any], key_init: jax.Array, key: jax.Array
    ) -> tuple[Values, dict[str, Any]]:
        """Values and carries that episodes begin with, of all commands.

        Args:
            steps: after the reset, with the commands of `before_reset`.
            carry: the carries of `before_reset`.
            key_init: random key of the other carries.
            key: random key of the other values.
        """
        carry = {**carry, **self.init(key_init, self._after)}
        return self._evaluate(self._after, steps, carry, key)

    def _evaluate(
        self, names: Iterable[str], steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[Values, dict[str, Any]]:
        values, carries = dict(steps.commands), dict(carry)
        for name in names:
            values[name], carries[name] = jax.vmap(self.terms[name])(
                steps.replace(commands=values), carry[name], self.keys(key, name)
            )
        return values, carries
