"""MJX: the environments are one batched `mjx.Data` on the accelerator (or, slowly, the CPU)."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from jax.sharding import PartitionSpec
from mujoco import mjx

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import HUGE, EngineSpec, View

TINY_FRICTION = 1e-8
"""Friction loss, N m, of a joint that has none while some variant's has."""

# Traced once for all programs and all sizes, which is a good part of the time to the first step.
_step = jax.jit(mjx.step)
_forward = jax.jit(mjx.forward)

_PUBLIC = {f.name for f in dataclasses.fields(mjx.Data)}


class MjxState(struct.PyTreeNode):
    """State of all environments.

    Attributes:
        data: `mjx.Data` with a leading axis of N.
        variant: `[N]` int32 which of the randomised models each runs on.
    """

    data: Any
    variant: jax.Array


class MjxEngine:
    """The `mjx` engine (`impl=jax`)."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        known = _PUBLIC | {f.name for f in dataclasses.fields(mjx.make_data(spec.model)._impl)}
        for name in spec.viewed():
            if name not in known:
                raise UserError(
                    f"engine.type=mjx: a term reads view.{name}, which MJX does not compute."
                    " Use engine=mujoco"
                )
        nominal = mujoco.MjData(spec.model)
        self._bare: Any = None
        self._shapes = {name: np.shape(getattr(nominal, name)) for name in spec.viewed()}
        try:
            self._models = _Models(spec)
        except NotImplementedError as error:
            raise UserError(
                f"engine.type=mjx: this model uses what MJX lacks: {error}."
                " Use engine=mujoco, or change the model"
            ) from error

    def init(self) -> MjxState:
        """See `Engine.init`."""
        return MjxState(data=self._blank(), variant=jnp.zeros(self.spec.num_envs, jnp.int32))

    def prepare(self, qpos: jax.Array, qvel: jax.Array, variant: jax.Array) -> MjxState:
        """See `Engine.prepare`: a forward pass under each environment's own model."""
        data = self._blank().replace(qpos=qpos, qvel=qvel)
        return self._forward(MjxState(data=data, variant=variant))

    def reset(self, state: MjxState, mask: jax.Array, prepared: MjxState) -> MjxState:
        """See `Engine.reset`."""

        def merge(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(merge, prepared, state)

    def step(self, state: MjxState, ctrl: jax.Array, num_steps: int) -> MjxState:
        """See `Engine.step`."""
        step = self._models.batched(_step, state.variant)

        def once(data: Any, _: None) -> tuple[Any, None]:
            return step(data), None

        data, _ = jax.lax.scan(once, state.data.replace(ctrl=ctrl), None, length=num_steps)
        return state.replace(data=data)

    def advance(self, state: MjxState, ctrl: jax.Array, num_steps: int) -> MjxState:
        """See `Engine.advance`."""
        return self.step(state, ctrl, num_steps)

    def push(self, state: MjxState, velocity: jax.Array) -> MjxState:
        """See `Engine.push`."""
        return state.replace(data=state.data.replace(qvel=state.data.qvel + velocity))

    def apply_force(self, state: MjxState, force: jax.Array) -> MjxState:
        """See `Engine.apply_force`."""
        return state.replace(data=state.data.replace(xfrc_applied=force))

    def view(self, state: MjxState) -> View:
        """See `Engine.view`."""
        n = self.spec.num_envs
        # MuJoCo has matrices as rows of 9, MJX as 3 x 3.
        return View(
            {
                name: _field(state.data, name).reshape(n, *shape).astype(jnp.float32)
                for name, shape in self._shapes.items()
            }
        )

    def unstable(self, state: MjxState) -> jax.Array:
        """See `Engine.unstable`; MJX raises no warnings, so the state itself is looked at."""
        data = state.data
        sound = jnp.ones(self.spec.num_envs, bool)
        for values in (data.qpos, data.qvel, data.qacc, data.ctrl):
            sound &= (jnp.abs(values) < HUGE).all(axis=1)  # NaN compares false
        return ~sound

    def bare(self, state: MjxState, num_steps: int) -> Callable[[Any], None]:
        """See `Engine.bare`."""

        def control_step(state: MjxState, ctrl: jax.Array) -> tuple[MjxState, None]:
            return self.step(state, ctrl, num_steps), None

        if self._bare is None:
            self._bare = jax.jit(lambda state, torques: jax.lax.scan(control_step, state, torques))

        def run(torques: Any) -> None:
            jax.block_until_ready(self._bare(state, torques))

        return run

    def host_state(self) -> dict[str, np.ndarray]:
        """Nothing: the whole state is in JAX."""
        return {}

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """Nothing to load."""
        del saved

    def _blank(self) -> Any:
        n = self.spec.num_envs
        data = mjx.make_data(self.spec.model)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), data)

    def _forward(self, state: MjxState) -> MjxState:
        forward = self._models.batched(_forward, state.variant)
        return state.replace(data=forward(state.data))


class _Models:
    """The model on the device; of variants, the leaves that differ are stacked `[K, ...]`."""

    def __init__(self, spec: EngineSpec) -> None:
        models = [spec.model] if spec.variants is None else spec.variants.models
        put = [mjx.put_model(m) for m in _with_friction(models)]
        self._mesh = spec.mesh
        self._treedef = jax.tree.structure(put[0])
        self._leaves: list[Any] = []
        self._differs: list[bool] = []
        for values in zip(*(jax.tree.leaves(p) for p in put), strict=True):
            differs = any(not np.array_equal(values[0], v) for v in values[1:])
            self._leaves.append(jnp.stack(values) if differs else values[0])
            self._differs.append(differs)

    def batched(self, function: Any, variant: jax.Array) -> Any:
        """A function of a model and one environment's data, over all environments."""
        leaves = [
            x[variant] if differs else x
            for x, differs in zip(self._leaves, self._differs, strict=True)
        ]
        axes = [0 if differs else None for differs in self._differs]
        model = jax.tree.unflatten(self._treedef, leaves)
        model_axes = jax.tree.unflatten(self._treedef, axes)
        run = jax.vmap(function, in_axes=(model_axes, 0))
        if self._mesh is not None:
            run = self._on_each_device(run)
        return partial(run, model)

    def _on_each_device(self, run: Any) -> Any:
        """Each device loops over its own environments: no solver waits for another's."""
        assert self._mesh is not None
        spread, everywhere = PartitionSpec(self._mesh.axis_names[0]), PartitionSpec()
        specs = [spread if differs else everywhere for differs in self._differs]
        return jax.shard_map(
            run,
            mesh=self._mesh,
            in_specs=(jax.tree.unflatten(self._treedef, specs), spread),
            out_specs=spread,
            check_vma=False,
        )


def _field(data: Any, name: str) -> Any:
    """A field of `mjx.Data`; what only one implementation computes stands a level deeper."""
    return getattr(data if name in _PUBLIC else data._impl, name)


def _with_friction(models: Sequence[mujoco.MjModel]) -> list[mujoco.MjModel]:
    """The models, none of whose joints has exactly no friction where another's has some.

    MJX decides once, for all variants, which joints have friction loss at all.
    """
    some = np.stack([m.dof_frictionloss for m in models]).any(axis=0)
    mended = []
    for model in models:
        lacking = some & (model.dof_frictionloss == 0)
        if lacking.any():
            model = copy.copy(model)
            model.dof_frictionloss[lacking] = TINY_FRICTION
        mended.append(model)
    return mended
