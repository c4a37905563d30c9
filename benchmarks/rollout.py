"""How much of the raw rate of `mujoco.batch` a rollout and a training iteration keep.

    python benchmarks/rollout.py task=humanoid [any key of ksim train]

In one process, in turn, several times: physics alone (`Batch.step` from the states and with the
torques of a rollout that was just made), the rollout (policy, critic, observations, rewards left
to the update as always, terminations, events, latency, actuators at every physics step, resets),
and the whole iteration with its update. Prints a line for each and, last, one of JSON with the
medians; rates are control steps of one environment per second.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from mujoco import batch

from ksim_cli.config.compose import Start, launch, to_run_config
from ksim_cli.rl.rollout import collect
from ksim_cli.run.compile import strong
from ksim_cli.run.session import Trainer, make_trainer

REPEATS = int(os.environ.get("REPEATS", "5"))
WARM_UP_ITERATIONS = 20


class Run:
    """A training run, its programs compiled, some iterations in."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        algorithm, setup = trainer.algorithm, trainer.setup
        self.state = jax.jit(lambda key: strong(algorithm.init(setup, key)))(jax.random.key(0))
        self.iterate = jax.jit(lambda state: algorithm.train_step(setup, state)[0])

        def rollout(state: Any) -> Any:
            start = (state.env, state.carry)
            variables = state.learner.variables
            (env, carry), _ = collect(
                setup.env, setup.agent, variables, start, state.key, setup.num_steps
            )
            return state.replace(env=env, carry=carry)

        self.rollout = jax.jit(rollout)
        for _ in range(WARM_UP_ITERATIONS):
            self.state = self.iterate(self.state)
        jax.block_until_ready(self.rollout(self.state))

    def play(self, program: Callable[[Any], Any]) -> float:
        """Control steps per second of one of the programs."""
        setup = self.trainer.setup
        begin = time.perf_counter()
        self.state = jax.block_until_ready(program(self.state))
        return setup.num_steps * setup.env.num_envs / (time.perf_counter() - begin)


class Raw:
    """Physics alone, on a batch of its own, over the same states and torques as a rollout."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        model, n = trainer.task_model.model, trainer.setup.env.num_envs
        self.batch = batch.Batch(model, n, nthread=trainer.env.engine.spec.num_threads)
        self.substeps = trainer.env.timing.num_substeps
        self.step = jax.jit(trainer.setup.env.step)
        self.act = jax.jit(
            lambda state: (
                trainer.setup.agent.sample_action(
                    state.learner.variables, state.env.obs, state.carry, state.key, False
                ).action
            )
        )

    def play(self, run: Run) -> float:
        """Control steps per second; the run's environments move on by one rollout."""
        trainer, steps = self.trainer, self.trainer.setup.num_steps
        rows: Any = trainer.task_engine()
        states = rows.host_state()["state"]
        controls, state = [], run.state
        for _ in range(steps):
            env, _ = self.step(state.env, self.act(state))
            state = jax.block_until_ready(state.replace(env=env))
            controls.append(np.array(rows._host.batch.ctrl))
        run.state = state
        self.batch.state[:] = states
        ctrl = self.batch.bind("ctrl")
        begin = time.perf_counter()
        for control in controls:
            ctrl[:] = control
            self.batch.step(nstep=self.substeps)
        return steps * trainer.setup.env.num_envs / (time.perf_counter() - begin)


def measure(composed: Any) -> None:
    """Measures the task of a composed config."""
    config = to_run_config(composed)
    trainer = make_trainer(config)
    run, raw = Run(trainer), Raw(trainer)
    raw.play(run)
    rows = []
    for _ in range(REPEATS):
        rates = {
            "raw": raw.play(run),
            "rollout": run.play(run.rollout),
            "training": run.play(run.iterate),
        }
        rates |= {f"{name}_share": rates[name] / rates["raw"] for name in ("rollout", "training")}
        rows.append(rates)
        print("  ".join(f"{name} {rate:,.3g}" for name, rate in rates.items()), flush=True)
    medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    facts = {
        "task": config.task.name,
        "num_envs": config.num_envs,
        "substeps": trainer.env.timing.num_substeps,
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("jax", "mujoco")},
    }
    print(json.dumps({**facts, **{name: round(value, 4) for name, value in medians.items()}}))


if __name__ == "__main__":
    sys.exit(launch("train", sys.argv[1:], measure, Start))
