"""What MJX cannot step in a model, in the words of MJCF, found before anything is compiled.

MJX refuses some of it by an enumeration's name, some only while a step is traced, and leaves some
out without a word.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.mjx_import import mjx, mjx_warp

SHOWN = 4
"""Elements that a complaint names; of the rest it gives the number."""

_GEOM = mujoco.mjtGeom
_SENSOR = mujoco.mjtSensor
_APART = {
    (_GEOM.mjGEOM_HFIELD, _GEOM.mjGEOM_HFIELD),
    (_GEOM.mjGEOM_HFIELD, _GEOM.mjGEOM_ELLIPSOID),
    (_GEOM.mjGEOM_HFIELD, _GEOM.mjGEOM_CYLINDER),
    (_GEOM.mjGEOM_ELLIPSOID, _GEOM.mjGEOM_BOX),
    (_GEOM.mjGEOM_ELLIPSOID, _GEOM.mjGEOM_MESH),
    (_GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_BOX),
    (_GEOM.mjGEOM_CYLINDER, _GEOM.mjGEOM_MESH),
}
"""Shapes that `impl=jax` does not collide, besides `sdf` with any; planes need no other plane."""

_OUTLINED = (int(_GEOM.mjGEOM_MESH), int(_GEOM.mjGEOM_HFIELD))
"""Shapes that `impl=jax` collides without a margin."""

_VELOCITIES = 1 << 7 | 1 << 8
"""`data="linvel angvel"` of a contact sensor, in `sensor_intprm`."""


class _Column(NamedTuple):
    """A field of the model whose values are of an enumeration that MJX has a part of.

    Attributes:
        field: field of `mjModel`.
        kind: kind of the elements, as in MJCF.
        what: what the value is of them.
        mujoco: MuJoCo's enumeration.
        mjx: name of MJX's.
    """

    field: str
    kind: str
    what: str
    mujoco: Any
    mjx: str


_COLUMNS = (
    _Column("actuator_trntype", "actuator", "transmission", mujoco.mjtTrn, "TrnType"),
    _Column("actuator_dyntype", "actuator", "dyntype", mujoco.mjtDyn, "DynType"),
    _Column("actuator_gaintype", "actuator", "gaintype", mujoco.mjtGain, "GainType"),
    _Column("actuator_biastype", "actuator", "biastype", mujoco.mjtBias, "BiasType"),
    _Column("eq_type", "equality", "type", mujoco.mjtEq, "EqType"),
    _Column("sensor_type", "sensor", "type", mujoco.mjtSensor, "SensorType"),
)
_OPTIONS = (
    ("integrator", mujoco.mjtIntegrator, "IntegratorType", "implicitfast"),
    ("solver", mujoco.mjtSolver, "SolverType", "newton"),
)
"""Option, MuJoCo's enumeration, MJX's, and what to type instead."""

_WORDS = {
    "trn slidercrank": "cranksite",
    "sensor geomdist": "distance",
    "sensor geomnormal": "normal",
    "sensor geomfromto": "fromto",
}
"""Where MJCF has another word than the enumeration."""


def refuse_unsupported(model: mujoco.MjModel, impl: str) -> None:
    """Refuse a model that an implementation cannot step as MuJoCo does.

    Args:
        model: the compiled model.
        impl: `jax` or `warp`, which must be installed.

    Raises:
        UserError: with every reason, one a line, and the elements that are meant.
    """
    reasons = [*unsupported(model, impl)]
    if not reasons:
        return
    other = ""
    if impl == "jax" and mjx_warp.WARP_INSTALLED and not [*unsupported(model, "warp")]:
        other = " or engine.impl=warp, which have it,"
    raise UserError(
        f"engine.type=mjx: this model uses what MJX (impl={impl}) lacks:\n  "
        + "\n  ".join(reasons)
        + f"\n Use engine=mujoco{other or ','} or change the model"
    )


def unsupported(model: mujoco.MjModel, impl: str) -> Iterator[str]:
    """What an implementation refuses, or would leave out, of a model; a line for each reason.

    Args:
        model: the compiled model.
        impl: `jax` or `warp`.
    """
    library = mjx if impl == "jax" else mjx_warp.mjwp_types
    yield from _options(model, library)
    yield from _columns(model, library)
    for check in _JAX if impl == "jax" else _WARP:
        yield from check(model)


def in_words_of_mjcf(text: str) -> str:
    """A message of MJX's own without the names of MuJoCo's enumerations."""
    words = re.sub(r"<?mjt\w+\.mj[A-Z]+_(\w+)(: \d+>)?", lambda found: str(found[1]).lower(), text)
    return words.removesuffix(".")


def names(model: mujoco.MjModel, kind: str, ids: Iterable[int]) -> str:
    """Names of elements as a complaint gives them, the first few and the number of the rest.

    Args:
        model: the compiled model.
        kind: as MuJoCo's named access has it: `geom`, `actuator`, `sensor`, …
        ids: their indices. One without a name is called by its index, a geom by its body and its
            place in that.
    """
    return _first([_name(model, kind, int(i)) for i in ids])


def _name(model: mujoco.MjModel, kind: str, i: int) -> str:
    obj = getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}")
    if name := mujoco.mj_id2name(model, obj, i):
        return f"'{name}'"
    if kind != "geom":
        return f"number {i}"
    body = int(model.geom_bodyid[i])
    return f"'{model.body(body).name}/geom {i - int(model.body_geomadr[body])}'"


def _first(texts: list[str]) -> str:
    rest = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _word(value: Any) -> str:
    """The word of MJCF for a value of one of MuJoCo's enumerations."""
    kind = type(value).__name__.removeprefix("mjt").lower()
    name = str(value.name).partition("_")[2].lower()
    return _WORDS.get(f"{kind} {name}", name)


