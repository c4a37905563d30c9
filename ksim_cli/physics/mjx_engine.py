"""MJX: the environments are one batched `mjx.Data` on the accelerator (or, slowly, the CPU)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from mujoco import mjx

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import HUGE, EngineSpec, View


class MjxState(struct.PyTreeNode):
    """`mjx.Data` of all environments, with a leading axis of N."""

    data: Any


class MjxEngine:
    """The `mjx` engine (`impl=jax`)."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        nominal = mujoco.MjData(spec.model)
        self._shapes = {name: np.shape(getattr(nominal, name)) for name in spec.viewed()}
        try:
            self._model, self._axes = _batched_model(spec)
        except NotImplementedError as error:
            raise UserError(
                f"engine.type=mjx: this model uses what MJX lacks: {error}."
                " Use engine=mujoco, or change the model"
            ) from error

    def init(self) -> MjxState:
        """See `Engine.init`."""
        n = self.spec.num_envs
        data = mjx.make_data(self.spec.model)
        data = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), data)
        return self._forward(MjxState(data=data))

    def prepare(self, state: MjxState, qpos: jax.Array, qvel: jax.Array) -> MjxState:
        """See `Engine.prepare`: a forward pass under each environment's own model."""
        del state
        n = self.spec.num_envs
        data = mjx.make_data(self.spec.model)
        data = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), data)
        return self._forward(MjxState(data=data.replace(qpos=qpos, qvel=qvel)))

    def reset(self, state: MjxState, mask: jax.Array, prepared: MjxState) -> MjxState:
        """See `Engine.reset`."""

        def merge(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(merge, prepared, state)

    def step(self, state: MjxState, ctrl: jax.Array, num_steps: int) -> MjxState:
        """See `Engine.step`."""

        def once(data: Any, _: None) -> tuple[Any, None]:
            return self._vmapped(mjx.step)(self._model, data), None

        data = state.data.replace(ctrl=ctrl)
        data, _ = jax.lax.scan(once, data, None, length=num_steps)
        return MjxState(data=data)

    def advance(self, state: MjxState, ctrl: jax.Array) -> MjxState:
        """See `Engine.advance`."""
        return self.step(state, ctrl, 1)

    def push(self, state: MjxState, velocity: jax.Array) -> MjxState:
        """See `Engine.push`."""
        return MjxState(data=state.data.replace(qvel=state.data.qvel + velocity))

    def view(self, state: MjxState) -> View:
        """See `Engine.view`."""
        n = self.spec.num_envs
        # MuJoCo has matrices as rows of 9, MJX as 3 x 3.
        return View(
            {
                name: getattr(state.data, name).reshape(n, *shape).astype(jnp.float32)
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

    def host_state(self) -> dict[str, np.ndarray]:
        """Nothing: the whole state is in JAX."""
        return {}

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """Nothing to load."""
        del saved

    def _forward(self, state: MjxState) -> MjxState:
        return MjxState(data=self._vmapped(mjx.forward)(self._model, state.data))

    def _vmapped(self, function: Any) -> Any:
        return jax.vmap(function, in_axes=(self._axes, 0))


def _batched_model(spec: EngineSpec) -> tuple[Any, Any]:
    """The model on the device and the axes to vmap it over: 0 for leaves that differ."""
    if not spec.models:
        model = mjx.put_model(spec.model)
        return model, None
    variants = [mjx.put_model(m) for m in spec.models]
    index = np.arange(spec.num_envs) % len(variants)
    leaves = [jax.tree.leaves(v) for v in variants]
    treedef = jax.tree.structure(variants[0])
    stacked, axes = [], []
    for values in zip(*leaves, strict=True):
        differs = any(not np.array_equal(values[0], v) for v in values[1:])
        stacked.append(jnp.stack(values)[index] if differs else values[0])
        axes.append(0 if differs else None)
    return jax.tree.unflatten(treedef, stacked), jax.tree.unflatten(treedef, axes)
