"""Sensors that terms add to a model, and where their numbers stand in `sensordata`."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import match_names, object_names

_OBJECTS = {
    "body": mujoco.mjtObj.mjOBJ_XBODY,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
    "site": mujoco.mjtObj.mjOBJ_SITE,
}
_SENSORS = {
    "framelinvel": mujoco.mjtSensor.mjSENS_FRAMELINVEL,
    "frameangvel": mujoco.mjtSensor.mjSENS_FRAMEANGVEL,
    "framelinacc": mujoco.mjtSensor.mjSENS_FRAMELINACC,
    "frameangacc": mujoco.mjtSensor.mjSENS_FRAMEANGACC,
}
_CONTACT = mujoco.mjtSensor.mjSENS_CONTACT
# Order and sizes of what a contact sensor may hold (mjtConDataField).
_CONTACT_SIZES = {
    "found": 1,
    "force": 3,
    "torque": 3,
    "dist": 1,
    "pos": 3,
    "normal": 3,
    "tangent": 3,
    "linvel": 3,
    "angvel": 3,
}
FOUND = ("found",)
"""What a contact sensor tells of whether there is contact."""

FORCES = ("found", "force", "normal", "tangent")
"""What a contact sensor tells of the force."""

TORQUES = ("found", "force", "torque", "pos", "normal", "tangent")
"""What a contact sensor tells of the torque about any point."""

_BITS = {name: 1 << i for i, name in enumerate(_CONTACT_SIZES)}
_MINDIST = 1
_MOST_CONTACTS = {mujoco.mjtGeom.mjGEOM_SPHERE: 2, mujoco.mjtGeom.mjGEOM_CAPSULE: 4}


def add_frame_sensor(spec: mujoco.MjSpec, kind: str, what: str, name: str) -> None:
    """Adds a sensor of a body's, geom's or site's motion in the world frame, where there is none.

    Args:
        spec: the model before it is compiled.
        kind: `framelinvel`, `frameangvel`, `framelinacc` or `frameangacc`.
        what: `body`, `geom` or `site`.
        name: its name.
    """
    wanted = (_SENSORS[kind], _OBJECTS[what], name)
    if any(
        (s.type, s.objtype, s.objname) == wanted
        and s.reftype == mujoco.mjtObj.mjOBJ_UNKNOWN
        and not s.cutoff
        for s in spec.sensors
    ):
        return
    own = _sensor_name(kind, what, name)
    spec.add_sensor(name=own, type=_SENSORS[kind], objtype=_OBJECTS[what], objname=name)


def sensor_address(model: mujoco.MjModel, kind: str, what: str, name: str) -> int:
    """Where the numbers of the sensor that `add_frame_sensor` saw to begin in `sensordata`."""
    suits = model.sensor_type == _SENSORS[kind]
    suits &= model.sensor_objtype == _OBJECTS[what]
    suits &= model.sensor_objid == getattr(model, what)(name).id
    suits &= (model.sensor_reftype == mujoco.mjtObj.mjOBJ_UNKNOWN) & (model.sensor_cutoff == 0)
    return int(model.sensor_adr[np.flatnonzero(suits)[0]])


def _sensor_name(kind: str, what: str, name: str) -> str:
    return f"ksim/{kind}/{what}/{name}"


@dataclass(frozen=True)
class Contacts:
    """Where the contact sensors of F feet (or other things) stand in `sensordata`.

    Attributes:
        count: F.
        feet: for each slot, one possible contact, which foot it is of.
        slots: address of each slot's numbers.
        offsets: for each slot, where each of `TORQUES` stands from there.
    """

    count: int = 0
    feet: tuple[int, ...] = ()
    slots: tuple[int, ...] = ()
    offsets: tuple[tuple[int, ...], ...] = ()

    def touching(self, view: View) -> jax.Array:
        """`[F]` bool: the foot touches something."""
        found = self._read(view, "found")[:, 0]
        return jax.ops.segment_max(found, np.array(self.feet), self.count) > 0

    def force(self, view: View) -> jax.Array:
        """`[F, 3]` N, the force on each foot in the world frame."""
        # A sensor tells the force that the foot exerts.
        exerted = self._in_world(view, "force")
        return jax.ops.segment_sum(-exerted, np.array(self.feet), self.count)

    def torque(self, view: View, about: jax.Array) -> jax.Array:
        """`[F, 3]` N m, the torque of the contacts on each foot about a point of it.

        Args:
            view: with the data of `TORQUES`.
            about: `[F, 3]` the points, world frame, m.
        """
        feet = np.array(self.feet)
        force, moment = self._in_world(view, "force"), self._in_world(view, "torque")
        arm = self._read(view, "pos") - about[feet]
        # An empty slot has no force; its arm means nothing.
        return jax.ops.segment_sum(-moment - jnp.cross(arm, force), feet, self.count)

    def _in_world(self, view: View, field: str) -> jax.Array:
        """`[S, 3]` a vector of the contact frames, in the world's."""
        normal, tangent = self._read(view, "normal"), self._read(view, "tangent")
        axes = jnp.stack([normal, tangent, jnp.cross(normal, tangent)], axis=1)
        return jnp.einsum("sij,si->sj", axes, self._read(view, field))

    def _read(self, view: View, field: str) -> jax.Array:
        which = TORQUES.index(field)
        first = np.array(self.slots) + np.array([o[which] for o in self.offsets])
        return view.sensordata[first[:, None] + np.arange(_CONTACT_SIZES[field])]


