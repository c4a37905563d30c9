"""Which devices a run computes on, and how its training state lies on them."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.physics.engines import engine_class, resolve_engine

AXIS = "devices"
"""Name of the mesh's only axis."""


def choose_mesh(config: RunConfig) -> Mesh | None:
    """The devices that a run is spread over; None where there is only one.

    Raises:
        UserError: fewer devices than asked for, environments or seeds that cannot be spread
            evenly, or an engine that does neither.
    """
    asked, there = config.num_devices, jax.device_count()
    name = resolve_engine(config.engine.type, config.engine.impl).type
    engine = engine_class(name)
    if config.num_seeds > 1 and not engine.batches_seeds:
        seeds = ",".join(str(config.seed + i) for i in range(config.num_seeds))
        raise UserError(
            f"num_seeds={config.num_seeds}: engine={name} trains one seed at a time. Use"
            f" engine=mjx, or one run for each: ksim train -m seed={seeds}"
        )
    if not engine.shards:
        _refuse_several(config, name)
        return None
    if asked is not None and asked > there:
        raise UserError(
            f"num_devices={asked}: there {'is' if there == 1 else 'are'} {there}"
            f" ({jax.devices()[0].device_kind}). Leave out num_devices to use all"
        )
    if asked is not None and jax.process_count() > 1 and asked != there:
        raise UserError(
            f"num_devices={asked}: several processes train on all of their {there} devices."
            " Leave out num_devices"
        )
    count = asked or there
    if count == 1:
        return None
    _refuse_uneven(config, count)
    return Mesh(np.array(jax.devices()[:count]), (AXIS,), axis_types=(AxisType.Auto,))


def _refuse_uneven(config: RunConfig, count: int) -> None:
    """Every device gets as many of the environments, of a minibatch's, or of the seeds."""
    fewer = "" if jax.process_count() > 1 else ", or num_devices=1"
    if config.num_seeds > 1:
        if config.num_seeds % count:
            raise UserError(
                f"num_seeds={config.num_seeds}: must be a multiple of the {count} devices."
                f" Type num_seeds={_up(config.num_seeds, count)}{fewer}"
            )
        return
    if config.num_envs % count or config.batch_size % count:
        batch_size = _up(config.batch_size, count)
        raise UserError(
            f"num_envs={config.num_envs}, batch_size={config.batch_size}: must be multiples of the"
            f" {count} devices that they are spread over. Type"
            f" num_envs={_up(config.num_envs, batch_size)} batch_size={batch_size}{fewer}"
        )


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _refuse_several(config: RunConfig, engine: str) -> None:
    """Refuses several devices or processes for an engine that does not shard."""
    if config.num_devices not in (None, 1):
        raise UserError(
            f"num_devices={config.num_devices}: engine={engine} computes on one device."
            " Leave out num_devices, or use engine=mjx"
        )
    if jax.process_count() > 1:
        raise UserError(
            f"engine={engine}: trains in one process, got {jax.process_count()}. Use engine=mjx"
        )


def state_layout(state: Any, mesh: Mesh) -> Any:
    """The sharding of each leaf of a training state.

    What is kept per environment is spread over the devices, what all share is on each of them; the
    fields of the state's classes say which they are. A layout decides where something is computed,
    never what.

    Args:
        state: arrays or their shapes, in dataclasses.
        mesh: the devices.

    Raises:
        TypeError: a field is not marked, and is no dataclass whose fields are.
    """
    layout = {}
    for field in dataclasses.fields(state):
        value, spread = getattr(state, field.name), field.metadata.get("per_env")
        if spread is not None:
            sharding = NamedSharding(mesh, PartitionSpec(AXIS) if spread else PartitionSpec())
            layout[field.name] = jax.tree.map(lambda _, s=sharding: s, value)
        elif dataclasses.is_dataclass(value):
            layout[field.name] = state_layout(value, mesh)
        else:
            raise TypeError(
                f"{type(state).__name__}.{field.name} is marked neither per_env() nor shared()"
            )
    return state.replace(**layout)
