"""Net contact forces for MJX in JAX, which lacks the reduction `netforce` of contact sensors."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.physics.mjx_import import mjx_support

_NONE, _NETFORCE = 0, 3
_GEOM = int(mujoco.mjtObj.mjOBJ_GEOM)
_TINY = 1e-15


def net_force_sensors(model: mujoco.MjModel) -> list[int]:
    """Indices of the contact sensors that tell a net force."""
    is_contact = model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT
    return np.flatnonzero(is_contact & (model.sensor_intprm[:, 1] == _NETFORCE)).tolist()


@contextmanager
def without_net_forces(model: mujoco.MjModel) -> Generator[None]:
    """Let MJX take a model whose sensors tell net forces: within, they tell any one contact's."""
    sensors = net_force_sensors(model)
    model.sensor_intprm[sensors, 1] = _NONE
    try:
        yield
    finally:
        model.sensor_intprm[sensors, 1] = _NETFORCE


def with_net_forces(model: mujoco.MjModel, data: Any) -> Any:
    """The data of one environment with the net forces as MuJoCo has them.

    A net force stands for one contact in the world's frame: force and torque of all contacts, about
    their centre, to which each counts as much as its force is large.

    Args:
        model: any variant of the compiled model: what is read, all share.
        data: an `mjx.Data` right after a step or a forward pass.
    """
    contact, values = data._impl.contact, data.sensordata
    if not contact.dist.shape[0]:
        return data
    force, torque = _wrenches(model, data)
    for i in net_force_sensors(model):
        sign = _sign(model, i, contact.geom)
        found = ((contact.dist < contact.includemargin) & (sign != 0)).sum()
        each = sign[:, None] * force
        weight = jnp.abs(sign) * jnp.linalg.norm(force, axis=1)
        centre = weight @ contact.pos / jnp.maximum(weight.sum(), _TINY)
        about = sign[:, None] * torque + jnp.cross(contact.pos - centre[None], each)
        told = {
            "found": found[None].astype(jnp.float32),
            "force": each.sum(axis=0),
            "torque": about.sum(axis=0),
            "dist": jnp.zeros(1),
            "pos": centre,
            "normal": jnp.array([1.0, 0.0, 0.0]),
            "tangent": jnp.array([0.0, 1.0, 0.0]),
        }
        held = int(model.sensor_intprm[i, 0])
        value = jnp.concatenate([x for bit, x in enumerate(told.values()) if held & (1 << bit)])
        first, size = int(model.sensor_adr[i]), value.size
        values = values.at[first : first + size].set(jnp.where(found > 0, value, 0.0))
    return data.replace(sensordata=values)


def _wrenches(model: mujoco.MjModel, data: Any) -> tuple[jax.Array, jax.Array]:
    """`[C, 3]` force and torque on the second geom of each contact, in the world's frame."""
    contact = data._impl.contact
    wrench = jnp.zeros((contact.dist.shape[0], 6))
    for dim in sorted({int(dim) for dim in contact.dim}):
        own, where = mjx_support.contact_force_dim(model, data, dim)
        wrench = wrench.at[where].set(own)
    force, torque = (jnp.einsum("cij,ci->cj", contact.frame, x) for x in jnp.split(wrench, 2, 1))
    return force, torque


def _sign(model: mujoco.MjModel, sensor: int, geoms: jax.Array) -> jax.Array:
    """`[C]` 1 for contacts of the sensor's geom with its other, -1 the other way round, else 0."""
    first, second = geoms[:, 0], geoms[:, 1]
    own = _is(model.sensor_objtype[sensor], model.sensor_objid[sensor])
    other = _is(model.sensor_reftype[sensor], model.sensor_refid[sensor])
    return jnp.where(own(first) & other(second), 1, jnp.where(own(second) & other(first), -1, 0))


def _is(kind: int, index: int) -> Callable[[jax.Array], jax.Array]:
    """Whether geoms are the one that a sensor names; any is, where it names none."""
    return lambda geoms: (geoms == index) if kind == _GEOM else jnp.ones(geoms.shape, bool)
