"""Frames of a model that terms name: bodies, geoms and sites; and terms of bodies."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.mdp import maths
from ksim_cli.mdp.maths import pick
from ksim_cli.mdp.sensors import add_frame_sensor, sensor_address
from ksim_cli.mdp.term import Term, resolved
from ksim_cli.physics.engine import View
from ksim_cli.physics.names import match_names, object_ids, object_names


@dataclass(frozen=True)
class Frames:
    """Indices of P frames.

    Attributes:
        kinds: `body`, `geom` or `site` of each.
        ids: index of each.
    """

    kinds: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    def position(self, view: View) -> jax.Array:
        """`[P, 3]` m, world frame: bodies' origins, geoms' and sites' centres."""
        fields = {"body": "xpos", "geom": "geom_xpos", "site": "site_xpos"}
        where = zip(self.kinds, self.ids, strict=True)
        return jnp.stack([getattr(view, fields[kind])[i] for kind, i in where])

    def quaternion(self, view: View) -> jax.Array:
        """`[P, 4]` orientations in the world frame, w first and w >= 0."""
        fields = {"geom": "geom_xmat", "site": "site_xmat"}
        turned = [
            maths.positive(view.xquat[i])
            if kind == "body"
            else maths.quaternion_from_matrix(getattr(view, fields[kind])[i])
            for kind, i in zip(self.kinds, self.ids, strict=True)
        ]
        return jnp.stack(turned)


def bind_frames(model: mujoco.MjModel, names: Iterable[str]) -> Frames:
    """The bodies and sites of some names or patterns, sites first where a name is both.

    Raises:
        UserError: a name that is neither.
    """
    sites, bodies = object_names(model, "site"), object_names(model, "body")
    found = [n for p in names for n in match_names([p], [*sites, *bodies], "site or body")]
    return frames_of(model, [("site" if name in sites else "body", name) for name in found])


def frames_of(model: mujoco.MjModel, named: Iterable[tuple[str, str]]) -> Frames:
    """Frames by kind and name."""
    found = [(kind, int(getattr(model, kind)(name).id)) for kind, name in named]
    return Frames(tuple(kind for kind, _ in found), tuple(i for _, i in found))


@dataclass(frozen=True, kw_only=True)
class BodyTerm(Term):
    """Mixin of terms of bodies.

    Attributes:
        bodies: names or patterns.
    """

    bodies: tuple[str, ...]
    body_ids: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        return replace(super().bind(model), body_ids=object_ids(model, "body", self.bodies))


@dataclass(frozen=True, kw_only=True)
class MovingBodies(BodyTerm):
    """Mixin of terms of how bodies move: the velocities are those of their own frames."""

    velocities: tuple[int, ...] = resolved()

    def edit(self, spec: mujoco.MjSpec) -> None:
        """See `Term.edit`: a velocity sensor for each body."""
        super().edit(spec)
        for body in match_names(self.bodies, [b.name for b in spec.bodies], "body"):
            add_frame_sensor(spec, "framelinvel", "body", body)

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        names = match_names(self.bodies, object_names(model, "body"), "body")
        first = [sensor_address(model, "framelinvel", "body", name) for name in names]
        addresses = tuple(a + i for a in first for i in range(3))
        return replace(super().bind(model), velocities=addresses)

    def velocity(self, view: View) -> jax.Array:
        """`[3 B]` m/s of bodies' origins in the world, body by body."""
        return pick(view.sensordata, self.velocities)
