"""Randomizers: draws of a model's constants. Derived ones follow, see `physics.model_variants`.

Ranges called `scale` are factors of what is there, `range` is added to it; either way several
randomizers of one field compose in order.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import mujoco
import numpy as np

from ksim_cli.mdp.joints import JointTerm
from ksim_cli.mdp.term import Randomizer, resolved
from ksim_cli.physics.names import object_ids
from ksim_cli.registry import RANDOMIZERS


@dataclass(frozen=True, kw_only=True)
class DofRandomizer(JointTerm, Randomizer):
    """Base of factors of hinge and slide joints' constants, each joint with its own.

    Attributes:
        field: the model's field.
        scale: [low, high] of the factor.
    """

    field: ClassVar[str]
    scale: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        dofs = list(self.dof_addresses)
        getattr(model, self.field)[dofs] *= rng.uniform(*self.scale, len(dofs))


@RANDOMIZERS.register("static_friction")
@dataclass(frozen=True, kw_only=True)
class StaticFriction(DofRandomizer):
    """Dry friction of joints (`dof_frictionloss`) times a factor."""

    field: ClassVar[str] = "dof_frictionloss"


@RANDOMIZERS.register("joint_damping")
@dataclass(frozen=True, kw_only=True)
class JointDamping(DofRandomizer):
    """Viscous friction of joints (`dof_damping`) times a factor."""

    field: ClassVar[str] = "dof_damping"


@RANDOMIZERS.register("armature")
@dataclass(frozen=True, kw_only=True)
class Armature(DofRandomizer):
    """Reflected inertia of joints (`dof_armature`) times a factor."""

    field: ClassVar[str] = "dof_armature"


@RANDOMIZERS.register("floor_friction")
@dataclass(frozen=True, kw_only=True)
class FloorFriction(Randomizer):
    """Sliding friction of a geom, and of whatever stands on it, times one factor.

    Of two touching geoms MuJoCo takes the larger friction; so all geoms that collide have theirs
    multiplied, and explicit contact pairs too.

    Attributes:
        scale: [low, high] of the factor.
    """

    scale: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        factor = rng.uniform(*self.scale)
        collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        model.geom_friction[collides, 0] *= factor
        model.pair_friction[:, :2] *= factor


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


@RANDOMIZERS.register("mass_addition")
@dataclass(frozen=True, kw_only=True)
class MassAddition(BodyRandomizer):
    """Adds mass to a body, spread as its own: its inertia grows in proportion.

    Attributes:
        range: [low, high], kg.
    """

    range: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        mass = model.body_mass[self.body_id]
        factor = max(0.0, mass + rng.uniform(*self.range)) / mass
        model.body_mass[self.body_id] *= factor
        model.body_inertia[self.body_id] *= factor


@RANDOMIZERS.register("mass_multiplication")
@dataclass(frozen=True, kw_only=True)
class MassMultiplication(BodyRandomizer):
    """Mass and inertia of a body times a factor.

    Attributes:
        scale: [low, high] of the factor.
    """

    scale: tuple[float, float]

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        factor = rng.uniform(*self.scale)
        model.body_mass[self.body_id] *= factor
        model.body_inertia[self.body_id] *= factor


@RANDOMIZERS.register("all_bodies_mass_multiplication")
@dataclass(frozen=True, kw_only=True)
class AllBodiesMassMultiplication(Randomizer):
    """Mass and inertia of every body times a factor of its own.

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
    """Inertia of every body, not its mass, times a factor of its own.

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
        range: m.
    """

    range: float

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: MuJoCo must not take the body for one whose frames coincide."""
        for body in spec.bodies:
            if body.name == self.body:
                body.simple = False

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        model.body_ipos[self.body_id] += rng.uniform(-self.range, self.range, 3)
        model.body_sameframe[self.body_id] = 0  # MuJoCo would not look at the new place


@RANDOMIZERS.register("all_centers_of_mass")
@dataclass(frozen=True, kw_only=True)
class AllCentersOfMass(Randomizer):
    """As `center_of_mass`, of every body by itself.

    Attributes:
        range: m.
    """

    range: float

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: MuJoCo must not take any body for one whose frames coincide."""
        for body in spec.bodies:
            body.simple = False

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        model.body_ipos[1:] += rng.uniform(-self.range, self.range, (model.nbody - 1, 3))
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

    Attributes:
        geoms: names or patterns.
        scale: [low, high] of the factors.
    """

    geoms: tuple[str, ...]
    scale: tuple[float, float]
    geom_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(self, geom_ids=object_ids(model, "geom", self.geoms))

    def __call__(self, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """See `Randomizer`."""
        ids = list(self.geom_ids)
        factors = rng.uniform(*self.scale, len(ids))
        model.geom_size[ids] *= factors[:, None]
        # What broad-phase collision goes by; mj_setConst leaves it alone.
        model.geom_rbound[ids] *= factors
        model.geom_aabb[ids] *= factors[:, None]
