"""What a term is.

A term is a frozen dataclass: its fields are its YAML. `edit` may add to the model before it is
compiled, `bind` turns names into indices once, `init` gives the carry at the start of an episode
(`()` when there is none), and the call takes and returns it. A call sees one environment and one
step; `ksim_cli.env` batches.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from ksim_cli.registry import FILTERS, NOISES, SCALES, Registry
from ksim_cli.types import EpisodeStatistics, Marker, Step

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
class ActionTerm(Term):
    """Mixin of terms that remember actions; `Mdp.bind` tells them how many elements one has."""

    action_size: int = resolved(0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A factor that depends on the curriculum level."""

    registry: ClassVar[Registry[Any]] = SCALES

    def __call__(self, level: jax.Array) -> jax.Array:
        """The factor at a level in [0, 1]."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Disturbs a value.

    Attributes:
        scale: how its size depends on the curriculum level; null: in proportion.
    """

    registry: ClassVar[Registry[Any]] = NOISES
    scale: Scale | None = None

    def __call__(self, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
        """The disturbed value, of the same shape; `key` alone decides the draw."""
        return self.disturb(value, key, scaled(self.scale, level))

    def disturb(self, value: jax.Array, key: jax.Array, size: jax.Array) -> jax.Array:
        """The value disturbed by `size` times the declared noise."""
        raise NotImplementedError


Noises = Noise | tuple[Noise, ...] | None
"""No noise, one, or several in order."""


def disturbed(noises: Noises, value: jax.Array, key: jax.Array, level: jax.Array) -> jax.Array:
    """A value after all of its noises, each with a draw of its own."""
    each = noises if isinstance(noises, tuple) else () if noises is None else (noises,)
    for i, noise in enumerate(each):
        value = noise(value, jax.random.fold_in(key, i), level)
    return value


def scaled(scale: Scale | None, level: jax.Array) -> jax.Array:
    """The factor of a scale; the level itself where there is none."""
    return level if scale is None else scale(level)


@dataclass(frozen=True, kw_only=True)
class Observation(Term):
    """Something the networks see: clean in the critic's group, disturbed in the actor's.

    Attributes:
        groups: which networks see it: `actor`, `critic`.
        noise: drawn anew at each step.
        bias: the same kinds of terms, drawn once per episode.
        delay: s, or the range [low, high] it is drawn from per episode; times the level.
        history: how many of the last values are seen, the newest last.
    """

    groups: tuple[str, ...] = ("actor", "critic")
    noise: Noises = None
    bias: Noises = None
    delay: float | tuple[float, float] = 0.0
    history: int = 1

    def __post_init__(self) -> None:
        """Refuses delays and histories that cannot be."""
        low, high = self.delay_range
        if not 0.0 <= low <= high:
            raise ValueError(f"delay={self.delay}: must be seconds, or a range [low, high] of them")
        if self.history < 1:
            raise ValueError(f"history={self.history}: must be at least 1, the newest value")

    @property
    def delay_range(self) -> tuple[float, float]:
        """Lowest and highest delay, s."""
        return self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The clean value, a vector, and the new carry."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Reward(Term):
    """A scalar per step; `weight` carries the sign, a penalty has a negative one.

    Attributes:
        weight: factor.
        scale: how the weight depends on the curriculum level; null: not at all.
    """

    weight: float = 1.0
    scale: Scale | None = None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """The unweighted reward of a step and the new carry."""
        raise NotImplementedError

    def markers(self, step: Step) -> tuple[Marker, ...]:
        """What a viewer may draw to show the reward."""
        del step
        return ()


@dataclass(frozen=True, kw_only=True)
class Termination(Term):
    """Ends an episode. A class with `truncates` ends it for lack of time, which is no failure.

    Attributes:
        disable_at_curriculum_level: at this level and above it the termination is off.
    """

    truncates: ClassVar[bool] = False
    disable_at_curriculum_level: float | None = None

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
    """Edits the pose an episode starts from; resets apply in order, from the model's home pose."""

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """The edited pose."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Command(Term):
    """A target that the policy is told and rewards compare with."""

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The command for the next step, a vector, and the new carry; called after `init` too."""
        raise NotImplementedError

    def error(self, step: Step, value: jax.Array) -> jax.Array | None:
        """How far a step is from what it was told, a scalar in the command's unit.

        None for a command whose fulfilment cannot be told from the step.
        """
        del step, value
        return None

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """What a viewer may draw to show the command in force."""
        del step, value
        return ()


class Disturbance(struct.PyTreeNode):
    """What an event does to an environment.

    Attributes:
        velocity: `[nv]` change of `qvel`.
        force: `[nbody, 6]` force (N) and torque (N m) on each body during the next control step,
            in the world frame, at the bodies' centres of mass; None for an event without forces.
    """

    velocity: jax.Array
    force: jax.Array | None = None


@dataclass(frozen=True, kw_only=True)
class Event(Term):
    """A disturbance between two control steps.

    Attributes:
        scale: how its size depends on the curriculum level; null: in proportion.
    """

    forces: ClassVar[bool] = False
    scale: Scale | None = None

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """The disturbance and the new carry. A class with `forces` always gives a force."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Randomizer(Term):
    """Changes a model's constants; starts from the nominal model, composes in order.

    Attributes:
        mode: `startup`: each environment keeps its draw for the run; `reset`: a new draw for
            every episode.
    """

    mode: Literal["startup", "reset"] = "startup"

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Edits `model` in place; derived constants are recomputed by the caller."""
        raise NotImplementedError


class JointState(struct.PyTreeNode):
    """What an actuator knows of its J joints.

    Attributes:
        position: `[J]` rad or m, as its encoders measure them.
        velocity: `[J]` rad/s or m/s.
        level: curriculum level in [0, 1].
    """

    position: jax.Array
    velocity: jax.Array
    level: jax.Array = struct.field(default_factory=lambda: jnp.ones(()))


@dataclass(frozen=True, kw_only=True)
class ActionFilter:
    """Changes an actuator's action before it is sent, once per control step."""

    registry: ClassVar[Registry[Any]] = FILTERS

    def init(self, size: int) -> Carry:
        """The carry at the start of an episode, for an action of `size` elements."""
        del size
        return ()

    def __call__(
        self, action: jax.Array, rest: jax.Array, dt: float, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """The filtered action.

        Args:
            action: `[A]` the action asked for.
            rest: `[A]` the action that would leave the joints where they are.
            dt: s between two actions.
            carry: the carry.

        Returns:
            `[A]` and the new carry.
        """
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
