"""What a fresh run takes of others: the policy that it begins from, and what its algorithm needs.

It is read once, as `ksim view` reads a policy, and kept in the run's folder `sources/`, so that
the other run may change or go: one that is killed before its first checkpoint begins from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from ksim_cli.config.saved import read_config
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io import pytrees
from ksim_cli.io.checkpoints import CheckpointError, CheckpointStore, read_arrays
from ksim_cli.io.console import Console
from ksim_cli.io.runs import RUNS, RunFolder, find_checkpoint
from ksim_cli.rl.algorithm import LearnerState
from ksim_cli.run import hosts
from ksim_cli.run.build import TrainingParts, chosen_seed, sound_step
from ksim_cli.run.run_store import refuse_other_config
from ksim_cli.run.seeds import POLICY, TRAINING

INIT_FROM = "init_from"

_VARIABLES = f"{POLICY}/variables"


@dataclass(frozen=True)
class Source:
    """A run that arrays are taken of.

    Attributes:
        key: the key that names it, for messages.
        spec: what was typed.
        fields: field of the learner -> where its arrays are in the run's checkpoint.
        whole: whether all that is there must be asked for, too.
        partial: whether what fits will do.
    """

    key: str
    spec: str
    fields: Mapping[str, str]
    whole: bool = False
    partial: bool = False


def take_sources(
    config: RunConfig, run: RunFolder, parts: TrainingParts, console: Console
) -> dict[str, Any]:
    """Field of the learner -> arrays that training begins with, see `ksim_cli.rl.algorithm.init`.

    Args:
        config: the run's.
        run: its folder, where what is taken is kept.
        parts: what is trained.
        console: says what was taken.

    Raises:
        UserError: a run is not there, cannot be read, or does not fit.
    """
    context, algorithm = parts.context, parts.algorithm

    def fresh(key: jax.Array) -> LearnerState:
        return algorithm.init(context, context.policy.init(key), key).learner

    learner = jax.eval_shape(fresh, jax.random.key(0))
    given: dict[str, Any] = {}
    for source in _sources(config, parts, learner):
        given |= _take(source, run, learner, console)
    return given


def _sources(config: RunConfig, parts: TrainingParts, learner: LearnerState) -> list[Source]:
    sources = [
        Source(f"algo.{key}", str(config.algo[key]), {field: _VARIABLES})
        for key, field in parts.algorithm.sources().items()
    ]
    if config.init_from is not None:
        others = (name for name in learner.inherited if name != "variables")
        fields = {"variables": _VARIABLES, **{n: f"{TRAINING}/learner/{n}" for n in others}}
        partial = config.init_from_partial
        sources.append(Source(INIT_FROM, config.init_from, fields, whole=True, partial=partial))
    return sources


def _take(
    source: Source, run: RunFolder, learner: LearnerState, console: Console
) -> dict[str, Any]:
    """What one of them gives; kept in the run's folder, if it is not already."""
    kept = CheckpointStore(run.sources / source.key.rpartition(".")[2])
    of_it = [step for step in kept.steps() if _is_of(kept, step, source)]
    (step,) = hosts.broadcast(max(of_it, default=-1))
    if step >= 0:
        stored = {field: read_arrays(kept, step, f"{POLICY}/{field}") for field in source.fields}
        return _fitted(source, stored, learner, f"{kept.folder}")[0]
    origin, step, stored = _read(source, console)
    where = f"{origin.path}, iteration {step}"
    given, left = _fitted(source, stored, learner, where)
    count = sum(len(jax.tree.leaves(tree)) for tree in given.values())
    console.print(f"{source.key}: {count} arrays of {where} ({', '.join(given)})")
    if left:
        console.print("\n  ".join([f"{source.key}: made anew, or left:", *left]))
    if hosts.is_leader():
        info = {"run": origin.path, "typed": source.spec, "iteration": step, "left": left}
        try:
            kept.save(step, {POLICY: given}, info)
            kept.wait()
        except CheckpointError as error:
            raise UserError(f"{source.key}={source.spec}: {error}") from error
    return given


def _is_of(kept: CheckpointStore, step: int, source: Source) -> bool:
    """Whether what was kept is what is asked for now: a run without a checkpoint may change."""
    return kept.verify(step) is None and kept.info(step).get("typed") == source.spec


def _read(source: Source, console: Console) -> tuple[RunFolder, int, dict[str, dict[str, Any]]]:
    """The run, the iteration, and field -> arrays by path, of one seed."""
    typed = f"{source.key}={source.spec}"
    run, named = find_checkpoint(source.spec, RUNS)
    run.check()
    store = CheckpointStore(run.checkpoints)
    step = sound_step(store, named, typed, console)
    if step is None:
        raise UserError(f"{typed}: {run.path} holds no checkpoint that can be read. Name another")
    refuse_other_config(run, step, store.info(step))
    count = int(read_config(run.config).get("num_seeds", 1))
    index, which = chosen_seed(run, step, count)
    if which:
        console.print(f"{source.key}: of {run.path}{which}")
    stored = {field: read_arrays(store, step, path) for field, path in source.fields.items()}
    if count > 1:
        stored = jax.tree.map(lambda array: array[index].copy(), stored)
    return run, step, stored


def _fitted(
    source: Source, stored: Mapping[str, Mapping[str, Any]], learner: LearnerState, where: str
) -> tuple[dict[str, Any], list[str]]:
    """Field -> arrays as the learner holds them, and what of both sides is left.

    Raises:
        UserError: something does not fit, and it does not do.
    """
    given: dict[str, Any] = {}
    left: list[str] = []
    for field, arrays in stored.items():
        target = getattr(learner, field)
        asked = pytrees.described(target)
        there = {path: pytrees.describe(array, path) for path, array in arrays.items()}
        if not source.whole:
            there = {path: leaf for path, leaf in there.items() if path in asked}
        given[field] = pytrees.matching(target, arrays)
        needed = source.fields[field] == _VARIABLES
        if needed and not source.partial and (lines := pytrees.mismatches(target, there)):
            raise _misfit(source, where, lines)
        if needed and not jax.tree.leaves(given[field].params):
            raise _misfit(source, where, ["no weights of the one are weights of the other"])
        left += [f"{field}/{line}" for line in pytrees.mismatches(target, there, None)]
    return given, left


def _misfit(source: Source, where: str, lines: list[str]) -> UserError:
    head = f"{source.key}={source.spec}: the networks of {where} are not those of this run:"
    hint = "It is of another robot, or has other actuators or observations"
    if source.whole:
        hint = "Choose the same networks (its config.yaml says which), observations and actuators"
    if source.whole and not source.partial:
        hint += f", or type {INIT_FROM}_partial=true to take what fits"
    return UserError("\n  ".join([head, *lines, hint]))
