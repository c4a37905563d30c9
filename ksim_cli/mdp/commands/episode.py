"""Commands that follow from the start of an episode: where it began, and a gait's clock."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.commands.motion import BLUE, UPRIGHT
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.term import Carry, Command, Latch
from ksim_cli.registry import COMMANDS
from ksim_cli.types import Marker, Step


@dataclass(frozen=True, kw_only=True)
class Started(BaseTerm, Command):
    """Base of commands that hold on to what was at the start of the episode.

    Attributes:
        size: elements of the value.
    """

    size: ClassVar[int]

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return Latch.empty(self.size)

    def now(self, step: Step) -> jax.Array:
        """What is held on to, as it is now, `[size]`."""
        raise NotImplementedError

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        value = carry.get(self.now(step))
        return value, Latch.holding(value)


@COMMANDS.register("start_position")
@dataclass(frozen=True, kw_only=True)
class StartPosition(Started):
    """Where the base was when the episode began, [x, y, z] m."""

    size: ClassVar[int] = 3

    def now(self, step: Step) -> jax.Array:
        """See `Started`."""
        return self.base.position(step.view)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """A sphere there."""
        return (Marker("sphere", value, jnp.array(UPRIGHT), jnp.full(3, 0.05), BLUE),)


@COMMANDS.register("start_quaternion")
@dataclass(frozen=True, kw_only=True)
class StartQuaternion(Started):
    """How the base was turned when the episode began: a unit quaternion, w first."""

    size: ClassVar[int] = 4

    def now(self, step: Step) -> jax.Array:
        """See `Started`."""
        return self.base.quaternion(step.view)

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """An arrow where the base looked."""
        size = jnp.array([0.4, 0.02, 0.02])
        return (Marker("arrow", self.base.position(step.view), value, size, BLUE),)


@COMMANDS.register("sinusoidal_gait")
@dataclass(frozen=True, kw_only=True)
class SinusoidalGait(Command):
    """Heights wanted of F feet above the ground, m: half waves, then a while on the ground.

    With the phase p_i = t / period + offset_i, modulo 1, and t from the start of the episode:
    height_i = height_offset + max_height sin(pi p_i / (1 - stance_ratio)) while p_i is below
    1 - stance_ratio, and height_offset from there on.

    Attributes:
        period: of a gait cycle, s.
        max_height: m.
        offsets: share of the cycle that each foot is ahead, e.g. [0, 0.5].
        stance_ratio: share of the cycle that a foot is on the ground.
        height_offset: added to all heights, m.
        standing_command: name of a command; while it is (nearly) zero the feet stay down.
    """

    period: float
    max_height: float
    offsets: tuple[float, ...] = (0.0, 0.5)
    stance_ratio: float = 0.5
    height_offset: float = 0.0
    standing_command: str | None = None

    def __post_init__(self) -> None:
        """Refuses a cycle without a swing."""
        if not self.period > 0:
            raise ValueError(f"period={self.period}: must be positive")
        if not 0.0 <= self.stance_ratio < 1.0:
            raise ValueError(f"stance_ratio={self.stance_ratio}: must be in [0, 1)")

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        phase = gait_phase(step.time, self.period, self.offsets)
        swing = jnp.minimum(phase / (1.0 - self.stance_ratio), 1.0)
        height = self.max_height * jnp.maximum(0.0, jnp.sin(math.pi * swing))
        if self.standing_command is not None:
            still = jnp.linalg.norm(commanded(step, self.standing_command)) < 0.05
            height = jnp.where(still, 0.0, height)
        return height + self.height_offset, carry


def gait_phase(time: jax.Array, period: float, offsets: tuple[float, ...]) -> jax.Array:
    """`[F]` share of a gait cycle that each foot has behind it, in [0, 1).

    Args:
        time: s since the episode began.
        period: of the cycle, s.
        offsets: share of the cycle that each foot is ahead.
    """
    return jnp.mod(time / period + jnp.array(offsets), 1.0)
