"""Trains an algorithm on one device, spread over all there are, and as one of several seeds.

    python -m tests.rl.spread

Prints name -> how -> the metrics of three iterations, as JSON. Run with
`--xla_force_host_platform_device_count=4` among the `XLA_FLAGS`.
"""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ksim_cli import models
from ksim_cli.config.components import GRUConfig
from ksim_cli.rl.algorithm import init, train_step
from ksim_cli.rl.amp import AMP
from ksim_cli.rl.distill import Distill
from ksim_cli.rl.ppo import PPO
from ksim_cli.run.compile import without_weak_types
from ksim_cli.run.devices import AXIS, state_layout
from tests.rl.discriminator import Adversarial
from tests.rl.imitated import make_context
from tests.rl.replay_buffer import Replay

ITERATIONS = 3
STAGES = {"clone_iterations": 1, "warm_up_iterations": 1, "likelihood_weight": 0.5}
RECURRENT = vars(GRUConfig(hidden_size=4))
ALGORITHMS = {
    "ppo": PPO(),
    "adversarial": Adversarial(),
    "replay": Replay(),
    "amp": AMP(disc_groups=["actor"], disc_hidden=[8], amp_reference_batch_size=2),
    "distill": Distill(teacher_model=RECURRENT, **STAGES),
}
models.register_models()


def train(state, step):
    """Metrics of every iteration, name -> a number each."""
    rows = []
    for _ in range(ITERATIONS):
        state, metrics, _ = step(state)
        rows.append(jax.device_get(metrics))
    return {name: [np.asarray(row[name]).tolist() for row in rows] for name in rows[0]}, state


def trained(algorithm):
    """How -> metrics."""
    context = make_context(algorithm)

    def begin(seed):
        return without_weak_types(init(algorithm, context, jax.random.key(seed)))

    step = partial(train_step, algorithm, context)
    four, five = (jax.jit(begin)(np.uint32(seed)) for seed in (4, 5))
    one, _ = train(five, jax.jit(step))
    layout = state_layout(jax.eval_shape(begin, np.uint32(5)), Mesh(jax.devices(), (AXIS,)))
    spread_step = jax.jit(step, out_shardings=(layout, None, None))
    spread, state = train(jax.device_put(five, layout), spread_step)
    kept = jax.tree.leaves((state.own, state.learned))
    assert all(len(x.sharding.device_set) == jax.device_count() for x in kept)
    both = jax.tree.map(lambda *each: jnp.stack(each), four, five)
    seeds, _ = train(both, jax.jit(jax.vmap(step)))
    second = {name: [row[1] for row in rows] for name, rows in seeds.items()}
    return {"one": one, "spread": spread, "second of two seeds": second}


if __name__ == "__main__":
    said = {name: trained(algorithm) for name, algorithm in ALGORITHMS.items()}
    print(json.dumps({"devices": jax.device_count(), "trained": said}))
