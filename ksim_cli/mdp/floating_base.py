"""Terms of the base: the body that the robot's free joint moves, or one that is named."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import mujoco

from ksim_cli.errors import UserError
from ksim_cli.mdp import maths
from ksim_cli.mdp.sensors import add_frame_sensor, sensor_address
from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.free_base import base_body, floats, free_joint_of, possible_bases


@dataclass(frozen=True)
class Base:
    """Where the state of a base is found.

    On a free joint it is read from `qpos` and `qvel`, which are those after the step. All else in a
    view is one physics step older: whatever is turned into the base's frame, or counted from it, is
    so by `sensed_position` and `sensed_quaternion`, which are as old.

    Attributes:
        body: index of the body.
        qpos: address in `qpos` of its free joint, None where it has none.
        dof: address in `qvel` of that.
        linear: address in `sensordata` of its velocity where it has no free joint.
        angular: the same of its angular velocity.
    """

    body: int
    qpos: int | None = None
    dof: int | None = None
    linear: int = 0
    angular: int = 0

    def position(self, view: View) -> jax.Array:
        """`[3]` m, world frame."""
        if self.qpos is None:
            return self.sensed_position(view)
        return view.qpos[self.qpos : self.qpos + 3]

    def quaternion(self, view: View) -> jax.Array:
        """`[4]` orientation in the world frame, w first."""
        if self.qpos is None:
            return self.sensed_quaternion(view)
        return view.qpos[self.qpos + 3 : self.qpos + 7]

    def sensed_position(self, view: View) -> jax.Array:
        """`[3]` m, world frame, when sensors, bodies, geoms and sites were where the view says."""
        return view.xpos[self.body]

    def sensed_quaternion(self, view: View) -> jax.Array:
        """`[4]` orientation in the world frame of that moment, w first."""
        return view.xquat[self.body]

    def linear_velocity(self, view: View) -> jax.Array:
        """`[3]` m/s of the body's origin, world frame."""
        if self.dof is None:
            return view.sensordata[self.linear : self.linear + 3]
        return view.qvel[self.dof : self.dof + 3]

    def angular_velocity(self, view: View) -> jax.Array:
        """`[3]` rad/s, the body's own frame."""
        if self.dof is None:
            world = view.sensordata[self.angular : self.angular + 3]
            return maths.unrotate(world, self.quaternion(view))
        return view.qvel[self.dof + 3 : self.dof + 6]

    def heading_velocity(self, view: View) -> jax.Array:
        """`[3]` m/s of the body's origin, in the frame that only follows its yaw."""
        return maths.unrotate(self.linear_velocity(view), maths.heading(self.quaternion(view)))


@dataclass(frozen=True, kw_only=True)
class BaseTerm(Term):
    """Mixin of terms that look at the base.

    Attributes:
        body: name of the body; empty: the robot's base (`task.base`, else the body whose free joint
            is above the driven joints, or the one that a standing robot's joints begin at).
    """

    body: str = ""
    base: Base = resolved(Base(body=1))

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: velocity sensors where no free joint tells the velocity."""
        super().edit(spec)
        for body in possible_bases(spec, self.body):
            if not floats(body):
                add_frame_sensor(spec, "framelinvel", "body", body.name)
                add_frame_sensor(spec, "frameangvel", "body", body.name)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        body = base_body(model, self.body)
        joint = free_joint_of(model, body)
        if joint is not None:
            base = Base(body, int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint]))
        else:
            name = model.body(body).name
            linear = sensor_address(model, "framelinvel", "body", name)
            angular = sensor_address(model, "frameangvel", "body", name)
            base = Base(body, linear=linear, angular=angular)
        return replace(super().bind(model), base=base)


@dataclass(frozen=True, kw_only=True)
class FreeBaseTerm(Term):
    """Mixin of terms that move a free base.

    Attributes:
        body: name of the body, which has a free joint; empty: the robot's base, as in other terms.
        qpos_address: address in `qpos` of the free joint.
        dof_address: address in `qvel` of it.
        num_dofs: elements of `qvel`.
    """

    body: str = ""
    qpos_address: int = resolved(0)
    dof_address: int = resolved(0)
    num_dofs: int = resolved(0)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        body = base_body(model, self.body)
        joint = free_joint_of(model, body)
        if joint is None:
            raise UserError(
                f"body '{model.body(body).name}' has no free joint: it cannot be moved or pushed"
            )
        qpos, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        bound = super().bind(model)
        return replace(bound, qpos_address=qpos, dof_address=dof, num_dofs=int(model.nv))
