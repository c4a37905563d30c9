"""What a term is.

A term is a frozen dataclass: its fields are its YAML. `edit` may add to the model before it is
compiled, `bind` turns names into indices once, `init` gives the carry at the start of an episode
(`()` when there is none), and the call takes and returns it. A call sees one environment and one
step; `ksim_cli.env` batches.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import mujoco
import numpy as np
from flax import struct

from ksim_cli.types import EpisodeStatistics, Step

Carry = Any
"""State of a term within an episode: any pytree of arrays, `()` for none."""


def resolved(default: Any = ()) -> Any:
    """A field that `bind` fills in and YAML cannot set."""
    return dataclasses.field(default=default, repr=False, metadata={"resolved": True})


@dataclass(frozen=True, kw_only=True)
class Term:
    """Base of every term."""

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Adds what the term needs (a sensor, a site) to the model before it is compiled."""

    def bind(self, model: mujoco.MjModel) -> Self:
        """The term with names turned into indices of this model.

        Raises:
            UserError: a name that the model does not have; the message lists those it has.
        """
        del model
        return self

    def init(self, key: jax.Array) -> Carry:
        """The carry at the start of an episode."""
        del key
        return ()


@dataclass(frozen=True, kw_only=True)
class Observation(Term):
    """Something the networks see.

    Attributes:
        groups: which networks see it: `actor`, `critic`. The actor's is the noisy value.
        noise: a noise term's section, or a list of them, applied in order.
    """

    groups: tuple[str, ...] = ("actor", "critic")
    noise: Any = None

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The clean value, a vector, and the new carry."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Reward(Term):
    """A scalar per step; `weight` carries the sign, a penalty has a negative one."""

    weight: float = 1.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """The unweighted reward of a step and the new carry."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Termination(Term):
    """Ends an episode. A class with `truncates` ends it for lack of time, which is no failure."""

    truncates: ClassVar[bool] = False

    def longest_episode(self) -> float | None:
        """Upper bound of the episode's length, s; None where the term gives none."""
        return None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """-1 failure, +1 success, 0 none (a truncation: whether it applies), and the carry."""
        raise NotImplementedError


class Pose(struct.PyTreeNode):
    """What a reset decides: `qpos` `[nq]` and `qvel` `[nv]`."""

    qpos: jax.Array
    qvel: jax.Array


@dataclass(frozen=True, kw_only=True)
class Reset(Term):
    """Edits the pose an episode starts from; resets apply in order, from the model's default."""

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """The edited pose."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Command(Term):
    """A target that the policy is told and rewards compare with."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The command for the next step, a vector, and the new carry; called after `init` too."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Event(Term):
    """A disturbance between two control steps."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The change of velocity `[nv]` and the new carry."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Randomizer(Term):
    """Changes a model's constants; starts from the nominal model, composes in order."""

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Edits `model` in place; derived constants are recomputed by the caller."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Disturbs an observation; its size scales with the curriculum level."""

    def __call__(self, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
        """The disturbed value, of the same shape."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Curriculum(Term):
    """Moves one level in [0, 1], shared by all environments, once per rollout."""

    def initial_level(self) -> float:
        """The level training starts at."""
        raise NotImplementedError

    def __call__(
        self, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """The next level and the new carry."""
        raise NotImplementedError
