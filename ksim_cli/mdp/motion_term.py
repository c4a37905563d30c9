"""Terms that follow a reference motion, at the moment that a command says."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp import maths
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.mdp.floating_base import Base, BaseTerm
from ksim_cli.mdp.frames import BodyTerm
from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.term import Pose, Term
from ksim_cli.motion.kinematics import derived_fields
from ksim_cli.motion.motion_set import MotionSet
from ksim_cli.physics.engine import View
from ksim_cli.types import Step


def arrays_field() -> Any:
    """A field that `bind` fills in with arrays: terms are compared without it."""
    return dataclasses.field(default=None, repr=False, compare=False, metadata={"resolved": True})


@dataclass(frozen=True, kw_only=True)
class MotionTerm(Term):
    """Mixin of terms that know the run's reference motions; `Mdp.bind` gives them.

    Attributes:
        motions: the motions at the control rate.
    """

    motions: MotionSet | None = arrays_field()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        if self.motions is None:
            raise UserError("follows a reference motion, and there is none. Type motion=FILE")
        return super().bind(model)

    @property
    def clips(self) -> MotionSet:
        """The motions, of a term that is bound."""
        assert self.motions is not None
        return self.motions


def moment_of(value: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Clip and frame `[...]`, int32, of values `[..., 2]` of a command of type `motion`."""
    clip, frame = jnp.moveaxis(jnp.round(value).astype(jnp.int32), -1, 0)
    return clip, frame


@dataclass(frozen=True, kw_only=True)
class ReferenceTerm(MotionTerm):
    """Mixin of terms that compare with the motion at the moment of a command.

    The command in force during a step says the moment at its beginning. After the step rewards
    and terminations compare with the frame after that; observations, which see the command for the
    next step, compare with its own.

    Attributes:
        command: name of a command of type `motion`.
    """

    command: str = "motion"

    def moment(self, step: Step | Pose) -> tuple[jax.Array, jax.Array]:
        """Clip and frame of the command, int32."""
        return moment_of(commanded(step, self.command, 2))

    def reference(self, step: Step, ahead: int) -> View:
        """The motion's state some control steps after the command's moment, as a view."""
        clip, frame = self.moment(step)
        qpos, qvel = self.clips.state(clip, frame + ahead)
        row = self.clips.row(clip, frame + ahead)
        return View({"qpos": qpos, "qvel": qvel, **self.derived(row)})

    def derived(self, row: jax.Array) -> dict[str, jax.Array]:
        """Fields of the view besides `qpos` and `qvel` in a row of the motions."""
        del row
        return {}


def motion_views(model: mujoco.MjModel, motions: MotionSet, *fields: str) -> View:
    """Views `[S, ...]` of all frames of some motions, as steps that led there leave them."""
    qpos, qvel = (np.asarray(x, np.float64) for x in (motions.qpos, motions.qvel))
    age = float(model.opt.timestep)
    found = derived_fields(model, qpos, qvel, ("qpos", "qvel", *fields), age)
    return View({name: jnp.asarray(value) for name, value in found.items()})


def tabulate(function: Callable[[View], jax.Array], views: View) -> jax.Array:
    """`[S, ...]` what a function of one view gives for each of many."""
    return jax.jit(jax.vmap(function))(views)


def seen_from_base(view: View, base: Base, bodies: Sequence[int]) -> jax.Array:
    """`[P, 3]` m, the origins of some bodies in the base's frame."""
    away = view.xpos[np.array(bodies, int)] - base.sensed_position(view)[None]
    return jax.vmap(maths.unrotate, in_axes=(0, None))(away, base.sensed_quaternion(view))


@dataclass(frozen=True, kw_only=True)
class JointReference(JointTerm, ReferenceTerm):
    """Mixin of terms of the joints' positions and velocities in the motion."""

    def positions(self, view: View) -> jax.Array:
        """`[J]` rad or m."""
        return maths.pick(view.qpos, self.qpos_addresses)

    def velocities(self, view: View) -> jax.Array:
        """`[J]` rad/s or m/s."""
        return maths.pick(view.qvel, self.dof_addresses)


@dataclass(frozen=True, kw_only=True)
class BaseReference(BaseTerm, ReferenceTerm):
    """Mixin of terms of the base's pose and velocity in the motion.

    Attributes:
        tables: field of the view -> `[S, ...]` its values, where no free joint tells the pose.
    """

    tables: Any = arrays_field()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bound = super().bind(model)
        if bound.base.qpos is not None:
            return bound
        views = motion_views(model, bound.clips, "xpos", "xquat", "sensordata")
        return replace(bound, tables=views.fields())

    def derived(self, row: jax.Array) -> dict[str, jax.Array]:
        """See `ReferenceTerm`."""
        tables = self.tables or {}
        return {name: tables[name][row] for name in tables if name not in ("qpos", "qvel", "time")}

    def orientation_error(self, view: View, reference: View) -> jax.Array:
        """`[3]` rad, the turn from the base to the motion's base about an axis of the base's."""
        inverse = maths.conjugate(self.base.quaternion(view))
        turn = maths.positive(maths.multiply(inverse, self.base.quaternion(reference)))
        sine = jnp.sqrt(jnp.square(turn[1:]).sum() + 1e-16)
        return 2.0 * jnp.arctan2(sine, turn[0]) / sine * turn[1:]


@dataclass(frozen=True, kw_only=True)
class BodyReference(BodyTerm, BaseTerm, ReferenceTerm):
    """Mixin of terms of where bodies are in the base's frame.

    Attributes:
        bodies: names or patterns; the world is none of them.
        table: `[S, P, 3]` m, where they are in the motion.
    """

    table: Any = arrays_field()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        bound = super().bind(model)
        bound = replace(bound, body_ids=tuple(i for i in bound.body_ids if i))
        views = motion_views(model, bound.clips, "xpos", "xquat")
        return replace(bound, table=tabulate(bound.positions, views))

    def positions(self, view: View) -> jax.Array:
        """`[P, 3]` m, in the base's frame."""
        return seen_from_base(view, self.base, self.body_ids)

    def body_errors(self, step: Step) -> jax.Array:
        """`[P]` m, how far each body is, after a step, from where the motion has it."""
        clip, frame = self.moment(step)
        wanted = self.table[self.clips.row(clip, frame + 1)]
        return jnp.linalg.norm(self.positions(step.view) - wanted, axis=1)