def _options(model: mujoco.MjModel, library: Any) -> Iterator[str]:
    for option, own, theirs, instead in _OPTIONS:
        value = int(getattr(model.opt, option))
        known = {int(x) for x in getattr(library, theirs)}
        if library is mjx:  # MJX has it by name, and no step of it
            known -= {int(mujoco.mjtIntegrator.mjINT_DISCRETE)} if option == "integrator" else set()
        if value not in known:
            yield f'<option {option}="{_word(own(value))}"/>. Type {option}={instead}'
    flags = int(model.opt.enableflags)
    for bit in dict.fromkeys(mujoco.mjtEnableBit.__members__.values()):
        if flags & int(bit) and int(bit) not in {int(x) for x in library.EnableBit}:
            yield f'<flag {_word(bit)}="enable"/>. Leave it out'


def _columns(model: mujoco.MjModel, library: Any) -> Iterator[str]:
    for column in _COLUMNS:
        values = getattr(model, column.field)
        known = [int(x) for x in getattr(library, column.mjx)]
        if library is mjx and column.field == "sensor_type":
            known.remove(int(_SENSOR.mjSENS_TACTILE))  # MJX has it by name, and no step of it
        for value in np.unique(values[~np.isin(values, known)]):
            which = names(model, column.kind, np.flatnonzero(values == value))
            yield f"{column.what} {_word(column.mujoco(int(value)))} of {column.kind} {which}"


def _collisions(model: mujoco.MjModel) -> Iterator[str]:
    """Pairs of shapes that `impl=jax` does not collide."""
    first, second, _ = _pairs(model)
    kinds = np.stack([model.geom_type[first], model.geom_type[second]], axis=1)
    for a, b in np.unique(kinds, axis=0).tolist():
        if (a, b) in _APART or (int(_GEOM.mjGEOM_SDF) in (a, b)):
            found = np.flatnonzero((kinds == (a, b)).all(axis=1))
            both = [
                f"{names(model, 'geom', [first[i]])} with {names(model, 'geom', [second[i]])}"
                for i in found
            ]
            yield (
                f"collisions of {_word(_GEOM(a))} with {_word(_GEOM(b))}: geom {_first(both)}."
                " Replace one of the two (a capsule or a sphere collides with all but sdf), or keep"
                " them apart: contype and conaffinity, or <contact><exclude/></contact>"
            )


