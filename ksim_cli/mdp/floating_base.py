"""Terms of the base: the body that a free joint moves, or on a fixed base a body one names."""

from dataclasses import dataclass, replace
from typing import Any, Self

import jax
import mujoco

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.mdp import maths
from ksim_cli.mdp.sensors import add_frame_sensor, sensor_address
from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import free_joint


@dataclass(frozen=True)
class Base:
    """Where the state of a base is found.

    On a free joint it is read from `qpos` and `qvel`, which are those after the step; elsewhere
    from the body's frame and its sensors, which lag by one physics step.

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
        return view.xpos[self.body] if self.qpos is None else view.qpos[self.qpos : self.qpos + 3]

    def quaternion(self, view: View) -> jax.Array:
        """`[4]` orientation in the world frame, w first."""
        if self.qpos is None:
            return view.xquat[self.body]
        return view.qpos[self.qpos + 3 : self.qpos + 7]

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
        body: name of the body; empty: the one the free joint moves, or on a fixed base the first.
    """

    body: str = ""
    base: Base = resolved(Base(body=1))

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: velocity sensors where no free joint tells the velocity."""
        super().edit(spec)
        body = base_body(spec, self.body)
        if not _is_free(body):
            add_frame_sensor(spec, "framelinvel", "body", body.name)
            add_frame_sensor(spec, "frameangvel", "body", body.name)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        body = int(model.body(self.body).id) if self.body else None
        joint = free_joint(model, body)
        if body is None:
            body = 1 if joint is None else int(model.jnt_bodyid[joint])
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
        qpos_address: address in `qpos` of the free joint.
        dof_address: address in `qvel` of it.
        num_dofs: elements of `qvel`.
    """

    qpos_address: int = resolved(0)
    dof_address: int = resolved(0)
    num_dofs: int = resolved(0)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        joint = free_joint(model)
        if joint is None:
            raise UserError("the model has no free joint: its base cannot be moved or pushed")
        qpos, dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
        bound = super().bind(model)
        return replace(bound, qpos_address=qpos, dof_address=dof, num_dofs=int(model.nv))


def base_body(spec: mujoco.MjSpec, name: str) -> Any:
    """The body of a spec that `BaseTerm.body` means.

    Raises:
        UserError: no such body.
    """
    bodies = [b for b in spec.bodies if b.name != "world"]
    if name:
        names = [b.name for b in bodies]
        if name not in names:
            raise UserError(
                f"no body '{name}' in the model.{nearest(name, names)} Available: {listing(names)}"
            )
        return spec.body(name)
    if not bodies:
        raise UserError("the model has no body")
    return next((b for b in bodies if _is_free(b)), bodies[0])


def _is_free(body: Any) -> bool:
    return any(j.type == mujoco.mjtJoint.mjJNT_FREE for j in body.joints)
