"""Commands: targets that the policy is told and rewards compare with."""

import jax

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.types import Step


def commanded(step: Step, name: str) -> jax.Array:
    """The value of a command by name.

    Raises:
        UserError: the task has no such command; the message lists those it has.
    """
    if name not in step.commands:
        raise UserError(
            f"no command '{name}'.{nearest(name, step.commands)}"
            f" The task's commands: {listing(step.commands)}"
        )
    return step.commands[name]
