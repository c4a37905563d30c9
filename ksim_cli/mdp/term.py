"""Base classes of terms, one per kind.

A term is a frozen dataclass: its fields are its YAML. `edit` may add to the model before it is
compiled, `bind` turns names into indices once, `init` gives the carry at the start of an episode
(`()` when there is none), and the call takes and returns it. A call sees one environment and one
step; the manager of its kind batches.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct

from ksim_cli.errors import UserError
from ksim_cli.mdp.level_schedules import Scale
from ksim_cli.mdp.noise import Noises
from ksim_cli.own_code import place_of
from ksim_cli.types import EpisodeStatistics, Marker, Step, StepResult

Carry = Any
"""State of a term within an episode: any pytree of arrays, `()` for none."""


class Latch(struct.PyTreeNode):
    """A value that a carry holds from the first step of an episode on; it is unknown before.

    Attributes:
        value: the value; zeros before it is known.
        is_set: bool, whether it is known.
    """

    value: jax.Array
    is_set: jax.Array

    @classmethod
    def empty(cls, *shape: int) -> "Latch":
        """A latch for a value of some shape, unknown yet."""
        return cls(jnp.zeros(shape), jnp.zeros((), bool))

    @classmethod
    def holding(cls, value: jax.Array) -> "Latch":
        """A latch that holds a value."""
        return cls(value, jnp.ones((), bool))

    def get(self, otherwise: jax.Array) -> jax.Array:
        """The value held, or `otherwise` (broadcast to its shape) before there is one."""
        otherwise = jnp.broadcast_to(otherwise, self.value.shape)
        return jnp.where(self.is_set, self.value, otherwise)


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


def checked(term: Term, given: Any, carry: Carry) -> tuple[Any, Carry]:
    """What a term's call gave, once it is a value and a carry like the one it was given.

    Args:
        term: the term.
        given: what its call returned.
        carry: the carry it was called with.

    Raises:
        UserError: it gave something else.
    """
    place = place_of(type(term))
    if not isinstance(given, tuple) or len(given) != 2:
        what = "an array" if isinstance(given, jax.Array) else f"a {type(given).__name__}"
        what = f"{len(given)} values" if isinstance(given, tuple) else what
        raise UserError(f"its call returned {what}{place}. It is to return value, carry")
    before, after = (_described(each) for each in (carry, given[1]))
    if before != after:
        raise UserError(
            f"its carry changed from {before} to {after}{place}. What `init` gives and what the"
            " call returns must be alike"
        )
    return given


def _described(carry: Carry) -> str:
    """Structure, shapes and types of a carry."""
    return str(jax.tree.map(lambda x: f"{jnp.result_type(x)}{list(jnp.shape(x))}", carry))


@dataclass(frozen=True, kw_only=True)
class ActionTerm(Term):
    """Mixin of terms that remember actions; `Mdp.bind` tells them how many elements one has."""

    action_size: int = resolved(0)


@dataclass(frozen=True, kw_only=True)
class Observation(Term):
    """Something the networks see; bias, noise and delay are for the run's `noisy_groups` only.

    Attributes:
        groups: the groups of observations it is in; the model says which network sees which.
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
        stages: [{iteration: 500, …}, …]: parameters that change after that many iterations.
    """

    weight: float = 1.0
    scale: Scale | None = None
    stages: tuple[dict[str, Any], ...] = ()

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
        stages: [{iteration: 500, …}, …]: parameters that change after that many iterations.
    """

    truncates: ClassVar[bool] = False
    disable_at_curriculum_level: float | None = None
    stages: tuple[dict[str, Any], ...] = ()

    def longest_episode(self) -> float | None:
        """Upper bound of the episode's length, s; None where the term gives none."""
        return None

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """-1 failure, +1 success, 0 none (a truncation: whether it applies), and the carry."""
        raise NotImplementedError


