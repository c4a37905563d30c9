"""Terms by which a person steers an environment that is viewed; untouched, they change nothing.

What the person wants is written into their carries between two steps, so that neither the
environment nor `play` knows of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
from flax import struct

from ksim_cli.mdp.inspect_terms import Layout
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.term import Carry, Command, Disturbance, Event, Latch
from ksim_cli.types import Marker, Step, StepResult

BY_HAND = "by hand"
"""The event that pushes; no name in a configuration has a blank."""


class SteeredCarry(struct.PyTreeNode):
    """Carry of a `SteeredCommand`.

    Attributes:
        inner: that of the command it stands for.
        held: the value a person holds it at, if any.
    """

    inner: Carry
    held: Latch


@dataclass(frozen=True, kw_only=True)
class SteeredCommand(Command):
    """A command that a person may hold at a value of his own; else it is what it was.

    Attributes:
        inner: the command, bound.
        shape: of its value.
    """

    inner: Command
    shape: tuple[int, ...]

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return SteeredCarry(self.inner.init(key), Latch.empty(*self.shape))

    def initial_shared(self) -> Any:
        """See `Command`."""
        return self.inner.initial_shared()

    def update_shared(self, shared: Any, value: jax.Array, results: StepResult) -> Any:
        """See `Command`."""
        return self.inner.update_shared(shared, value, results)

    def begin(self, key: jax.Array, shared: Any) -> Carry:
        """See `Command`."""
        return SteeredCarry(self.inner.begin(key, shared), Latch.empty(*self.shape))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        value, inner = self.inner(step, carry.inner, key)
        return carry.held.get(value), carry.replace(inner=inner)

    @property
    def is_measured(self) -> bool:
        """See `Command.is_measured`."""
        return self.inner.is_measured

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """See `Command.error`."""
        return self.inner.error(step, value)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """See `Command.markers`."""
        return self.inner.markers(step, value)


@dataclass(frozen=True, kw_only=True)
class Push(Event):
    """What a person does to an environment; its carry is just that.

    Attributes:
        nv: degrees of freedom.
        nbody: bodies.
    """

    nv: int
    nbody: int

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: nothing."""
        del key
        return Disturbance(velocity=jnp.zeros(self.nv), force=jnp.zeros((self.nbody, 6)))

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """See `Event`."""
        del step, key
        return carry, carry


def steerable(mdp: Mdp, layout: Layout, model: mujoco.MjModel) -> Mdp:
    """The terms of a task, bound, with commands that can be held and an environment to push."""
    commands = {
        name: SteeredCommand(inner=term, shape=layout.command_shapes[name])
        for name, term in mdp.commands.items()
    }
    push = Push(nv=model.nv, nbody=model.nbody)
    return replace(mdp, commands=commands, events={**mdp.events, BY_HAND: push})


def steer(state: Any, held: Mapping[str, Latch], push: Disturbance) -> Any:
    """An `EnvState` of steerable terms in which a person's wishes are in force.

    Args:
        state: the state before a step; what is drawn in that step obeys, and so does an episode
            that it begins.
        held: command -> `[N, ...]` values that are held, and which of them are.
        push: `[N, ...]` velocities that are added, and forces that act, in the next step.
    """

    def hold(carries: Mapping[str, Any]) -> dict[str, Any]:
        return {name: carry.replace(held=held[name]) for name, carry in carries.items()}

    carries = {
        **state.carries,
        "commands": hold(state.carries["commands"]),
        "events": {**state.carries["events"], BY_HAND: push},
    }
    prepared = state.prepared
    get = jax.vmap(Latch.get)
    values = {name: get(held[name], value) for name, value in prepared.commands.items()}
    prepared = prepared.replace(commands=values, carries=hold(prepared.carries))
    return state.replace(carries=carries, prepared=prepared)
