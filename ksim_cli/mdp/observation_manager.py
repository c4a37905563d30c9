"""From the values of observations to the vectors that the networks see."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp

from ksim_cli.errors import UserError, listing
from ksim_cli.mdp.inspect_terms import Layout
from ksim_cli.mdp.manager import Manager
from ksim_cli.mdp.maths import uniform_between
from ksim_cli.mdp.noise import disturbed
from ksim_cli.mdp.term import Latch, Observation, Term
from ksim_cli.quarantine import beyond
from ksim_cli.rng import named_key
from ksim_cli.types import Step


@dataclass(frozen=True, kw_only=True)
class Channel(Term):
    """One observation of one environment, with what a sensor does to it.

    The clean value has its history; the noisy one has bias, noise, then delay, then history. An
    episode begins with all of its past equal to the first value.

    Attributes:
        term: the observation, bound.
        size: elements of its value, without history.
        ctrl_dt: s between two observations.
    """

    term: Observation
    size: int
    ctrl_dt: float

    @property
    def longest_delay(self) -> int:
        """In control steps."""
        return math.ceil(self.term.delay_range[1] / self.ctrl_dt - 0.5)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """The carry at the start of an episode."""
        term = self.term
        carry: dict[str, Any] = {"term": term.init(named_key(key, "term"))}
        if term.bias is not None:
            carry["bias"] = named_key(key, "bias")
        if self.longest_delay or term.history > 1:
            # Newest first.
            carry["clean"] = Latch.empty(term.history, self.size)
            carry["noisy"] = Latch.empty(term.history + self.longest_delay, self.size)
        if self.longest_delay:
            seconds = uniform_between(named_key(key, "delay"), *term.delay_range)
            carry["delay"] = seconds / self.ctrl_dt
        return carry

    def __call__(
        self, step: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        """Clean and noisy value, `[size * history]` each, and the new carry."""
        term = self.term
        value, inner = term(step, carry["term"], named_key(key, "term"))
        carry = {**carry, "term": inner}
        noisy = value
        if term.bias is not None:
            noisy = disturbed(term.bias, noisy, carry["bias"], step.level)
        if term.noise is not None:
            noisy = disturbed(term.noise, noisy, named_key(key, "noise"), step.level)
        if "clean" not in carry:
            return value, noisy, carry
        carry["clean"], carry["noisy"] = _push(carry["clean"], value), _push(carry["noisy"], noisy)
        start = 0
        if self.longest_delay:
            start = jnp.round(step.level * carry["delay"]).astype(jnp.int32)
        seen = jax.lax.dynamic_slice_in_dim(carry["noisy"].value, start, term.history)
        return carry["clean"].value[::-1].reshape(-1), seen[::-1].reshape(-1), carry


def _push(past: Latch, value: jax.Array) -> Latch:
    """The past `[K, D]`, newest first, with one more value; all of it that value at the start."""
    return Latch.holding(jnp.concatenate([value[None], past.get(value)[:-1]]))


class ObservationManager(Manager[Channel]):
    """The observations of N environments, concatenated by group.

    Args:
        terms: the observations, bound.
        layout: their sizes and groups.
        ctrl_dt: s between two observations.
        num_envs: N.
        noisy_groups: the groups that see bias, noise and delay; the others see clean values.

    Raises:
        UserError: a noisy group that no observation is in, unless it is a group that observations
            are in by default.
    """

    kind = "observations"

    def __init__(
        self,
        terms: Mapping[str, Observation],
        layout: Layout,
        ctrl_dt: float,
        num_envs: int,
        noisy_groups: Collection[str],
    ) -> None:
        sizes = layout.sizes
        channels = {n: Channel(term=t, size=sizes[n], ctrl_dt=ctrl_dt) for n, t in terms.items()}
        super().__init__(channels, num_envs)
        self._groups = layout.groups
        self._noisy = noisy_groups
        for group in noisy_groups:
            if group not in {*layout.groups, *Observation.groups}:
                raise UserError(
                    f"noisy_groups: no observation is in the group '{group}'."
                    f" Groups: {listing(layout.groups)}"
                )

    def __call__(
        self, steps: Step, carry: dict[str, Any], key: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        """group -> `[N, O]` what is seen after a step, and the new carries."""
        clean, noisy, carries = {}, {}, {}
        for name, channel in self.terms.items():
            keys = self.keys(key, name)
            clean[name], noisy[name], carries[name] = jax.vmap(channel)(steps, carry[name], keys)
        obs = {}
        for group, names in self._groups.items():
            seen = noisy if group in self._noisy else clean
            obs[group] = jnp.concatenate([seen[name] for name in names], axis=1)
        return obs, carries

    def beyond(self, obs: Mapping[str, jax.Array], limit: float) -> dict[str, jax.Array]:
        """`observations.<name>` -> `[N]` bool: not finite, or larger than the limit, in a group.

        Args:
            obs: group -> `[N, O]`.
            limit: of the size of a number.
        """
        bad: dict[str, jax.Array] = {}
        for group, sizes in self._groups.items():
            parts = jnp.split(obs[group], [*accumulate(sizes.values())][:-1], axis=1)
            for name, part in zip(sizes, parts, strict=True):
                mask = beyond(part, self.num_envs, limit)
                key = f"observations.{name}"
                bad[key] = bad[key] | mask if key in bad else mask
        return bad
