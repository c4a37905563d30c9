"""What is set in JAX before anything is computed."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax

from ksim_cli.config.schema import RunConfig

CACHE_BYTES = 4 * 2**30
"""Size at which JAX removes the programs of the cache that were not used for longest."""


def prepare(config: RunConfig) -> None:
    """Applies `matmul_precision` and `compilation_cache`; called once by every job.

    A cache that is named in JAX's own way (`JAX_COMPILATION_CACHE_DIR`) stays.
    """
    jax.config.update("jax_default_matmul_precision", config.matmul_precision)
    jax.config.update("jax_enable_compilation_cache", config.compilation_cache)
    if not config.compilation_cache or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return  # no home that can be written to: everything is compiled anew, and that is all
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def cache_folder() -> Path:
    """Where compiled programs are kept: the user's cache folder, apart for each kind of processor.

    Programs for a CPU hold instructions that another one, with the same home, may lack.
    """
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ksim" / f"jax-{platform.machine()}-{_processor()}"


def _processor() -> str:
    """A short name of what this processor can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        features = next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return hashlib.sha256(features.encode()).hexdigest()[:8]