def add_contact_sensors(spec: mujoco.MjSpec, names: Iterable[str], wanted: tuple[str, ...]) -> None:
    """Adds contact sensors to geoms that have none with the data wanted.

    Args:
        spec: the model before it is compiled.
        names: names or patterns of bodies (all their colliding geoms) or of geoms.
        wanted: `FOUND` or `FORCES`.

    Raises:
        UserError: a name that is neither, or a body whose geoms collide with nothing.
    """
    for body in spec.bodies:
        for i, geom in enumerate(body.geoms):
            geom.name = geom.name or f"{body.name}/{i}"
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    collide = {g.name for g in spec.geoms if g.contype or g.conaffinity or g.name in paired}
    of_bodies = {b.name: [g.name for g in b.geoms] for b in spec.bodies}
    things = colliding_geoms(names, of_bodies, collide)
    bits = sum(_BITS[name] for name in wanted)
    for name in dict.fromkeys(name for geoms in things.values() for name in geoms):
        if any(
            _suits(s.type, s.intprm, (s.objtype, s.reftype), bits) and s.objname == name
            for s in spec.sensors
        ):
            continue
        sensor = spec.add_sensor(
            name=_sensor_name("contact", "+".join(wanted), name),
            type=_CONTACT,
            objtype=mujoco.mjtObj.mjOBJ_GEOM,
            objname=name,
        )
        # A plane is touched at one point by a sphere, at up to two by a capsule, four by a box;
        # and there may be a wall besides the floor.
        most = _MOST_CONTACTS.get(spec.geom(name).type, 8)
        sensor.intprm[:3] = bits, _MINDIST, most


def bind_contacts(model: mujoco.MjModel, names: Iterable[str], wanted: tuple[str, ...]) -> Contacts:
    """Where the sensors that `add_contact_sensors` added for the same names stand."""
    bits = sum(_BITS[name] for name in wanted)
    all_geoms = object_names(model, "geom")
    of_bodies: dict[str, list[str]] = {name: [] for name in object_names(model, "body")}
    for i, geom in enumerate(all_geoms):
        of_bodies[model.body(model.geom_bodyid[i]).name].append(geom)
    paired = {int(i) for ids in (model.pair_geom1, model.pair_geom2) for i in ids}
    collide = {
        name
        for i, name in enumerate(all_geoms)
        if model.geom_contype[i] or model.geom_conaffinity[i] or i in paired
    }
    things = colliding_geoms(names, of_bodies, collide)
    kinds = list(zip(model.sensor_objtype.tolist(), model.sensor_reftype.tolist(), strict=True))
    feet, slots, offsets = [], [], []
    for foot, geoms in enumerate(things.values()):
        for name in geoms:
            sensor = next(
                i
                for i in range(model.nsensor)
                if _suits(model.sensor_type[i], model.sensor_intprm[i], kinds[i], bits)
                and model.sensor_objid[i] == model.geom(name).id
            )
            held = int(model.sensor_intprm[sensor, 0])
            size = sum(n for field, n in _CONTACT_SIZES.items() if held & _BITS[field])
            for slot in range(int(model.sensor_dim[sensor]) // size):
                feet.append(foot)
                slots.append(int(model.sensor_adr[sensor]) + slot * size)
                offsets.append(tuple(_offset(held, field) for field in TORQUES))
    return Contacts(len(things), tuple(feet), tuple(slots), tuple(offsets))


def _suits(kind: Any, parameters: Any, objects: tuple[Any, Any], bits: int) -> bool:
    """Whether a sensor is a contact sensor with some data, of any contact of one geom."""
    geom, any_other = int(mujoco.mjtObj.mjOBJ_GEOM), int(mujoco.mjtObj.mjOBJ_UNKNOWN)
    of_a_geom = (int(objects[0]), int(objects[1])) == (geom, any_other)
    return kind == _CONTACT and of_a_geom and int(parameters[0]) & bits == bits


def _offset(held: int, field: str) -> int:
    """Where a field of a contact begins; 0 for one that is not held."""
    before = list(_CONTACT_SIZES)[: list(_CONTACT_SIZES).index(field)]
    return sum(_CONTACT_SIZES[name] for name in before if held & _BITS[name])


def colliding_geoms(
    names: Iterable[str], of_bodies: Mapping[str, list[str]], collide: set[str]
) -> dict[str, list[str]]:
    """Name -> its colliding geoms, of things named by body or geom; bodies come first.

    Args:
        names: names or patterns.
        of_bodies: body -> its geoms.
        collide: the geoms that collide with anything.

    Raises:
        UserError: a name that is neither, or a thing none of whose geoms collides.
    """
    found: dict[str, list[str]] = {}
    every = [name for each in of_bodies.values() for name in each]
    for kind, name in bodies_or_geoms(names, list(of_bodies), every):
        its = of_bodies[name] if kind == "body" else [name]
        found[name] = [geom for geom in its if geom in collide]
        if not found[name]:
            raise UserError(f"no geom of '{name}' collides with anything")
    return found


def bodies_or_geoms(
    names: Iterable[str], bodies: Sequence[str], geoms: Sequence[str]
) -> list[tuple[str, str]]:
    """Kind (`body` or `geom`) and name of things; a pattern that fits a body means bodies.

    Raises:
        UserError: a name that is neither.
    """
    found: list[tuple[str, str]] = []
    bodies = [name for name in bodies if name and name != "world"]
    for pattern in names:
        if not fnmatch.filter(bodies, pattern) and fnmatch.filter(geoms, pattern):
            found += [("geom", name) for name in match_names([pattern], geoms, "geom")]
        else:
            fitting = match_names([pattern], bodies, "body (or geom)")
            found += [("body", name) for name in fitting]
    return list(dict.fromkeys(found))
