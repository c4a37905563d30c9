"""Compiling the training iteration: once, ahead of time, with shapes and types nailed down."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from ksim_cli.io.console import Console
from ksim_cli.rl.ppo import Incident, Metrics, TrainState
from ksim_cli.run.devices import state_layout
from ksim_cli.run.memory import Memory, measure
from ksim_cli.run.session import Trainer


@dataclass
class Compiled:
    """The two programs of a training run.

    Attributes:
        init: seed -> the first state.
        step: state -> state, metrics and incident after `epochs_per_log_step` iterations; the
            argument's buffers are reused, so it must not be read again.
        abstract: shapes and types of the state.
        seconds: spent compiling.
        layout: the sharding of each leaf of the state; None on one device.
        memory: what an iteration takes on one device; None where XLA does not say.
    """

    init: Callable[[int], TrainState]
    step: Callable[[TrainState], tuple[TrainState, Metrics, Incident]]
    abstract: TrainState
    seconds: float
    layout: TrainState | None = None
    memory: Memory | None = None


def compile_training(trainer: Trainer, iterations: int, console: Console) -> Compiled:
    """Compiles the training iteration.

    Args:
        trainer: what is trained.
        iterations: iterations fused into one dispatch.
        console: says what goes on.
    """
    start = time.monotonic()
    algorithm, setup = trainer.algorithm, trainer.setup

    def fresh(key: jax.Array) -> TrainState:
        return strong(algorithm.init(setup, key))

    abstract, layout, shardings = _laid_out(jax.eval_shape(fresh, jax.random.key(0)), trainer)
    init = jax.jit(fresh, out_shardings=layout)
    step = jax.jit(
        partial(iterate, partial(algorithm.train_step, setup), iterations),
        donate_argnums=0,
        **shardings,
    )
    with console.status("compiling the training iteration"), ThreadPoolExecutor() as threads:
        starting = threads.submit(init.lower(jax.random.key(0)).compile)
        lowered = step.lower(abstract)
        check_stable(abstract, lowered.out_info[0])
        compiled = lowered.compile()
        start_compiled = starting.result()
    return Compiled(
        init=lambda seed: start_compiled(jax.random.key(seed)),
        step=compiled,
        abstract=abstract,
        seconds=time.monotonic() - start,
        layout=layout,
        memory=measure(compiled, abstract.learner),
    )


def _laid_out(
    abstract: TrainState, trainer: Trainer
) -> tuple[TrainState, TrainState | None, dict[str, Any]]:
    """Shapes of the training state with their layout, that layout, and `jax.jit`'s part of it."""
    mesh = trainer.mesh
    if mesh is None:
        return abstract, None, {}
    layout = state_layout(abstract, trainer.setup.env.num_envs, mesh)
    abstract = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        abstract,
        layout,
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    return abstract, layout, {"out_shardings": (layout, everywhere, everywhere)}


def iterate(
    train_step: Callable[[TrainState], tuple[TrainState, Metrics, Incident]],
    iterations: int,
    state: TrainState,
) -> tuple[TrainState, Metrics, Incident]:
    """Several iterations in one program: means of the floats, sums of the counts."""
    if iterations == 1:
        return train_step(state)

    def body(state: TrainState, _: None) -> tuple[TrainState, tuple[Metrics, Incident]]:
        state, metrics, incident = train_step(state)
        return state, (metrics, incident)

    state, (metrics, incidents) = jax.lax.scan(body, state, None, length=iterations)
    first = jnp.argmax(incidents.cause > 0)
    incident = jax.tree.map(lambda x: x[first], incidents)

    def combine(x: jax.Array) -> jax.Array:
        return jnp.nanmean(x) if jnp.issubdtype(x.dtype, jnp.floating) else x.sum()

    return state, jax.tree.map(combine, metrics), incident


def strong(tree: Any) -> Any:
    """The tree with no weakly typed leaf: a weak type would compile the program a second time."""

    def fix(x: jax.Array) -> jax.Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.extended):
            return x
        return jax.lax.convert_element_type(x, x.dtype)

    return jax.tree.map(fix, tree)


def check_stable(before: Any, after: Any) -> None:
    """Sees to it that an iteration gives back the very shapes and types it takes.

    Raises:
        TypeError: a leaf changes its shape or type; the message names it.
    """
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
    ):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise TypeError(
                f"the training state changes from one iteration to the next:"
                f" {jax.tree_util.keystr(path)} is {a.dtype}{list(a.shape)} before and"
                f" {b.dtype}{list(b.shape)} after it"
            )
