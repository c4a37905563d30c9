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
_CONTACT, _GEOM = mujoco.mjtSensor.mjSENS_CONTACT, mujoco.mjtObj.mjOBJ_GEOM
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

FORCES = ("found", "force")
"""What a contact sensor tells of the net force."""

TORQUES = ("found", "force", "torque", "pos")
"""What a contact sensor tells of the net torque about any point."""

_BITS = {name: 1 << i for i, name in enumerate(_CONTACT_SIZES)}
# A sensor has room for some contacts only, of which a height field makes dozens; but its net force
# is that of all of them, and stands for one contact in the world's frame.
_ANY, _NETFORCE = 0, 3


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
        feet: for each sensor, which is of one geom, which foot it is of.
        addresses: for each sensor, where each of `TORQUES` stands; 0 for one that it does not hold.
    """

    count: int = 0
    feet: tuple[int, ...] = ()
    addresses: tuple[tuple[int, ...], ...] = ()

    def touching(self, view: View) -> jax.Array:
        """`[F]` bool: the foot touches something."""
        found = self._read(view, "found")[:, 0]
        return jax.ops.segment_max(found, np.array(self.feet), self.count) > 0

    def force(self, view: View) -> jax.Array:
        """`[F, 3]` N, the net force on each foot in the world frame."""
        # A sensor tells the force that the foot exerts.
        exerted = self._read(view, "force")
        return jax.ops.segment_sum(-exerted, np.array(self.feet), self.count)

    def torque(self, view: View, about: jax.Array) -> jax.Array:
        """`[F, 3]` N m, the net torque of the contacts on each foot about a point of it.

        Args:
            view: with the data of `TORQUES`.
            about: `[F, 3]` the points, world frame, m.
        """
        feet = np.array(self.feet)
        # The torque is about `pos`, the centre of the contacts.
        force, torque = self._read(view, "force"), self._read(view, "torque")
        arm = self._read(view, "pos") - about[feet]
        return jax.ops.segment_sum(-torque - jnp.cross(arm, force), feet, self.count)

    def _read(self, view: View, field: str) -> jax.Array:
        first = np.array(self.addresses)[:, TORQUES.index(field)]
        return view.sensordata[first[:, None] + np.arange(_CONTACT_SIZES[field])]


def add_contact_sensors(
    spec: mujoco.MjSpec,
    names: Iterable[str],
    wanted: tuple[str, ...],
    against: Iterable[str] = (),
) -> None:
    """Adds contact sensors to geoms that have none with the data wanted.

    Args:
        spec: the model before it is compiled.
        names: names or patterns of bodies (all their colliding geoms) or of geoms.
        wanted: `FOUND`, `FORCES` or `TORQUES`.
        against: the same of the things whose contact counts; empty: anything.

    Raises:
        UserError: a name that is neither, a body whose geoms collide with nothing, or a compiled
            model that lacks a sensor.
    """
    for body in spec.bodies:
        for i, geom in enumerate(body.geoms):
            geom.name = geom.name or f"{body.name}/{i}"
    paired = {name for pair in spec.pairs for name in (pair.geomname1, pair.geomname2)}
    collide = {g.name for g in spec.geoms if g.contype or g.conaffinity or g.name in paired}
    of_bodies = {b.name: [g.name for g in b.geoms] for b in spec.bodies}
    pairs = contact_pairs(names, against, of_bodies, collide)
    for name, other in dict.fromkeys(pair for each in pairs.values() for pair in each):
        if not any(
            (s.objname, _other(s.reftype, s.refname)) == (name, other)
            and _suits(s, s.intprm, wanted)
            for s in spec.sensors
        ):
            _add_contact_sensor(spec, name, other, wanted)


def _add_contact_sensor(
    spec: mujoco.MjSpec, name: str, other: str, wanted: tuple[str, ...]
) -> None:
    pair = f"{name}/{other}" if other else name
    own = _sensor_name("contact", "+".join(wanted), pair)
    sides = {"objtype": _GEOM, "objname": name}
    sides |= {"reftype": _GEOM, "refname": other} if other else {}
    try:
        sensor = spec.add_sensor(name=own, type=_CONTACT, **sides)
    except UserError as error:  # a compiled model, to which nothing can be added
        net = "" if wanted == FOUND else ' reduce="netforce"'
        geoms = f'geom1="{name}"' + (f' geom2="{other}"' if other else "")
        element = f'<contact {geoms} data="{" ".join(wanted)}"{net}/>'
        raise UserError(f"{error}, or have {element} among its sensors") from error
    sensor.intprm[:3] = _bits(wanted), _ANY if wanted == FOUND else _NETFORCE, 1


def bind_contacts(
    model: mujoco.MjModel,
    names: Iterable[str],
    wanted: tuple[str, ...],
    against: Iterable[str] = (),
) -> Contacts:
    """Where the sensors that `add_contact_sensors` saw to for the same names stand."""
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
    pairs = contact_pairs(names, against, of_bodies, collide)
    suiting: dict[tuple[str, str], int] = {}  # the first sensor that tells what is wanted
    for i in range(model.nsensor):
        if not _suits(model.sensor(i), model.sensor_intprm[i], wanted):
            continue
        reftype, ref = model.sensor_reftype[i], int(model.sensor_refid[i])
        other = _other(reftype, model.geom(ref).name if reftype == _GEOM else "")
        if other is not None:
            suiting.setdefault((model.geom(model.sensor_objid[i]).name, other), i)
    feet, addresses = [], []
    for foot, each in enumerate(pairs.values()):
        for sensor in (suiting[pair] for pair in each):
            feet.append(foot)
            first, held = int(model.sensor_adr[sensor]), int(model.sensor_intprm[sensor, 0])
            addresses.append(_addresses(first, held))
    return Contacts(len(pairs), tuple(feet), tuple(addresses))


def contact_pairs(
    names: Iterable[str],
    against: Iterable[str],
    of_bodies: Mapping[str, list[str]],
    collide: set[str],
) -> dict[str, list[tuple[str, str]]]:
    """Thing -> pairs of a geom of it and one of another thing; "" where anything counts.

    Args:
        names: names or patterns, as in `colliding_geoms`.
        against: the same of the other things; empty: anything.
        of_bodies: body -> its geoms.
        collide: the geoms that collide with anything.

    Raises:
        UserError: as `colliding_geoms`; or a thing is to touch nothing but itself.
    """
    others = list(against)
    things = colliding_geoms(names, of_bodies, collide)
    if not others:
        return {thing: [(geom, "") for geom in geoms] for thing, geoms in things.items()}
    body_of = {geom: body for body, geoms in of_bodies.items() for geom in geoms}
    touched = [g for geoms in colliding_geoms(others, of_bodies, collide).values() for g in geoms]
    pairs: dict[str, list[tuple[str, str]]] = {}
    for thing, geoms in things.items():
        pairs[thing] = [(a, b) for a in geoms for b in touched if body_of[a] != body_of[b]]
        if not pairs[thing]:
            raise UserError(f"'{thing}' and {', '.join(others)} are one body, which never collides")
    return pairs


def _suits(sensor: Any, parameters: Any, wanted: tuple[str, ...]) -> bool:
    """Whether a sensor, of a spec or of a model, tells what is wanted of all contacts of a geom.

    Args:
        sensor: the sensor.
        parameters: its `intprm`.
        wanted: what is wanted.
    """
    of_a_geom = sensor.objtype == _GEOM and not sensor.cutoff
    held, reduction = int(parameters[0]), int(parameters[1])
    bits = _bits(wanted)
    is_net = wanted == FOUND or reduction == _NETFORCE
    return bool(sensor.type == _CONTACT and of_a_geom and held & bits == bits and is_net)


def _other(reftype: Any, name: str) -> str | None:
    """The geom that a sensor's contacts are with; empty: anything; None: neither."""
    return name if reftype == _GEOM else "" if reftype == mujoco.mjtObj.mjOBJ_UNKNOWN else None


def _bits(fields: Iterable[str]) -> int:
    return sum(_BITS[name] for name in fields)


def _addresses(first: int, held: int) -> tuple[int, ...]:
    """Where the `TORQUES` of a contact sensor stand, whose numbers begin at `first`."""
    found, at = {}, first
    for name, size in _CONTACT_SIZES.items():
        if held & _BITS[name]:
            found[name] = at
            at += size
    return tuple(found.get(name, 0) for name in TORQUES)


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
