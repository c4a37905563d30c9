"""MJX, imported without a word.

MJX prints two lines where MuJoCo Warp is not installed, to those as well who never asked for it.
"""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
    from mujoco.mjx import warp as mjx_warp

__all__ = ["mjx", "mjx_warp"]
