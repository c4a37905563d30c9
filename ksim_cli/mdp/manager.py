"""Base of the managers of terms: carries, random keys and steps of N environments."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.term import Term
from ksim_cli.physics.engine import View
from ksim_cli.rng import named_key
from ksim_cli.types import Step

T = TypeVar("T", bound=Term)


class Manager(Generic[T]):
    """The terms of one kind, each written for one environment, batched over N.

    Args:
        terms: name -> term, bound.
        num_envs: N.
    """

    kind: ClassVar[str]

    def __init__(self, terms: Mapping[str, T], num_envs: int) -> None:
        self.terms = terms
        self.num_envs = num_envs

    def init(self, key: jax.Array, names: Iterable[str] | None = None) -> dict[str, Any]:
        """name -> carry at the start of an episode, each leaf with a leading axis of N.

        Args:
            key: random key.
            names: some of the terms; None: all.
        """
        carries = {}
        for name in self.terms if names is None else names:
            keys = env_keys(key, self.num_envs, "init", self.kind, name)
            carries[name] = jax.vmap(self.terms[name].init)(keys)
        return carries

    def keys(self, key: jax.Array, name: str) -> jax.Array:
        """`[N]` random keys that a term draws from, whatever stands beside it."""
        return env_keys(key, self.num_envs, self.kind, name)


def blank_step(action_size: int, time: jax.Array, level: jax.Array, ctrl_dt: float = 0.02) -> Step:
    """A step, or N of them, without a view: as before any action.

    Args:
        action_size: elements of an action.
        time: s since the episode began, a scalar or `[N]`.
        level: curriculum level.
        ctrl_dt: s between two actions.
    """
    shape = jnp.shape(time)
    return Step(
        view=View({}),
        action=jnp.zeros((*shape, action_size)),
        commands={},
        time=time,
        termination=jnp.zeros(shape, jnp.int32),
        truncated=jnp.zeros(shape, bool),
        level=jnp.broadcast_to(level, shape),
        ctrl_dt=ctrl_dt,
    )


def env_keys(key: jax.Array, num_envs: int, *names: str) -> jax.Array:
    """`[N]` random keys, one per environment, of what the names say."""
    return jax.random.split(named_key(key, *names), num_envs)
