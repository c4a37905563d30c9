"""How much memory a run takes, and how many environments would fit."""

import ctypes
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import mujoco

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import MemoryShortError

LARGE_MODEL = 100 * 2**20
"""Bytes of a model from which on it is said what the model takes."""

_COPIES = 3
"""Of a model with its meshes: the task's own, and one each in training and in evaluation."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device while a compiled iteration runs.

    Attributes:
        total: all of them.
        fixed: those of the learner, which do not grow with the environments.
    """

    total: int
    fixed: int

    def per_env(self, num_envs: int) -> float:
        """Bytes of one environment, of `num_envs` on the device."""
        return (self.total - self.fixed) / num_envs

    def largest_fitting(self, num_envs: int, limit: int) -> int:
        """Environments that fit in `limit` bytes, as each takes as much as one of `num_envs`."""
        return max(0, int((limit - self.fixed) / max(self.per_env(num_envs), 1.0)))


def measure(compiled: Any, learner: Any, devices: int = 1) -> Memory | None:
    """What XLA's memory analysis says of a compiled iteration; None where it says nothing.

    Args:
        compiled: the iteration.
        learner: the learner's arrays or their shapes.
        devices: how many the learner is spread over, which only several seeds' are.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    total = (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
        + analysis.temp_size_in_bytes
    )
    fixed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(learner)) // devices
    return Memory(total=total, fixed=min(fixed, total))


def available() -> int | None:
    """Bytes of the device's memory that JAX may use, of the machine's on a CPU; None: unknown."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    bounds = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):
        free = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text("ascii"))
        bounds += [int(free[1]) * 1024] if free else []
    with suppress(OSError, ValueError):  # no control group, or one without a limit ("max")
        bounds.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return min(bounds)


def check_model(model: mujoco.MjModel, say: Callable[[str], None]) -> None:
    """Say what a large model will take, before it is taken.

    Args:
        model: the compiled model, of which there is one yet.
        say: shows a line.

    Raises:
        MemoryShortError: there is not enough memory for it.
    """
    size = model.nbuffer
    if size < LARGE_MODEL:
        return
    limit = available()
    one, all_copies = (f"{number / 2**30:,.2f} GiB" for number in (size, _COPIES * size))
    what = f"the model with its meshes, textures and height fields takes {one}"
    if limit is not None and (_COPIES - 1) * size > limit:
        raise MemoryShortError(
            f"{what}, a run {all_copies} for its environments, and {limit / 2**30:,.2f} GiB are"
            " free. Give the task a model with smaller meshes"
        )
    say(f"memory: {what}, and the run {all_copies} for its environments, before it is compiled")


def release_freed() -> None:
    """Gives back what compiling a model leaves behind, which with meshes is several times its size.

    MuJoCo caches meshes, and the C library (glibc) keeps what is freed unless it is asked.
    """
    mujoco.mj_clearCache(mujoco.mj_getCache())
    with suppress(OSError, AttributeError, TypeError):  # another C library has no such function
        ctypes.CDLL(None).malloc_trim(0)


def too_large(config: RunConfig, memory: Memory | None, devices: int, limit: int | None) -> str:
    """The sentence for a run that does not fit: what it takes, and how many environments would.

    Args:
        config: the run's.
        memory: what an iteration takes on each device; None: unknown.
        devices: how many the environments are spread over.
        limit: bytes there are on each; None: unknown.
    """
    what = f"num_envs={config.num_envs}: does not fit in the memory of the device"
    if memory is None or limit is None or memory.total <= limit:
        # Something else takes it as well: another process, or the evaluation.
        return f"{what}. Type a smaller num_envs (and batch_size), or rollout_length_frames"
    need, there = (f"{size / 2**30:,.2f} GiB" for size in (memory.total, limit))
    seeds = f" for {config.num_seeds} seeds" if config.num_seeds > 1 else ""
    what = f"{what}: one iteration takes {need} of {there}{seeds}"
    fitting = memory.largest_fitting(config.num_envs // devices, limit) * devices
    if fitting == 0:
        return f"{what}. Type a smaller model or rollout_length_frames"
    if fitting >= config.batch_size:
        fitting -= fitting % config.batch_size
        return f"{what}. The largest that fits is about num_envs={fitting}"
    power = 1 << (fitting.bit_length() - 1)
    return f"{what}. What fits is about num_envs={power} batch_size={max(1, power // 4)}"


@contextmanager
def oom_as_user_error(
    config: RunConfig, devices: int = 1
) -> Generator[Callable[[Memory | None, int | None], None]]:
    """Turn JAX's and MuJoCo's out-of-memory errors into one sentence.

    Args:
        config: the run's.
        devices: how many the environments are spread over.

    Yields:
        A function `(memory, limit)` that refuses an iteration which cannot fit before one is run,
        both as in `too_large`.

    Raises:
        MemoryShortError: memory was not enough, or will not be.
    """
    known: Memory | None = None

    def refuse(memory: Memory | None, limit: int | None) -> None:
        nonlocal known
        known = memory
        if memory is not None and limit is not None and memory.total > limit:
            raise MemoryShortError(too_large(config, memory, devices, limit))

    try:
        yield refuse
    except (RuntimeError, MemoryError, ValueError) as error:
        complaints = ("RESOURCE_EXHAUSTED", "std::bad_alloc")  # of JAX, and of MuJoCo
        if not isinstance(error, MemoryError) and not any(c in str(error) for c in complaints):
            raise
        raise MemoryShortError(too_large(config, known, devices, available())) from error
