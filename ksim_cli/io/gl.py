"""Choosing how MuJoCo makes an OpenGL context; it reads its choice when it is imported.

Standard library only, so that it can be called before MuJoCo is imported.
"""

import os
import subprocess
import sys


def pick_gl(with_glfw: bool | None) -> None:
    """Chooses how MuJoCo makes an OpenGL context, before the first one is made.

    Args:
        with_glfw: true: a window system; false: off screen; None: a window system where there
            is one. `MUJOCO_GL` in the environment wins over None.
    """
    if with_glfw is True:
        os.environ["MUJOCO_GL"] = "glfw"
        return
    if "MUJOCO_GL" in os.environ and with_glfw is None:
        return
    if not sys.platform.startswith("linux"):
        return  # elsewhere MuJoCo's own default renders off screen
    has_window_system = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if with_glfw is None and has_window_system:
        return
    os.environ["MUJOCO_GL"] = "egl" if _works("egl") else "osmesa"


def _works(backend: str) -> bool:
    """Whether a context can be made; tried in a process of its own, since it is once for all."""
    code = "import mujoco; mujoco.GLContext(8, 8).free()"
    environment = {**os.environ, "MUJOCO_GL": backend}
    tried = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    return tried.returncode == 0
