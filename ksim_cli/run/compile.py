"""Compiling the training iteration: once, ahead of time, with shapes and types nailed down."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ksim_cli.io.console import Console
from ksim_cli.rl import algorithm as iteration
from ksim_cli.rl.algorithm import Incident, Metrics, TrainState
from ksim_cli.run.build import TrainingParts
from ksim_cli.run.devices import AXIS, state_layout
from ksim_cli.run.memory import Memory, measure


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


def compile_training(
    parts: TrainingParts,
    iterations: int,
    console: Console,
    check: Callable[[TrainState], None] = lambda abstract: None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> Compiled:
    """Compiles the training iteration.

    Args:
        parts: what is trained.
        iterations: iterations fused into one dispatch.
        console: says what goes on.
        check: refuses shapes and types of the state, before anything is compiled.
        given: arrays that training begins with, see `ksim_cli.rl.algorithm.init`.
    """
    start = time.monotonic()
    init, step, first = _programs(parts, iterations)
    given = dict(given)
    abstract = jax.eval_shape(init, first(0), given)
    check(abstract)
    layout = everywhere = None  # as XLA chooses
    if parts.mesh is not None:
        if parts.num_seeds > 1:  # each lies on one device
            seeds = NamedSharding(parts.mesh, PartitionSpec(AXIS))
            layout = jax.tree.map(lambda _: seeds, abstract)
        else:
            layout = state_layout(abstract, parts.mesh)
        abstract = jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            abstract,
            layout,
        )
        everywhere = NamedSharding(parts.mesh, PartitionSpec())
    with console.status("compiling the training iteration"), ThreadPoolExecutor() as threads:
        begin = jax.jit(init, out_shardings=layout).lower(first(0), given)
        starting = threads.submit(begin.compile)
        shardings = (layout, everywhere, everywhere)
        lowered = jax.jit(step, donate_argnums=0, out_shardings=shardings).lower(abstract)
        assert_fixed_point(abstract, lowered.out_info[0])
        compiled = lowered.compile()
        start_compiled = starting.result()
    return Compiled(
        init=lambda seed: start_compiled(first(seed), given),
        step=compiled,
        abstract=abstract,
        seconds=time.monotonic() - start,
        layout=layout,
        memory=measure(
            compiled,
            abstract.learner,
            parts.mesh.size if parts.mesh is not None and parts.num_seeds > 1 else 1,
        ),
    )


def _programs(parts: TrainingParts, iterations: int) -> tuple[Any, Any, Callable[[int], Any]]:
    """The start and the iteration, of one seed or of several at once; and what the start takes."""
    algorithm, context, count = parts.algorithm, parts.context, parts.num_seeds
    step = partial(iterate, partial(iteration.train_step, algorithm, context), iterations)

    def init(seed: jax.Array, given: Mapping[str, Any]) -> TrainState:
        return without_weak_types(iteration.init(algorithm, context, jax.random.key(seed), given))

    if count == 1:
        return init, step, np.uint32
    init, step = jax.vmap(init, in_axes=(0, None)), jax.vmap(step)
    if parts.mesh is not None:
        spread, everywhere = PartitionSpec(AXIS), PartitionSpec()
        each = partial(jax.shard_map, mesh=parts.mesh, out_specs=spread, check_vma=False)
        init = each(init, in_specs=(spread, everywhere))
        step = each(step, in_specs=(spread,))
    return init, step, lambda seed: np.arange(seed, seed + count, dtype=np.uint32)


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


def without_weak_types(tree: Any) -> Any:
    """The tree with no weakly typed leaf: one would compile the program a second time."""
    return jax.tree.map(lambda x: x.astype(x.dtype), tree)


def assert_fixed_point(before: Any, after: Any) -> None:
    """Assert that an iteration gives back the shapes and types it takes.

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