def _margins(model: mujoco.MjModel) -> Iterator[str]:
    """Margins at shapes that `impl=jax` collides without one."""
    first, second, pair = _pairs(model)
    margin = model.geom_margin[first] + model.geom_margin[second]
    if model.npair:
        margin = np.where(pair >= 0, model.pair_margin[pair], margin)
    outlined = np.isin(model.geom_type[first], _OUTLINED)
    outlined |= np.isin(model.geom_type[second], _OUTLINED)
    found = np.flatnonzero(outlined & (margin != 0))
    if found.size:
        both = [
            f"{names(model, 'geom', [first[i]])} with {names(model, 'geom', [second[i]])}"
            for i in found
        ]
        yield f"margin of a mesh or hfield: geom {_first(both)}. Set margin to 0"


def _frictionless(model: mujoco.MjModel) -> Iterator[str]:
    """`condim="1"` in elliptic cones."""
    if model.opt.cone != mujoco.mjtCone.mjCONE_ELLIPTIC:
        return
    first, second, pair = _pairs(model)
    priority = model.geom_priority[first] - model.geom_priority[second]
    a, b = model.geom_condim[first], model.geom_condim[second]
    condim = np.where(priority > 0, a, np.where(priority < 0, b, np.maximum(a, b)))
    if model.npair:
        condim = np.where(pair >= 0, model.pair_dim[pair], condim)
    found = np.flatnonzero(condim == 1)
    if found.size:
        geoms = np.unique([first[found], second[found]])
        yield (
            f'condim="1" beside <option cone="elliptic"/>: geom {names(model, "geom", geoms)}.'
            ' Take condim="3" or cone="pyramidal"'
        )


def _contact_sensors(model: mujoco.MjModel) -> Iterator[str]:
    """Contact sensors that match by more than geoms, or sum forces."""
    ours = model.sensor_type == _SENSOR.mjSENS_CONTACT
    kinds = {
        "site": mujoco.mjtObj.mjOBJ_SITE,
        "body": mujoco.mjtObj.mjOBJ_BODY,
        "subtree": mujoco.mjtObj.mjOBJ_XBODY,
    }
    for word, kind in kinds.items():
        found = ours & ((model.sensor_objtype == kind) | (model.sensor_reftype == kind))
        if found.any():
            which = names(model, "sensor", np.flatnonzero(found))
            yield f"a {word} in contact sensor {which}. Name geoms instead"


def _contact_velocities(model: mujoco.MjModel) -> Iterator[str]:
    found = model.sensor_type == _SENSOR.mjSENS_CONTACT
    found &= (model.sensor_intprm[:, 0] & _VELOCITIES) != 0
    if found.any():
        which = names(model, "sensor", np.flatnonzero(found))
        yield f"linvel and angvel of contact sensor {which}. Leave them out of its data"


def _fluid(model: mujoco.MjModel) -> Iterator[str]:
    """Drag: none beside `implicitfast`, and none of ellipsoids."""
    option = model.opt
    if not (option.density > 0 or option.viscosity > 0 or option.wind.any()):
        return
    if option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST:
        yield "density, viscosity or wind beside integrator implicitfast. Type integrator=euler"
    ellipsoids = np.flatnonzero(model.geom_fluid[:, 0])
    if ellipsoids.size:
        yield f'fluidshape="ellipsoid" of geom {names(model, "geom", ellipsoids)}'


def _flexes(model: mujoco.MjModel) -> Iterator[str]:
    if model.nflex:
        yield f"deformable body: flex {names(model, 'flex', range(model.nflex))}"


def _delays(model: mujoco.MjModel) -> Iterator[str]:
    """Delays and other intervals, which `impl=jax` leaves out without a word."""
    for kind in ("actuator", "sensor"):
        late = getattr(model, f"{kind}_delay") > 0
        if kind == "sensor":
            late |= model.sensor_interval[:, 0] > 0
        if late.any():
            yield f"delay of {kind} {names(model, kind, np.flatnonzero(late))}"


