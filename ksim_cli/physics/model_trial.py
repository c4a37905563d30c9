"""First look at a stranger's model: compiled in a process that has little time and memory.

A few lines of MJCF can ask for millions of bodies, terabytes of memory, or a file that never ends.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco

from ksim_cli.errors import UserError
from ksim_cli.paths import PACKAGE
from ksim_cli.physics.model import load_spec
from ksim_cli.physics.robot import compiled

SECONDS = 60
"""Of one processor, and on the clock twice as many."""

BYTES = 4 * 2**30
"""Of memory, the libraries' own among it."""

_BAD = 2


def try_model(path: Path) -> None:
    """Loads, compiles and forwards a model in a process of its own; nothing of it is kept.

    Args:
        path: a file of MJCF or URDF.

    Raises:
        UserError: it is malformed, takes longer than `SECONDS` or more than `BYTES`, or crashes.
    """
    limits = (str(SECONDS), str(BYTES))
    command = [sys.executable, "-P", "-m", __name__, os.path.abspath(path), *limits]
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MALLOC_ARENA_MAX": "2"}
    try:
        with tempfile.TemporaryDirectory() as folder:  # where MuJoCo may leave its log
            done = subprocess.run(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=2 * SECONDS,
                check=False,
            )
        status, said = done.returncode, done.stdout.decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired:
        status, said = -1, ""
    if status == _BAD and said:
        raise UserError(said)
    if status:
        raise UserError(
            f"{path}: could not be compiled within {SECONDS} s and {BYTES / 2**30:g} GiB"
        )


def _limit(seconds: int, size: int) -> None:
    """Bounds this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the clock alone
        return
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, size)):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(path: str, seconds: str, size: str) -> int:
    _limit(int(seconds), int(size))
    try:
        model = compiled(load_spec(Path(path)))
        mujoco.mj_forward(model, mujoco.MjData(model))
    except (UserError, ValueError, MemoryError, mujoco.FatalError, OSError) as error:
        print(f"{str(error) or type(error).__name__:.2000}")
        return _BAD
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
