"""The PPO update alone: ksim's and a minimal hand-written one, in one process, in turn.

    python benchmarks/update.py task=humanoid [any key of ksim train]

Both learn from the rollout of a few iterations' training: the same networks, the same sizes and
number of minibatches and passes, Adam with a clipped gradient. The minimal one is
`benchmarks/peers/minimal_ppo.py`, which is given normalised observations; ksim's normalises them
in every minibatch, watches the gradient for what is not finite and measures what it logs.
"""

import dataclasses
import json
import os
import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers import minimal_ppo
from ksim_cli.config.compose import Start, launch, to_run_config
from ksim_cli.io.checkpoint_files import package_versions
from ksim_cli.io.console import silent_console
from ksim_cli.rl.algorithm import Learning, act
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO
from ksim_cli.run.build import make_training_parts
from ksim_cli.run.compile import compile_training

REPEATS = int(os.environ.get("REPEATS", "15"))


def seconds(function: Any, *arguments: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return result, time.perf_counter() - begin


class Handing(PPO):
    """PPO that takes no gradient step, and gives back what it would have taken them from."""

    def minimize(self, context: Any, learner: Any, batch: Batch, key: jax.Array) -> Any:
        return learner, batch


def measure(composed: Any) -> None:
    config = to_run_config(composed)
    parts = make_training_parts(config)
    algorithm, context = parts.algorithm, parts.context
    assert isinstance(algorithm, PPO)
    compiled = compile_training(parts, 1, silent_console())
    state = compiled.init(config.seed)
    for _ in range(3):
        state = compiled.step(state)[0]
    handing = Handing(**dataclasses.asdict(algorithm))

    def last_batch(state: Any) -> Batch:
        state, experience = act(algorithm, context, state, state.key)
        learning = Learning(state.learner, state.own)
        return handing.update(context, learning, experience, state.key)[1]

    batch = jax.block_until_ready(jax.jit(last_batch)(state))
    ours = jax.jit(lambda *arguments: algorithm.minimize(context, *arguments), donate_argnums=0)
    num_minibatches = config.num_envs // config.batch_size
    minimal = minimal_ppo.make_update(algorithm.num_passes, num_minibatches)
    sizes = context.env.observation_sizes
    hidden = (config.model["hidden_size"],) * config.model["num_hidden_layers"]
    params = minimal_ppo.init(
        jax.random.key(0), sizes["actor"], sizes["critic"], context.env.action_size, hidden
    )
    opt_state = minimal_ppo.make_optimizer().init(params)
    flat = {
        "obs": jnp.clip(batch.obs["actor"], -10, 10),
        "critic_obs": jnp.clip(batch.obs["critic"], -10, 10),
        **{n: getattr(batch, n) for n in ("action", "log_prob", "value", "advantage", "target")},
    }
    learner, rows = jax.tree.map(jnp.copy, state.learner), []
    for _ in range(REPEATS + 1):
        (learner, _), one = seconds(ours, learner, batch, state.key)
        (params, opt_state, _), two = seconds(minimal, params, opt_state, flat, state.key)
        rows.append((one, two))
    one, two = (statistics.median(times) for times in zip(*rows[1:], strict=True))
    transitions = context.num_steps * config.num_envs
    ratio = statistics.median(b / a for a, b in rows[1:])
    print(f"ksim {one * 1e3:.1f} ms, minimal {two * 1e3:.1f} ms: {ratio:.2f} of its rate")
    facts = {
        "task": config.task.name,
        "transitions": transitions,
        "minibatches": num_minibatches * algorithm.num_passes,
        "hidden": hidden,
        "ksim_seconds": one,
        "minimal_seconds": two,
        "rate_of_minimal": ratio,
        "versions": package_versions(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    sys.exit(launch("train", sys.argv[1:], measure, Start))
