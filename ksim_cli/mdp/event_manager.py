"""Disturbances of N environments."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.term import Disturbance, Event
from ksim_cli.quarantine import beyond
from ksim_cli.types import Step


class EventManager(Manager[Event]):
    """The events: their effects add up."""

    kind = "events"

    def __call__(
        self, steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[Disturbance, dict[str, Any], dict[str, jax.Array]]:
        """The sum of what all events do, the new carries, and which events are not finite.

        All have a leading axis of N.
        """
        effects, carries, bad = [], {}, {}
        for name, term in self.terms.items():
            effect, carries[name] = jax.vmap(term)(steps, carry[name], self.keys(key, name))
            effects.append(effect)
            bad[f"events.{name}"] = beyond(effect, self.num_envs)
        velocity = _total([effect.velocity for effect in effects])
        return Disturbance(velocity, _total([effect.force for effect in effects])), carries, bad


def _total(parts: list[jax.Array | None]) -> jax.Array | None:
    """The sum of what is there; None where nothing is."""
    there = [part for part in parts if part is not None]
    return reduce(jnp.add, there) if there else None
