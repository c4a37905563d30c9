"""Frames of a model that terms name: bodies, geoms and sites."""

from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.physics.engine import View
from ksim_cli.physics.names import match_names, object_names


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
