"""Disturbances of N environments."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Disturbance, Event
from ksim_cli.types import Step


class EventManager(Manager[Event]):
    """The events: their effects add up."""

    kind = "events"

    def __call__(
        self, steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[Disturbance, dict[str, Any]]:
        """The sum of what all events do, with a leading axis of N, and the new carries.

        There must be at least one event; the force is None where none has a force.
        """
        effects, carries = [], {}
        for name, term in self.terms.items():
            effect, carries[name] = jax.vmap(term)(steps, carry[name], self.keys(key, name))
            effects.append(effect)
        forces = [effect.force for effect in effects if effect.force is not None]
        force = reduce(jnp.add, forces) if forces else None
        velocity = reduce(jnp.add, [effect.velocity for effect in effects])
        return Disturbance(velocity=velocity, force=force), carries
