"""`ksim bench`: how fast a task trains here, and where the time goes."""

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import jax

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.console import Console, open_console
from ksim_cli.rl import algorithm as iteration
from ksim_cli.rl.algorithm import TrainState
from ksim_cli.run.build import TrainingParts, make_training_parts
from ksim_cli.run.compile import Compiled, compile_training
from ksim_cli.run.memory import available, oom_as_user_error

WARM_UP_ITERATIONS = 20
"""Iterations before measuring, so that episodes are at all times of their lives."""
LEAST_ROUNDS = 3
_TITLES = ("physics alone", "rollout", "update", "training, end to end")


@dataclass(frozen=True)
class Rates:
    """Control steps of one environment per second, each alone.

    Attributes:
        raw: physics only, from the states and with the torques of the rollout.
        rollout: policy, critic, actuators, physics, observations, terminations, resets.
        update: rewards, advantages and all minibatches.
        training: whole iterations, as `ksim train` runs them.
    """

    raw: float
    rollout: float
    update: float
    training: float


class Bench:
    """A training run some iterations in, whose parts can be run alone.

    Args:
        parts: of which results hold `ctrl`.
        compiled: its training iteration.
        iterations: iterations of one dispatch of it.
        seed: of the run.
    """

    def __init__(
        self, parts: TrainingParts, compiled: Compiled, iterations: int, seed: int
    ) -> None:
        algorithm, context = parts.algorithm, parts.context
        self._engine = parts.env.engine
        self._substeps = parts.env.timing.num_substeps
        self._env_steps = context.num_steps * context.env.num_envs
        self._iterations = iterations
        self._train = compiled.step
        act = partial(iteration.act, algorithm, context)
        learn = partial(iteration.learn, algorithm, context)
        # None: as XLA chooses.
        self._act = jax.jit(act, out_shardings=(compiled.layout, None))
        self._learn = jax.jit(learn, out_shardings=(compiled.layout, None, None))
        self._key = jax.random.key(seed)
        self._state: TrainState = compiled.init(seed)

    def warm_up(self, seconds: float) -> None:
        """Run the first iterations, at most for so many seconds, and every part once."""
        end = time.perf_counter() + seconds
        for _ in range(max(1, WARM_UP_ITERATIONS // self._iterations)):
            self._state = jax.block_until_ready(self._train(self._state)[0])
            if time.perf_counter() > end:
                break
        self.round()

    def round(self) -> Rates:
        """Run every part once; the run goes on by two dispatches and a rollout."""
        bare = self._engine.physics_only_runner(self._state.env.physics, self._substeps)
        (state, rollout), acting = _timed(self._act, self._state, self._key)
        (self._state, *_), learning = _timed(self._learn, state, rollout, self._key)
        torques = jax.block_until_ready(rollout.results.steps.view.ctrl)
        _, raw = _timed(bare, torques)
        (self._state, *_), training = _timed(self._train, self._state)
        return Rates(
            raw=self._env_steps / raw,
            rollout=self._env_steps / acting,
            update=self._env_steps / learning,
            training=self._iterations * self._env_steps / training,
        )


def bench(config: RunConfig) -> None:
    """Measure for `bench_seconds`, prints a table and, last, one line of JSON."""
    if config.num_seeds > 1:
        raise UserError(f"num_seeds={config.num_seeds}: ksim bench measures one. Leave it out")
    console = open_console(None)
    with oom_as_user_error(config):
        parts = make_training_parts(config, recorded=("ctrl",))
    with oom_as_user_error(config, parts.spread) as refuse_too_large:
        compiled = compile_training(parts, config.epochs_per_log_step, console)
        refuse_too_large(compiled.memory, available())
        subject = Bench(parts, compiled, config.epochs_per_log_step, config.seed)
        rounds = _measured(subject, config.bench_seconds, console)
    measured = [asdict(one) for one in rounds]
    rates = {name: median(one[name] for one in measured) for name in measured[0]}
    shares = {name: median(one[name] / one["raw"] for one in measured) for name in rates}
    substeps, device = parts.env.timing.num_substeps, jax.devices()[0]
    rows = [
        (title, f"{rate:,.0f}", f"{rate * substeps:,.0f}", f"{share:.0%}")
        for title, rate, share in zip(_TITLES, rates.values(), shares.values(), strict=True)
    ]
    console.table(
        f"{parts.title} on {device.device_kind}",
        ["", "env steps/s", "physics steps/s", "of physics"],
        rows,
    )
    facts = {
        **parts.facts,
        "batch_size": config.batch_size,
        "num_steps": parts.context.num_steps,
        "algo": config.algo,
        "substeps": substeps,
        "epochs_per_log_step": config.epochs_per_log_step,
        "rounds": len(rounds),
        "physics_steps_per_second": rates["raw"] * substeps,
        **{f"{name}_steps_per_second": rate for name, rate in rates.items()},
        **{f"{name}_share": share for name, share in shares.items() if name != "raw"},
        "compile_seconds": compiled.seconds,
        "bytes_per_env": _bytes_per_env(compiled, parts),
        "num_devices": parts.spread,
        "device": device.device_kind,
        "platform": device.platform,
        "cores": _cores(),
        "machine": platform.machine(),
    }
    console.print(json.dumps({name: _rounded(value) for name, value in facts.items()}))


def _measured(subject: Bench, seconds: float, console: Console) -> list[Rates]:
    with console.status("warming up"):
        subject.warm_up(seconds)
    rounds: list[Rates] = []
    with console.status("measuring"):
        end = time.perf_counter() + seconds
        while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
            rounds.append(subject.round())
    return rounds


def _cores() -> int | None:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _bytes_per_env(compiled: Compiled, parts: TrainingParts) -> float | None:
    """Bytes that one more environment takes on its device, and on the host beside it."""
    if compiled.memory is None:
        return None
    num_envs = parts.context.env.num_envs
    host = sum(rows.nbytes for rows in parts.env.engine.host_state().values())
    return compiled.memory.per_env(num_envs // parts.spread) + host / num_envs


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Result of a function, once it is computed, and the seconds it took."""
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - begin


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
