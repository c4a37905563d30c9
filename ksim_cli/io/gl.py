"""Choosing how MuJoCo makes an OpenGL context; it reads its choice when it is imported.

Standard library only, so that it can be called before MuJoCo is imported.
"""

import os
import subprocess
import sys

from ksim_cli.errors import UserError

NO_GL = (
    "no OpenGL to render with{reason}. On Debian or Ubuntu: apt-get install libegl1 libosmesa6;"
    " MUJOCO_GL=egl, osmesa or glfw chooses one of them"
)
"""What to say where nothing can be rendered; `reason` is empty or in parentheses."""


def pick_gl(with_glfw: bool | None) -> None:
    """Chooses how MuJoCo makes an OpenGL context, before the first one is made.

    Args:
        with_glfw: true: a window system; false: off screen; None: `MUJOCO_GL` if it is set, else
            a window system where there is one, else off screen.

    Raises:
        UserError: none of them works here.
    """
    if not sys.platform.startswith("linux"):
        return  # elsewhere MuJoCo's own default renders off screen
    has_window_system = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    chosen = os.environ.get("MUJOCO_GL")
    if with_glfw is None and chosen:
        candidates = [chosen]
    elif with_glfw or (with_glfw is None and has_window_system):
        candidates = ["glfw"]
    else:
        candidates = ["egl", "osmesa"]
    for backend in candidates:
        if _works(backend):
            os.environ["MUJOCO_GL"] = backend
            return
    raise UserError(NO_GL.format(reason=f" (tried {', '.join(candidates)})"))


def _works(backend: str) -> bool:
    """Whether a context can be made; tried in a process of its own, since it is once for all."""
    code = "import mujoco; mujoco.GLContext(8, 8).free()"
    environment = {**os.environ, "MUJOCO_GL": backend}
    tried = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    return tried.returncode == 0
