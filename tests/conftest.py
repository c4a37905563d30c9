import functools
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import absl.logging
import jax
import pytest

from ksim_cli.physics.mjx_import import mjx

# absl remembers the stderr of whichever test imports it first, and closes it when Hydra configures
# logging in another test; the real one it leaves alone.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Under `nohup`, or behind a script's `&`, these are ignored, by every process that a test starts too.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# What one test compiles, another test, a command's own process and the next run find again.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs",
    float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]),
)
# XLA compiles three times as fast when it optimizes little, and what is compiled here runs briefly.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
jax.config.update(
    "jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
)
# Tracing makes many small objects that live on; the collector would walk them all again and again.
gc.set_threshold(50_000, 20, 50)


def promoting(function):
    """A function of MJX, which adds arrays of different ranks; nothing of ours may."""

    @functools.wraps(function)
    def call(*arguments, **keywords):
        with jax.numpy_rank_promotion("allow"):
            return function(*arguments, **keywords)

    return call


jax.config.update("jax_numpy_rank_promotion", "raise")
for _name in ("step", "forward", "make_data", "put_model"):
    setattr(mjx, _name, promoting(getattr(mjx, _name)))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder to work in, as a user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KSIM_PROJECT", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def opengl():
    """Skips where no library can render, which MuJoCo itself is asked, and not what is tested."""
    render = [sys.executable, "-c", "import mujoco; mujoco.GLContext(8, 8).free()"]
    for backend in ("egl", "osmesa"):
        environment = {**os.environ, "MUJOCO_GL": backend}
        tried = subprocess.run(render, env=environment, capture_output=True, check=False)
        if tried.returncode == 0:
            return
    # Both are Debian's packages, which a developer's machine may lack; CI installs them.
    pytest.skip("no OpenGL on this machine: apt-get install libegl1 libosmesa6")


@pytest.fixture
def as_compiled_for_users(monkeypatch):
    """Programs optimized as for users, where a test needs their speed or their very numbers."""
    before = jax.config.jax_disable_most_optimizations
    jax.config.update("jax_disable_most_optimizations", False)
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
    yield
    jax.config.update("jax_disable_most_optimizations", before)
