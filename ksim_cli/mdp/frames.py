"""Frames of a model that terms name: bodies and sites."""

from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli.physics.engine import View
from ksim_cli.physics.names import match_names, object_names


@dataclass(frozen=True)
class Frames:
    """Indices of P bodies and sites.

    Attributes:
        kinds: `body` or `site` of each.
        ids: index of each.
    """

    kinds: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    def position(self, view: View) -> jax.Array:
        """`[P, 3]` m, world frame: bodies' origins and sites' centres."""
        return jnp.stack(
            [
                (view.xpos if kind == "body" else view.site_xpos)[i]
                for kind, i in zip(self.kinds, self.ids, strict=True)
            ]
        )


def bind_frames(model: mujoco.MjModel, names: Iterable[str]) -> Frames:
    """The bodies and sites of some names or patterns, sites first where a name is both.

    Raises:
        UserError: a name that is neither.
    """
    sites, bodies = object_names(model, "site"), object_names(model, "body")
    kinds: list[str] = []
    ids: list[int] = []
    for pattern in names:
        for name in match_names([pattern], [*sites, *bodies], "site or body"):
            kind = "site" if name in sites else "body"
            kinds.append(kind)
            ids.append(int(getattr(model, kind)(name).id))
    return Frames(tuple(kinds), tuple(ids))
