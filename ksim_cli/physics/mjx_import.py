"""MJX, imported without a word.

MJX prints two lines where MuJoCo Warp is not installed, to those as well who never asked for it.
"""

import contextlib
import io
from typing import Any

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx

mjx_warp: Any = mjx.warp
"""MJX's side of MuJoCo Warp; its `WARP_INSTALLED` says whether that can run."""

mjx_support: Any = mjx._src.support
"""MJX's functions of contacts, for which it has no public name."""

__all__ = ["mjx", "mjx_support", "mjx_warp"]
