"""Ends of episodes of N environments."""

from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Termination
from ksim_cli.quarantine import beyond
from ksim_cli.types import Step


class TerminationManager(Manager[Termination]):
    """The terminations: failure wins over success, whatever their order."""

    kind = "terminations"

    def __call__(
        self, steps: Step, carry: dict[str, Any]
    ) -> tuple[Step, dict[str, jax.Array], dict[str, Any], dict[str, jax.Array]]:
        """The steps with `termination` and `truncated`, and what the terms said.

        Returns:
            The steps; name -> `[N]` bool, it fired; the carries; key -> `[N]` bool, it is no code.
        """
        code, truncated = steps.termination, steps.truncated
        causes, carries, bad = {}, {}, {}
        for name, term in self.terms.items():
            value, carries[name] = jax.vmap(term)(steps, carry[name])
            bad[f"terminations.{name}"] = beyond(value, self.num_envs, 1.0)
            off = term.disable_at_curriculum_level
            if off is not None:
                value = jnp.where(steps.level >= off, 0, value)
            causes[name] = value != 0
            if term.truncates:
                truncated |= causes[name]
            else:
                value = value.astype(jnp.int32)
                code = jnp.where((code < 0) | (value < 0), -1, jnp.maximum(code, value))
        return steps.replace(termination=code, truncated=truncated), causes, carries, bad
