"""Terms whose parameters change in stages, as training goes on.

A stage says from which iteration on it holds, and the parameters that it changes; what it does not
change stays as in the stage before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.term import (
    Carry,
    Command,
    Disturbance,
    Event,
    Reward,
    Term,
    Termination,
)
from ksim_cli.registry import make, settable_fields, value_text
from ksim_cli.types import Marker, Step

T = TypeVar("T", bound=Term)
WHEN = "iteration"
"""Key of a stage that says when it begins."""

_OTHER_SIZE = "stages: change the size of what the term gives or remembers. Leave that as it is"


@dataclass(frozen=True, kw_only=True)
class Staged(Term):
    """Base of a term in stages.

    Attributes:
        variants: the term in each stage, the first that which training begins with.
        starts: iterations after which each of the others holds, rising.
    """

    variants: tuple[Any, ...]
    starts: tuple[int, ...]

    @property
    def first(self) -> Any:
        """The term as training begins with it; its field `stages` tells the others."""
        return self.variants[0]

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`."""
        for variant in self.variants:
            variant.edit(spec)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`.

        Raises:
            UserError: variants remember what differs in size.
        """
        bound = tuple(variant.bind(model) for variant in self.variants)
        memories = [jax.eval_shape(variant.init, jax.random.key(0)) for variant in bound]
        if any(memory != memories[0] for memory in memories):
            raise UserError(_OTHER_SIZE)
        return replace(self, variants=bound)

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: what all variants remember alike."""
        return self.first.init(key)

    def select(self, step: Step, call: Callable[[Any], Any]) -> Any:
        """What `call` gives for the variant in force.

        Raises:
            UserError: variants give, or remember, what differs in size.
        """
        given = [call(variant) for variant in self.variants]
        shapes = [jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), g) for g in given]
        if any(shape != shapes[0] for shape in shapes):
            raise UserError(_OTHER_SIZE)
        iteration = jnp.int32(0) if step.iteration is None else step.iteration
        stage = (iteration >= np.array(self.starts)).sum()
        return jax.tree.map(lambda *x: jnp.stack(x)[stage], *given)


@dataclass(frozen=True, kw_only=True)
class StagedReward(Staged, Reward):
    """A reward in stages; its value is weighted, and its own weight is 1."""

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""

        def weighted(variant: Reward) -> tuple[jax.Array, Carry]:
            value, after = variant(step, carry)
            scale = 1.0 if variant.scale is None else variant.scale(step.level)
            return jnp.asarray(variant.weight * scale * value, jnp.float32), after

        return self.select(step, weighted)

    def markers(self, step: Step) -> tuple[Marker, ...]:
        """See `Reward`."""
        return self.first.markers(step)


@dataclass(frozen=True, kw_only=True)
class StagedTermination(Staged, Termination):
    """A termination in stages."""

    def longest_episode(self) -> float | None:
        """See `Termination`: of the stage with the longest."""
        longest = [variant.longest_episode() for variant in self.variants]
        return None if None in longest else max(longest)

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Termination`."""

        def ended(variant: Termination) -> tuple[jax.Array, Carry]:
            value, after = variant(step, carry)
            off = variant.disable_at_curriculum_level
            return (value if off is None else jnp.where(step.level >= off, 0, value)), after

        return self.select(step, ended)


class StagedTruncation(StagedTermination):
    """A time limit in stages."""

    truncates = True


@dataclass(frozen=True, kw_only=True)
class StagedEvent(Staged, Event):
    """An event in stages."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """See `Event`."""
        return self.select(step, lambda variant: variant(step, carry, key))


@dataclass(frozen=True, kw_only=True)
class StagedCommand(Staged, Command):
    """A command in stages; it is measured and shown as in the first."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        return self.select(step, lambda variant: variant(step, carry, key))

    @property
    def is_measured(self) -> bool:
        """See `Command`."""
        return self.first.is_measured

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """See `Command`."""
        return self.first.error(step, value)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """See `Command`."""
        return self.first.markers(step, value)


def staged(term: T, where: str) -> T | Staged:
    """The term itself, or in its stages where it has some.

    Args:
        term: the term, not bound yet.
        where: its config path, for messages.

    Raises:
        UserError: a stage without `iteration` or parameters, one that does not come after the one
            before, or a parameter that is none of the term's, or wrong; a command that goes by
            earlier episodes.
    """
    stages: tuple[Mapping[str, Any], ...] = getattr(term, "stages", ())
    if not stages:
        return term
    if isinstance(term, Command) and type(term).begin is not Command.begin:
        raise UserError(f"{where}.stages: this command goes by earlier episodes, and has no stages")
    values = {name: getattr(term, name) for name in settable_fields(type(term)) if name != "stages"}
    variants, starts = [term], []
    for i, stage in enumerate(stages):
        path, after = f"{where}.stages[{i}]", starts[-1] if starts else 0
        start = stage.get(WHEN)
        if isinstance(start, bool) or not isinstance(start, int) or start <= after:
            least = f"above {after}, that of the stage before" if starts else "above 0"
            raise UserError(f"{path}.{WHEN}={value_text(start)}: must be a whole number {least}")
        changes = {name: value for name, value in stage.items() if name != WHEN}
        if not changes:
            raise UserError(f"{path}: changes no parameter. Give one, as {{{WHEN}: {start}, …}}")
        if "stages" in changes:
            raise UserError(f"{path}.stages: a stage has none of its own")
        values |= changes
        variants.append(make(type(term), values, path))
        starts.append(start)
    return _kind_of(term)(variants=tuple(variants), starts=tuple(starts))


def _kind_of(term: Term) -> type[Staged]:
    if isinstance(term, Reward):
        return StagedReward
    if isinstance(term, Termination):
        return StagedTruncation if term.truncates else StagedTermination
    return StagedEvent if isinstance(term, Event) else StagedCommand


def fill_in(term: Any, kind: type[Term], **values: Any) -> Any:
    """The term, in all its stages, with fields filled in where it is of a kind."""
    if isinstance(term, Staged):
        return replace(term, variants=tuple(fill_in(v, kind, **values) for v in term.variants))
    return replace(term, **values) if isinstance(term, kind) else term


def first_stage(term: Any) -> Any:
    """The term as training begins with it: itself where it has no stages."""
    return term.first if isinstance(term, Staged) else term
