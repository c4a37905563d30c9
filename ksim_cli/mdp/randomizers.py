"""Randomizers: draws of a model's constants. Derived ones follow, see `physics.model_variants`.

Ranges called `scale` are factors of what is there, `range` is added to it; either way several
randomizers of one field compose in order. A factor of zero changes nothing: that is said before
training, and refused where it is so for all that is named.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.term import Randomizer, resolved
from ksim_cli.physics.model_checks import object_name
from ksim_cli.physics.names import object_ids
from ksim_cli.registry import RANDOMIZERS

_MOST_NAMES = 8
_SIZED = {
    int(mujoco.mjtGeom.mjGEOM_SPHERE),
    int(mujoco.mjtGeom.mjGEOM_CAPSULE),
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID),
    int(mujoco.mjtGeom.mjGEOM_CYLINDER),
    int(mujoco.mjtGeom.mjGEOM_BOX),
}
_BALL_DENSITY = 1000.0
"""kg/m^3 of a mass that is added to a body without any: water."""


def idle_text(
    model: mujoco.MjModel, field: str, rows: Sequence[int], idle: np.ndarray, named: bool, why: str
) -> str:
    """The words of `Randomizer.without_effect`.

    Args:
        model: the model.
        field: the field that is to change.
        rows: its rows that are to change.
        idle: `[len(rows)]` bool, those that cannot.
        named: the user named them.
        why: the reason, after their names.

    Raises:
        UserError: none can, though they were named.
    """
    if not idle.any():
        return ""
    names = [
        object_name(model, field, row) for row, is_idle in zip(rows, idle, strict=True) if is_idle
    ]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    text = f"{field} of {', '.join(names[:_MOST_NAMES])}{more} stays as it is: {why}"
    if idle.all() and named:
        raise UserError(f"changes nothing. {text}. Name others, or leave it out")
    return text


@RANDOMIZERS.register("floor_friction")
@dataclass(frozen=True, kw_only=True)
class FloorFriction(Randomizer):
    """Sliding friction times one factor, of all geoms that collide or of those named.

    Explicit contact pairs have theirs multiplied too, those of a named geom. Of two touching geoms
    of the same priority MuJoCo takes the larger friction: to change what a foot feels on a floor,
    name both, or none.

    Attributes:
        scale: [low, high] of the factor.
        geoms: names or patterns; empty for all that collide.
    """

    scale: tuple[float, float]
    geoms: tuple[str, ...] = ()
    geom_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        if self.geoms:
            return replace(self, geom_ids=object_ids(model, "geom", self.geoms))
        collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        return replace(self, geom_ids=tuple(np.flatnonzero(collides).tolist()))

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        idle = model.geom_friction[list(self.geom_ids), 0] == 0.0
        pairs = self._pairs(model)
        idle &= not model.pair_friction[pairs, :2].any()
        named, why = bool(self.geoms), "it is 0, and so is any multiple"
        return idle_text(model, "geom_friction", self.geom_ids, idle, named, why)

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        factor = rng.uniform(*self.scale)
        model.geom_friction[list(self.geom_ids), 0] *= factor
        model.pair_friction[self._pairs(model), :2] *= factor

    def _pairs(self, model: mujoco.MjModel) -> np.ndarray:
        """`[P]` bool the explicit pairs that are meant."""
        if not self.geoms:
            return np.ones(model.npair, bool)
        return np.isin(model.pair_geom1, self.geom_ids) | np.isin(model.pair_geom2, self.geom_ids)


@dataclass(frozen=True, kw_only=True)
class BodyRandomizer(Randomizer):
    """Base of draws of one body's constants.

    Attributes:
        body: its name.
    """

    body: str
    body_id: int = resolved(0)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(self, body_id=object_ids(model, "body", (self.body,))[0])

    def without_mass(self, model: mujoco.MjModel, field: str) -> str:
        """`Randomizer.without_effect` where a body has no mass to change, or to move."""
        idle = np.array([model.body_mass[self.body_id] == 0.0])
        return idle_text(model, field, (self.body_id,), idle, True, "it has no mass")


@RANDOMIZERS.register("mass_addition")
@dataclass(frozen=True, kw_only=True)
class MassAddition(BodyRandomizer):
    """Adds mass to a body, spread as its own: its inertia grows in proportion.

    A body without mass gets that of a ball of water at its centre of mass, or stays without.

    Attributes:
        range: [low, high], kg.
    """

    range: tuple[float, float]

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        idle = np.array([model.body_mass[self.body_id] == 0.0 and max(self.range) <= 0.0])
        why = "it has no mass to take from"
        return idle_text(model, "body_mass", (self.body_id,), idle, True, why)

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        mass = float(model.body_mass[self.body_id])
        changed = max(0.0, mass + rng.uniform(*self.range))
        if mass > 0.0:
            model.body_mass[self.body_id] *= changed / mass
            model.body_inertia[self.body_id] *= changed / mass
        else:
            radius = (3.0 * changed / (4.0 * math.pi * _BALL_DENSITY)) ** (1.0 / 3.0)
            model.body_mass[self.body_id] = changed
            model.body_inertia[self.body_id] = 0.4 * changed * radius**2


@RANDOMIZERS.register("mass_multiplication")
@dataclass(frozen=True, kw_only=True)
class MassMultiplication(BodyRandomizer):
    """Mass and inertia of a body times a factor.

    Attributes:
        scale: [low, high] of the factor.
    """

    scale: tuple[float, float]

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        return self.without_mass(model, "body_mass")

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        factor = rng.uniform(*self.scale)
        model.body_mass[self.body_id] *= factor
        model.body_inertia[self.body_id] *= factor


@RANDOMIZERS.register("all_bodies_mass_multiplication")
@dataclass(frozen=True, kw_only=True)
class AllBodiesMassMultiplication(Randomizer):
    """Mass and inertia of every body times a factor of its own; those without mass stay so.

    Attributes:
        scale: [low, high] of the factors.
    """

    scale: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        factors = rng.uniform(*self.scale, model.nbody)
        model.body_mass[:] *= factors
        model.body_inertia[:] *= factors[:, None]


@RANDOMIZERS.register("all_inertias")
@dataclass(frozen=True, kw_only=True)
class AllInertias(Randomizer):
    """Inertia of every body, not its mass, times a factor of its own; zero stays zero.

    Attributes:
        scale: [low, high] of the factors.
    """

    scale: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        model.body_inertia[:] *= rng.uniform(*self.scale, model.nbody)[:, None]


@RANDOMIZERS.register("center_of_mass")
@dataclass(frozen=True, kw_only=True)
class CenterOfMass(BodyRandomizer):
    """Centre of mass of a body moved along each axis of its frame, uniform in [-range, range].

    Attributes:
        range: m, of all axes or of [x, y, z].
    """

    range: float | tuple[float, float, float]

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: MuJoCo must not take the body for one whose frames coincide."""
        for body in spec.bodies:
            if body.name == self.body:
                body.simple = False

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        return self.without_mass(model, "body_ipos")

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        model.body_ipos[self.body_id] += np.array(self.range) * rng.uniform(-1.0, 1.0, 3)
        model.body_sameframe[self.body_id] = 0  # MuJoCo would not look at the new place


