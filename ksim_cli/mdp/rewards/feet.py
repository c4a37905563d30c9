"""Rewards of feet. What touches what is told by contact sensors only."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.feet import FeetTerm
from ksim_cli.mdp.rewards.tracking import ordered_to_move
from ksim_cli.mdp.sensors import FORCES
from ksim_cli.mdp.term import Carry, Reward
from ksim_cli.registry import REWARDS
from ksim_cli.types import Step


@REWARDS.register("feet_air_time")
@dataclass(frozen=True, kw_only=True)
class FeetAirTime(FeetTerm, Reward):
    """At each touch-down min(air time, maximum) - threshold, s; else 0. Summed over the feet.

    Long steps are rewarded and short ones penalised (Rudin et al. 2022, "Learning to Walk in
    Minutes").

    Attributes:
        threshold: air time worth nothing, s.
        maximum: longest air time that counts, s.
        commands: names of commands; nothing is given while all of them are zero.
    """

    threshold: float = 0.2
    maximum: float = 0.5
    commands: tuple[str, ...] = ()

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`: time in the air of each foot, s, and whether it touched."""
        count = len(self.frames.ids)
        return {"air": jnp.zeros(count), "touched": jnp.ones(count, bool)}

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        landed = touching & ~carry["touched"]
        worth = jnp.minimum(carry["air"], self.maximum) - self.threshold
        value = jnp.where(landed, worth, 0.0).sum()
        value = jnp.where(ordered_to_move(step, self.commands), value, 0.0)
        air = jnp.where(touching, 0.0, carry["air"] + step.ctrl_dt)
        return value, {"air": air, "touched": touching}


@REWARDS.register("feet_slip")
@dataclass(frozen=True, kw_only=True)
class FeetSlip(FeetTerm, Reward):
    """Sum over touching feet of their frames' squared horizontal speed, (m/s)^2. A penalty."""

    motion: ClassVar[bool] = True

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        touching = self.contacts.touching(step.view)
        speed = jnp.square(self.velocity(step.view)[:, :2]).sum(-1)
        return jnp.where(touching, speed, 0.0).sum(), carry


@REWARDS.register("feet_clearance")
@dataclass(frozen=True, kw_only=True)
class FeetClearance(FeetTerm, Reward):
    """Sum over feet of (z - height)^2 times their frames' horizontal speed: swing high. A penalty.

    Attributes:
        height: of the foot's frame while it swings, m.
    """

    motion: ClassVar[bool] = True
    height: float = 0.1

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        speed = jnp.sqrt(jnp.square(self.velocity(step.view)[:, :2]).sum(-1))
        error = jnp.square(self.frames.position(step.view)[:, 2] - self.height)
        return (error * speed).sum(), carry


@REWARDS.register("sinusoidal_gait")
@dataclass(frozen=True, kw_only=True)
class SinusoidalGaitTracking(FeetTerm, Reward):
    """exp(-mean (z - ground - command)^2 / sigma^2) over the feet's heights. Range (0, 1].

    Attributes:
        command: name of a command with one height per foot, m.
        ground: height of a foot's frame that stands, m.
        sigma: m.
    """

    command: str = "sinusoidal_gait"
    ground: float = 0.0
    sigma: float = 0.05

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        height = self.frames.position(step.view)[:, 2] - self.ground
        error = jnp.square(height - commanded(step, self.command, len(self.frames.ids))).mean()
        return jnp.exp(-error / self.sigma**2), carry


@REWARDS.register("force")
@dataclass(frozen=True, kw_only=True)
class ForcePenalty(FeetTerm, Reward):
    """Sum over feet of the net contact force beyond a threshold, N. From 0 up, a penalty.

    Attributes:
        threshold: N.
    """

    wanted: ClassVar[tuple[str, ...]] = FORCES
    threshold: float = 0.0

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        force = jnp.linalg.norm(self.contacts.force(step.view), axis=1)
        return jnp.maximum(force - self.threshold, 0.0).sum(), carry