class Pose(struct.PyTreeNode):
    """A pose that resets edit, and the commands they may go by.

    Attributes:
        qpos: `[nq]` positions.
        qvel: `[nv]` velocities.
        commands: command name -> value that the episode begins with, of the commands that do not
            read the view; a reset cannot change them.
    """

    qpos: jax.Array
    qvel: jax.Array
    commands: dict[str, jax.Array] = struct.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reset(Term):
    """Edits the pose an episode starts from; resets apply in order, from the model's home pose.

    Then closed loops are closed (`ksim_cli.mdp.closed_loops`), unless all resets of a task belong
    to classes with `keeps_loops`: what they leave is taken as it is. Those of classes with
    `comes_last`, which give the whole state, apply after the others.
    """

    keeps_loops: ClassVar[bool] = False
    comes_last: ClassVar[bool] = False

    def __call__(self, pose: Pose, key: jax.Array, level: jax.Array) -> Pose:
        """The edited pose."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Command(Term):
    """A target that the policy is told and rewards compare with.

    It may read other commands, but not in a circle, and the view. One that does not read the view,
    nor a command that does, is drawn before an episode's reset, which may go by it.

    One that draws by what happened in earlier episodes keeps that in a state which all environments
    share: `initial_shared`, read by `begin` and renewed by `update_shared` after each rollout.

    Attributes:
        stages: [{iteration: 500, …}, …]: parameters that change after that many iterations.
    """

    stages: tuple[dict[str, Any], ...] = ()

    def initial_shared(self) -> Any:
        """What all environments share at the start of training: any pytree of arrays."""
        return ()

    def update_shared(self, shared: Any, value: jax.Array, results: StepResult) -> Any:
        """What they share after a rollout.

        Args:
            shared: what they shared in it.
            value: `[T, N, ...]` the command that was in force in each step.
            results: what the steps left.
        """
        del value, results
        return shared

    def begin(self, key: jax.Array, shared: Any) -> Carry:
        """The carry at the start of an episode, which may go by what is shared."""
        del shared
        return self.init(key)

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """The command for the next step, a vector, and the new carry; called after `init` too.

        Args:
            step: the step; `commands` holds the new values of the commands it reads. At the start
                of an episode the action is zero.
            carry: the carry.
            key: random key of this step.
        """
        raise NotImplementedError

    @property
    def is_measured(self) -> bool:
        """Whether a step tells how far it is from what it was told: a class that has `error`."""
        return type(self).error is not Command.error

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """How far a step is from what it was told, a scalar in the command's unit."""
        raise NotImplementedError

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """What a viewer may draw to show the command in force."""
        del step, value
        return ()


class Disturbance(struct.PyTreeNode):
    """What an event does to an environment.

    Attributes:
        velocity: `[nv]` change of `qvel`; None for an event without any.
        force: `[nbody, 6]` force (N) and torque (N m) on each body during the next control step,
            in the world frame, at the bodies' centres of mass; None for an event without forces.
    """

    velocity: jax.Array | None = None
    force: jax.Array | None = None


@dataclass(frozen=True, kw_only=True)
class Event(Term):
    """A disturbance between two control steps.

    Attributes:
        scale: how its size depends on the curriculum level; null: in proportion.
        stages: [{iteration: 500, …}, …]: parameters that change after that many iterations.
    """

    scale: Scale | None = None
    stages: tuple[dict[str, Any], ...] = ()

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[Disturbance, Carry]:
        """The disturbance and the new carry. What it has, it has at every step."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Randomizer(Term):
    """Changes a model's constants; starts from the nominal model, composes in order.

    Attributes:
        mode: `startup`: each environment keeps its draw for the run; `reset`: a new draw for
            every episode.
    """

    mode: Literal["startup", "reset"] = "startup"

    def without_effect(self, model: mujoco.MjModel) -> str:
        """Words for what it is to change but cannot, such as by a factor of 0; empty: all it can.

        Args:
            model: as the randomizers before it left it.

        Raises:
            UserError: it can change nothing of what it names.
        """
        del model
        return ""

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Edits `model` in place; derived constants are recomputed by the caller."""
        raise NotImplementedError


class JointState(struct.PyTreeNode):
    """What an actuator knows of its J joints.

    Attributes:
        position: `[J]` rad or m, as its encoders measure them.
        velocity: `[J]` rad/s or m/s.
        level: curriculum level in [0, 1].
        offset: `[J]` rad or m by which the encoders read too little.
    """

    position: jax.Array
    velocity: jax.Array
    level: jax.Array = struct.field(default_factory=lambda: jnp.ones(()))
    offset: jax.Array = struct.field(default_factory=lambda: jnp.zeros(()))


@dataclass(frozen=True, kw_only=True)
class Curriculum(Term):
    """Moves one level in [0, 1], shared by all environments, once per rollout."""

    def initial_level(self) -> float:
        """The level training starts at."""
        raise NotImplementedError

    def __call__(
        self, level: jax.Array, statistics: EpisodeStatistics, carry: Carry
    ) -> tuple[jax.Array, Carry]:
        """The next level and the new carry; both stay where one of them is not finite."""
        raise NotImplementedError