@RANDOMIZERS.register("all_centers_of_mass")
@dataclass(frozen=True, kw_only=True)
class AllCentersOfMass(Randomizer):
    """As `center_of_mass`, of every body by itself.

    Attributes:
        range: m, of all axes or of [x, y, z].
    """

    range: float | tuple[float, float, float]

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: MuJoCo must not take any body for one whose frames coincide."""
        for body in spec.bodies:
            body.simple = False

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        model.body_ipos[1:] += np.array(self.range) * rng.uniform(-1.0, 1.0, (model.nbody - 1, 3))
        model.body_sameframe[1:] = 0


@RANDOMIZERS.register("imu_alignment")
@dataclass(frozen=True, kw_only=True)
class IMUAlignment(Randomizer):
    """A site, as an IMU is mounted, turned about a random axis.

    Attributes:
        site: its name.
        max_angle: largest turn, rad, uniform.
        max_offset: largest shift along each axis, m, uniform.
    """

    site: str
    max_angle: float
    max_offset: float = 0.0
    site_id: int = resolved(0)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(self, site_id=object_ids(model, "site", (self.site,))[0])

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        axis = rng.normal(size=3)
        turn, turned = np.empty(4), np.empty(4)
        angle = rng.uniform(-self.max_angle, self.max_angle)
        mujoco.mju_axisAngle2Quat(turn, axis / np.linalg.norm(axis), angle)
        mujoco.mju_mulQuat(turned, model.site_quat[self.site_id], turn)
        model.site_quat[self.site_id] = turned
        model.site_pos[self.site_id] += rng.uniform(-self.max_offset, self.max_offset, 3)
        model.site_sameframe[self.site_id] = 0


@RANDOMIZERS.register("collision_bodies")
@dataclass(frozen=True, kw_only=True)
class CollisionBodies(Randomizer):
    """Sizes of colliding geoms times a factor of each: radius of a sphere, all sizes of others.

    Only of spheres, capsules, ellipsoids, cylinders and boxes: a mesh or a height field has its
    shape elsewhere, and a plane ends nowhere.

    Attributes:
        geoms: names or patterns.
        scale: [low, high] of the factors.
        max_offset: largest shift of each geom along each axis of its body, m, uniform; of those
            alone that have their shape in their size.
    """

    geoms: tuple[str, ...]
    scale: tuple[float, float]
    max_offset: float = 0.0
    geom_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(self, geom_ids=object_ids(model, "geom", self.geoms))

    def without_effect(self, model: mujoco.MjModel) -> str:
        """See `Randomizer`."""
        why = "the shape of a plane, a mesh or a height field is not in its size"
        return idle_text(
            model, "geom_size", self.geom_ids, ~self._sized(model), bool(self.geoms), why
        )

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        sized = self._sized(model)
        ids = np.array(self.geom_ids)[sized]
        factors = rng.uniform(*self.scale, len(self.geom_ids))[sized]
        model.geom_size[ids] *= factors[:, None]
        # What broad-phase collision goes by; mj_setConst leaves it alone.
        model.geom_rbound[ids] *= factors
        model.geom_aabb[ids] *= factors[:, None]
        if self.max_offset:
            model.geom_pos[ids] += rng.uniform(-self.max_offset, self.max_offset, (len(ids), 3))
            model.geom_sameframe[ids] = 0  # MuJoCo would not look at the new place

    def _sized(self, model: mujoco.MjModel) -> np.ndarray:
        """`[len(geom_ids)]` bool those whose size is their shape."""
        return np.isin(model.geom_type[list(self.geom_ids)], list(_SIZED))
