"""What the terms of a task show of themselves at a step."""

from typing import Any

from ksim_cli.errors import UserError, error_context
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.own_code import place_of
from ksim_cli.types import Marker, Step

SHAPES = ("sphere", "box", "arrow")
"""What a marker may be."""


def markers_of(mdp: Mdp, step: Step) -> tuple[Marker, ...]:
    """The markers of a task's commands, then of its rewards, at one step of one environment.

    Args:
        mdp: the terms, bound to their model.
        step: as rewards see it.

    Raises:
        UserError: a term gives something else.
    """
    shown: list[Marker] = []
    for name, command in mdp.commands.items():
        with error_context(f"commands.{name}"):
            shown += _checked(command, command.markers(step, step.commands[name]))
    for name, reward in mdp.rewards.items():
        with error_context(f"rewards.{name}"):
            shown += _checked(reward, reward.markers(step))
    return tuple(shown)


def _checked(term: object, given: Any) -> tuple[Marker, ...]:
    markers: tuple[Any, ...] = tuple(given) if isinstance(given, tuple | list) else (given,)
    for marker in markers:
        shape = getattr(marker, "shape", type(marker).__name__)
        if not isinstance(marker, Marker) or shape not in SHAPES:
            raise UserError(
                f"its markers hold {shape!r}{place_of(type(term))}. They are to be a tuple of"
                f" Marker, each a {', '.join(SHAPES)}"
            )
    return markers
