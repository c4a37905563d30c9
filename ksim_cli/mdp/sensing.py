"""From an observation's value to what a network sees: bias, noise, delay, history."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.mdp.term import Observation, disturbed
from ksim_cli.rng import named_key
from ksim_cli.types import Step


class Channel:
    """One observation of one environment, with what a sensor does to it.

    The clean value has its history; the noisy one has bias, noise, then delay, then history. An
    episode begins with all of its past equal to the first value.

    Args:
        term: the observation, bound.
        size: elements of its value, without history.
        ctrl_dt: s between two observations.
    """

    def __init__(self, term: Observation, size: int, ctrl_dt: float) -> None:
        self._term = term
        self._size = size
        self._dt = ctrl_dt
        self._late = math.ceil(term.delay_range[1] / ctrl_dt - 0.5)
        self.size = size * term.history

    def init(self, key: jax.Array) -> dict[str, Any]:
        """The carry at the start of an episode."""
        term = self._term
        carry: dict[str, Any] = {"term": term.init(named_key(key, "term"))}
        if term.bias is not None:
            carry["bias"] = named_key(key, "bias")
        if self._late or term.history > 1:
            # Newest first.
            carry["started"] = jnp.zeros((), bool)
            carry["clean"] = jnp.zeros((term.history, self._size))
            carry["noisy"] = jnp.zeros((term.history + self._late, self._size))
        if self._late:
            low, high = term.delay_range
            uniform = jax.random.uniform(named_key(key, "delay"))
            carry["delay"] = (low + (high - low) * uniform) / self._dt
        return carry

    def __call__(
        self, step: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        """Clean and noisy value, `[size]` each, and the new carry."""
        term = self._term
        value, inner = term(step, carry["term"], named_key(key, "term"))
        carry = {**carry, "term": inner}
        noisy = value
        if term.bias is not None:
            noisy = disturbed(term.bias, noisy, carry["bias"], step.level)
        if term.noise is not None:
            noisy = disturbed(term.noise, noisy, named_key(key, "noise"), step.level)
        if "clean" not in carry:
            return value, noisy, carry
        clean_past = _pushed(carry["clean"], value, carry["started"])
        noisy_past = _pushed(carry["noisy"], noisy, carry["started"])
        carry = {**carry, "clean": clean_past, "noisy": noisy_past, "started": jnp.ones((), bool)}
        start = 0
        if self._late:
            start = jnp.round(step.level * carry["delay"]).astype(jnp.int32)
        seen = jax.lax.dynamic_slice_in_dim(noisy_past, start, term.history)
        return clean_past[::-1].reshape(-1), seen[::-1].reshape(-1), carry


def _pushed(past: jax.Array, value: jax.Array, started: jax.Array) -> jax.Array:
    """The past `[K, D]`, newest first, with one more value; all of it that value at the start."""
    moved = jnp.concatenate([value[None], past[:-1]])
    return jnp.where(started, moved, jnp.broadcast_to(value, past.shape))
