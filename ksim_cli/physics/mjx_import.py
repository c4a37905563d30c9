"""MJX, imported without a word.

MJX prints two lines where MuJoCo Warp is not installed, to those as well who never asked for it.
"""

import contextlib
import io
from typing import Any

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
    from mujoco.mjx._src import mesh

mjx_mesh: Any = mesh
"""MJX's module of meshes; its `convex` makes of one what collisions need."""

mjx_warp: Any = mjx.warp
"""MJX's side of MuJoCo Warp; its `WARP_INSTALLED` says whether that can run."""

mjx_support: Any = mjx._src.support
"""MJX's functions of contacts, for which it has no public name."""

__all__ = ["mjx", "mjx_mesh", "mjx_support", "mjx_warp"]
