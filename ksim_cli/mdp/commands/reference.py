"""The command to follow a reference motion: which clip, and how far it is."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.mdp import maths
from ksim_cli.mdp.floating_base import BaseTerm
from ksim_cli.mdp.moments import (
    Bins,
    Outcomes,
    make_bins,
    no_outcomes,
    probabilities,
    with_outcomes,
)
from ksim_cli.mdp.motion_term import (
    MotionTerm,
    arrays_field,
    moment_of,
    motion_views,
    seen_from_base,
    tabulate,
)
from ksim_cli.mdp.term import Carry, Command, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import joint_addresses, scalar_joints
from ksim_cli.registry import COMMANDS
from ksim_cli.types import Marker, Step, StepResult

ORANGE = (0.95, 0.55, 0.1, 0.6)
_MOST_MARKERS = 32


@COMMANDS.register("motion")
@dataclass(frozen=True, kw_only=True)
class MotionCommand(BaseTerm, MotionTerm, Command):
    """The moment [clip, frame] of the reference motion at a step's beginning, a frame per step.

    An episode starts at a random moment, those in which episodes fail more often; the reset
    `motion` puts the robot into its state. Its error is the mean over joints of |q - q of the
    motion| after the step, rad or m. Source: Peng et al. 2018, "DeepMimic"; Liao et al. 2025,
    "BeyondMimic".

    Attributes:
        start: `random`, or `beginning`: at the first frame of a random clip.
        adaptive: hard moments are drawn more often; false: all by their clips' weights.
        bin_seconds: length of the pieces whose failures are counted, s.
        uniform_share: share of the starts that do not go by failures, in (0, 1].
        spread: pieces that a failure counts for: its own and those before it.
        discount: of a failure for each piece that it comes later, in [0, 1].
        decay: what is left of the counts after a rollout, in [0, 1).
    """

    start: Literal["random", "beginning"] = "random"
    adaptive: bool = True
    bin_seconds: float = 0.5
    uniform_share: float = 0.2
    spread: int = 3
    discount: float = 0.7
    decay: float = 0.95
    bins: Bins | None = arrays_field()
    qpos_addresses: tuple[int, ...] = resolved()
    bodies: tuple[int, ...] = resolved()
    table: Any = arrays_field()

    def __post_init__(self) -> None:
        """Refuses shares and lengths that cannot be."""
        if not self.bin_seconds > 0 or self.spread < 1:
            raise ValueError(f"bin_seconds={self.bin_seconds}, spread={self.spread}: above 0 both")
        if not (0 < self.uniform_share <= 1 and 0 <= self.discount <= 1 and 0 <= self.decay < 1):
            raise ValueError(
                f"uniform_share={self.uniform_share}, discount={self.discount}, decay={self.decay}:"
                " in (0, 1], [0, 1] and [0, 1)"
            )

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bound = super().bind(model)
        joints = joint_addresses(model, ())[0] if scalar_joints(model) else ()
        moving = np.flatnonzero(model.body_weldid != 0)[:_MOST_MARKERS]
        bound = replace(
            bound,
            bins=make_bins(bound.clips, self.bin_seconds, self.spread),
            qpos_addresses=joints,
            bodies=tuple(moving.tolist()),
        )
        views = motion_views(model, bound.clips, "xpos", "xquat")
        return replace(bound, table=tabulate(bound.around_base, views))

    def around_base(self, view: View) -> jax.Array:
        """`[P, 3]` m, the moving bodies in the base's frame."""
        return seen_from_base(view, self.base, self.bodies)

    def initial_shared(self) -> Outcomes:
        """See `Command`."""
        assert self.bins is not None
        return no_outcomes(self.bins)

    def update_shared(self, shared: Outcomes, value: jax.Array, results: StepResult) -> Outcomes:
        """See `Command`: failures are counted at the moments they happened in."""
        assert self.bins is not None
        clip, frame = moment_of(value)
        failed = results.terminated & (results.steps.termination < 0)
        where = self.bins.of(self.clips, clip, frame)
        return with_outcomes(self.bins, shared, where, failed, self.decay)

    def init(self, key: jax.Array) -> Carry:
        """See `Term.init`."""
        return self.begin(key, self.initial_shared())

    def begin(self, key: jax.Array, shared: Outcomes) -> Carry:
        """See `Command`: the moment before the episode's first, int32."""
        assert self.bins is not None
        uniform = self.uniform_share if self.adaptive else 1.0
        clip, frame = self.bins.draw(key, probabilities(self.bins, shared, uniform, self.discount))
        frame = jnp.zeros_like(frame) if self.start == "beginning" else frame
        return jnp.stack([clip, frame - 1])

    def __call__(self, step: Step, carry: Carry, key: jax.Array) -> tuple[jax.Array, Carry]:
        """See `Command`."""
        moment = carry + jnp.array([0, 1], jnp.int32)
        return moment.astype(jnp.float32), moment

    def error(self, step: Step, value: jax.Array) -> jax.Array:
        """Mean over joints of the distance from the motion, rad or m."""
        clip, frame = moment_of(value)
        qpos, _ = self.clips.state(clip, frame + 1)
        off = maths.pick(step.view.qpos - qpos, self.qpos_addresses)
        return jnp.abs(off).sum() / max(1, len(self.qpos_addresses))

    def markers(self, step: Step, value: jax.Array) -> tuple[Marker, ...]:
        """Spheres where the motion has the bodies."""
        clip, frame = moment_of(value)
        qpos, qvel = self.clips.state(clip, frame + 1)
        if self.base.qpos is None:
            place, turn = self.base.position(step.view), self.base.quaternion(step.view)
        else:
            view = View({"qpos": qpos, "qvel": qvel})
            place, turn = self.base.position(view), self.base.quaternion(view)
        around = self.table[self.clips.row(clip, frame + 1)]
        points = place[None] + jax.vmap(maths.rotate, in_axes=(0, None))(around, turn)
        upright, size = jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.full(3, 0.03)
        return tuple(Marker("sphere", point, upright, size, ORANGE) for point in points)