def _polynomials(model: mujoco.MjModel) -> Iterator[str]:
    """Stiffness and damping that are no plain numbers: `impl=jax` takes the first of them."""
    joint = model.jnt_stiffnesspoly.any(axis=1)
    joint[model.dof_jntid[model.dof_dampingpoly.any(axis=1)]] = True
    tendon = model.tendon_stiffnesspoly.any(axis=1) | model.tendon_dampingpoly.any(axis=1)
    for kind, found in (("joint", joint), ("tendon", tendon)):
        if found.any():
            which = names(model, kind, np.flatnonzero(found))
            yield f"stiffness or damping of several numbers of {kind} {which}. Give one"


def _actuator_armature(model: mujoco.MjModel) -> Iterator[str]:
    """Armature of actuators, which neither implementation reads."""
    if model.actuator_armature.any():
        which = names(model, "actuator", np.flatnonzero(model.actuator_armature))
        yield f"armature of actuator {which}. Give it, times gear squared, to the joint"


def _actuator_damping(model: mujoco.MjModel) -> Iterator[str]:
    """Damping of actuators, which `impl=jax` does not read."""
    damped = (model.actuator_damping != 0) | model.actuator_dampingpoly.any(axis=1)
    if damped.any():
        which = names(model, "actuator", np.flatnonzero(damped))
        yield f"damping of actuator {which}. Give it, times gear squared, to the joint"


def _plugins(model: mujoco.MjModel) -> Iterator[str]:
    for kind in ("body", "actuator", "sensor"):
        found = np.flatnonzero(getattr(model, f"{kind}_plugin") >= 0)
        if found.size:
            yield f"plugin of {kind} {names(model, kind, found)}"


def _midphase(model: mujoco.MjModel) -> Iterator[str]:
    if model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_MIDPHASE:
        yield '<flag midphase="disable"/>. Leave it out'


def _dense(model: mujoco.MjModel) -> Iterator[str]:
    if model.nv > _DENSE and model.opt.jacobian == mujoco.mjtJacobian.mjJAC_DENSE:
        yield (
            f'<option jacobian="dense"/> with more than {_DENSE} degrees of freedom ({model.nv}).'
            ' Take "auto"'
        )


_DENSE = 60
_Check = Callable[[mujoco.MjModel], Iterator[str]]
_JAX: tuple[_Check, ...] = (
    _collisions,
    _margins,
    _frictionless,
    _contact_sensors,
    _fluid,
    _flexes,
    _delays,
    _polynomials,
    _actuator_damping,
    _actuator_armature,
    _plugins,
)
_WARP: tuple[_Check, ...] = (
    _contact_velocities,
    _actuator_armature,
    _plugins,
    _midphase,
    _dense,
)


def _pairs(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geoms that may collide, the one of the lesser type first; and the `<pair>`, -1 for none.

    As MuJoCo's documentation has it ("Collision detection", selection): those of each `<pair>`, and
    all others whose masks fit and whose bodies are neither welded to each other, nor parent and
    child, nor excluded.
    """
    first, second = np.triu_indices(model.ngeom, 1)
    body = np.stack([model.geom_bodyid[first], model.geom_bodyid[second]])
    weld = model.body_weldid[body]
    parent = model.body_weldid[model.body_parentid[weld]]
    wanted = model.geom_contype[first] & model.geom_conaffinity[second]
    wanted = (wanted | model.geom_contype[second] & model.geom_conaffinity[first]) != 0
    wanted &= weld[0] != weld[1]
    if not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT:
        wanted &= ~((weld != 0).all(axis=0) & ((weld == parent[::-1]).any(axis=0)))
    low, high = np.sort(body, axis=0)
    wanted &= ~np.isin((low << 16) + high, model.exclude_signature)
    numbers = np.concatenate([np.full(wanted.sum(), -1), np.arange(model.npair)])
    first = np.concatenate([first[wanted], model.pair_geom1])
    second = np.concatenate([second[wanted], model.pair_geom2])
    swap = model.geom_type[first] > model.geom_type[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    return first, second, numbers
