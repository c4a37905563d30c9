"""How much memory a training iteration takes, and how many environments would fit."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError


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
    stats: dict[str, int] | None = device.memory_stats()
    if device.platform != "cpu":
        return None if stats is None else stats.get("bytes_limit")
    bounds = [_number("/sys/fs/cgroup/memory.max"), _free()]
    return min((bound for bound in bounds if bound is not None), default=None)


def refuse_too_large(
    config: RunConfig, memory: Memory | None, devices: int, limit: int | None
) -> None:
    """Refuses a run whose iteration cannot fit, before one is run.

    Args:
        config: the run's.
        memory: what an iteration takes on each device.
        devices: how many the environments are spread over.
        limit: bytes there are on each; None: unknown.

    Raises:
        UserError: it takes more than there is; says how many environments would fit.
    """
    if memory is not None and limit is not None and memory.total > limit:
        raise UserError(too_large(config, memory, devices, limit))


def too_large(config: RunConfig, memory: Memory | None, devices: int, limit: int | None) -> str:
    """The sentence for a run that does not fit."""
    what = f"num_envs={config.num_envs}: does not fit in the memory of the device"
    if memory is None or limit is None or memory.total <= limit:
        # Something else takes it as well: another process, or the evaluation.
        return f"{what}. Type a smaller num_envs (and batch_size), or rollout_length_frames"
    fitting = largest_fitting(memory, config.num_envs // devices, limit) * devices
    need = f"{what}: one iteration takes {_spell(memory.total)} of {_spell(limit)}"
    if config.num_seeds > 1:
        need = f"{need} for {config.num_seeds} seeds"
    if fitting >= config.batch_size:
        return f"{need}. The largest that fits is about num_envs={_rounded(fitting, config)}"
    if fitting == 0:
        return f"{need}. Type a smaller model or rollout_length_frames"
    power = 1 << (fitting.bit_length() - 1)
    return f"{need}. What fits is about num_envs={power} batch_size={max(1, power // 4)}"


def _rounded(fitting: int, config: RunConfig) -> int:
    return fitting - fitting % config.batch_size


def largest_fitting(memory: Memory, num_envs: int, limit: int) -> int:
    """Environments per device that fit in `limit` bytes, as one takes as much as another."""
    return max(0, int((limit - memory.fixed) / max(memory.per_env(num_envs), 1.0)))


@dataclass
class Used:
    """What is known of a run's memory when it is found to be too little."""

    memory: Memory | None = None


@contextmanager
def explained(config: RunConfig, devices: int = 1) -> Generator[Used]:
    """Turns JAX's long complaint that memory was not enough into one sentence.

    Args:
        config: the run's.
        devices: how many the environments are spread over.

    Yields:
        Where to put what the compiled iteration takes, once that is known.

    Raises:
        UserError: memory was not enough.
    """
    used = Used()
    try:
        yield used
    except (RuntimeError, MemoryError, ValueError) as error:
        complaints = ("RESOURCE_EXHAUSTED", "std::bad_alloc")  # of JAX, and of MuJoCo
        if not isinstance(error, MemoryError) and not any(c in str(error) for c in complaints):
            raise
        raise UserError(too_large(config, used.memory, devices, available())) from error


def _spell(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


def _free() -> int | None:
    """Memory that processes may still take, bytes."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _number(path: str) -> int | None:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
