"""Which devices a run computes on, and how its training state lies on them."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.physics.engine import resolve_engine
from ksim_cli.rl.ppo import TrainState

AXIS = "devices"
"""Name of the mesh's only axis."""


def choose_mesh(config: RunConfig) -> Mesh | None:
    """The devices that a run is spread over; None where there is only one.

    Raises:
        UserError: fewer devices than asked for, environments or seeds that cannot be spread
            evenly, or an engine that does neither.
    """
    asked, there = config.num_devices, jax.device_count()
    if resolve_engine(config.engine.type, config.engine.impl).type == "mujoco":
        _refuse_for_mujoco(config)
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
    for name in ("num_envs", "batch_size") if config.num_seeds == 1 else ("num_seeds",):
        number = getattr(config, name)
        if number % count:
            raise UserError(
                f"{name}={number}: must be a multiple of the {count} devices that it is spread"
                f" over. Type {name}={-(-number // count) * count}, or fewer with num_devices="
            )
    return Mesh(np.array(jax.devices()[:count]), (AXIS,), axis_types=(AxisType.Auto,))


def _refuse_for_mujoco(config: RunConfig) -> None:
    """The batch of simulations belongs to one process and one program."""
    if config.num_devices not in (None, 1):
        raise UserError(
            f"num_devices={config.num_devices}: engine=mujoco computes on one device (its physics"
            " on all CPU cores). Leave out num_devices, or use engine=mjx"
        )
    if config.num_seeds > 1:
        seeds = ",".join(str(config.seed + i) for i in range(min(config.num_seeds, 8)))
        raise UserError(
            f"num_seeds={config.num_seeds}: engine=mujoco trains one seed at a time. Use"
            f" engine=mjx, or one run for each: ksim train -m seed={seeds}"
        )
    if jax.process_count() > 1:
        raise UserError(
            f"engine=mujoco: trains in one process, there are {jax.process_count()}. Use engine=mjx"
        )


def state_layout(state: TrainState, num_envs: int, mesh: Mesh) -> TrainState:
    """The sharding of each leaf of a training state.

    What has an axis of environments is spread over the devices, the learner is on all of them. A
    layout decides where something is computed, never what.

    Args:
        state: arrays or their shapes.
        num_envs: N.
        mesh: the devices.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    spread = NamedSharding(mesh, PartitionSpec(AXIS))

    def lay(leaf: Any) -> NamedSharding:
        return spread if leaf.shape[:1] == (num_envs,) else everywhere

    layout = jax.tree.map(lay, state)
    return layout.replace(learner=jax.tree.map(lambda _: everywhere, state.learner))
