"""Native MuJoCo on all cores.

The environments live in the float64 rows of one `mujoco.batch.Batch`. JAX sees float32 copies,
through ordered host callbacks inside the compiled rollout; the values are those of `mj_step` on
one `MjData` per environment, bit for bit, at any thread count.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from jax.experimental import io_callback
from mujoco import batch

from ksim_cli.physics.engine import HUGE, EngineSpec, View

_BAD = [
    int(w)
    for w in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
        mujoco.mjtWarning.mjWARN_INERTIA,
    )
]
_REFRESHED = ("qpos", "qvel")


class MujocoState(struct.PyTreeNode):
    """What JAX sees of the batch.

    Attributes:
        view: fields of all environments, float32.
        unstable: `[N]` bool, see `Engine.unstable`.
    """

    view: View
    unstable: jax.Array


class _Host:
    """The host's side: the batch, and what the callbacks do with it.

    Every method that a callback runs takes arrays of JAX and returns float32 copies of all fields
    and `Engine.unstable`, or of fewer fields where it says so.
    """

    def __init__(self, spec: EngineSpec) -> None:
        # Otherwise MuJoCo resets a diverged environment by itself, unseen.
        for model in (spec.model, *spec.models):
            model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.batch = batch.Batch(spec.model, spec.num_envs, nthread=spec.num_threads)
        if spec.models:
            models = [spec.models[i % len(spec.models)] for i in range(spec.num_envs)]
            self.batch.set_models(models)
        self.fields = {name: self.batch.bind(name) for name in spec.viewed()}
        self._qpos, self._qvel = self.fields["qpos"], self.fields["qvel"]
        self._ctrl = self.batch.bind("ctrl")

    def init(self) -> list[np.ndarray]:
        self.batch.reset()
        return self._outputs()

    def step(self, num_steps: int, ctrl: Any) -> list[np.ndarray]:
        self._ctrl[:] = np.asarray(ctrl)
        self.batch.step(nstep=num_steps)
        return self._outputs()

    def advance(self, ctrl: Any) -> list[np.ndarray]:
        """One step; only `_REFRESHED` come back."""
        self._ctrl[:] = np.asarray(ctrl)
        self.batch.step()
        with np.errstate(over="ignore", invalid="ignore"):
            return [self.fields[name].astype(np.float32) for name in _REFRESHED]

    def push(self, velocity: Any) -> np.ndarray:
        """Only `qvel` comes back."""
        self._qvel += np.asarray(velocity)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._qvel.astype(np.float32)

    def reset(self, mask: Any, qpos: Any, qvel: Any) -> list[np.ndarray]:
        ids = np.flatnonzero(np.asarray(mask)).astype(np.int32)
        if ids.size:
            # Clears everything an episode leaves: warm starts, controls, warnings.
            self.batch.reset(ids=ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._qpos[ids] = np.asarray(qpos)[ids]
            self._qvel[ids] = np.asarray(qvel)[ids]
            self.batch.forward(ids=ids)
        return self._outputs()

    def _outputs(self) -> list[np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):
            copies = [rows.astype(np.float32) for rows in self.fields.values()]
            huge = ~(np.abs(self._qpos) < HUGE).all(axis=1)
            huge |= ~(np.abs(self._qvel) < HUGE).all(axis=1)
        return [*copies, huge | self.batch.warning[:, _BAD, 1].any(axis=1)]


class MujocoEngine:
    """The `mujoco` engine: one persistent batch of simulations, stepped by a thread pool."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        _silence_log()
        self._host = _Host(spec)

    def init(self) -> MujocoState:
        """See `Engine.init`."""
        return self._call(self._host.init)

    def prepare(
        self, state: MujocoState, qpos: jax.Array, qvel: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """See `Engine.prepare`; a reset is cheap here, so only the numbers are kept."""
        del state
        return qpos, qvel

    def reset(
        self, state: MujocoState, mask: jax.Array, prepared: tuple[jax.Array, jax.Array]
    ) -> MujocoState:
        """See `Engine.reset`."""

        def merge(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(merge, self._call(self._host.reset, mask, *prepared), state)

    def step(self, state: MujocoState, ctrl: jax.Array, num_steps: int) -> MujocoState:
        """See `Engine.step`."""
        del state
        return self._call(partial(self._host.step, num_steps), ctrl)

    def advance(self, state: MujocoState, ctrl: jax.Array) -> MujocoState:
        """See `Engine.advance`."""
        shapes = [self._shape(name) for name in _REFRESHED]
        new = io_callback(self._host.advance, shapes, ctrl, ordered=True)
        view = state.view.replace(**dict(zip(_REFRESHED, new, strict=True)))
        return state.replace(view=view)

    def push(self, state: MujocoState, velocity: jax.Array) -> MujocoState:
        """See `Engine.push`."""
        qvel = io_callback(self._host.push, self._shape("qvel"), velocity, ordered=True)
        return state.replace(view=state.view.replace(qvel=qvel))

    def view(self, state: MujocoState) -> View:
        """See `Engine.view`."""
        return state.view

    def unstable(self, state: MujocoState) -> jax.Array:
        """See `Engine.unstable`."""
        return state.unstable

    def host_state(self) -> dict[str, np.ndarray]:
        """The batch's integration state in float64 and its warning counters."""
        rows = self._host.batch
        return {"state": rows.state.copy(), "warning": rows.warning.copy()}

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """See `Engine.load_host_state`."""
        self._host.batch.state[:] = saved["state"]
        self._host.batch.warning[:] = saved["warning"]

    def _shape(self, name: str) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self._host.fields[name].shape, jnp.float32)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> MujocoState:
        """Runs a host function that returns all fields and the unstable mask."""
        names = self.spec.viewed()
        shapes = [self._shape(name) for name in names]
        shapes.append(jax.ShapeDtypeStruct((self.spec.num_envs,), jnp.bool_))
        *fields, unstable = io_callback(function, shapes, *arguments, ordered=True)
        return MujocoState(view=View(dict(zip(names, fields, strict=True))), unstable=unstable)


def _silence_log() -> None:
    """Warnings are read from the batch's counters: no MUJOCO_LOG.TXT, no flood on the terminal."""
    config = mujoco.MjLogConfig.get()
    config.logto_file = False
    config.logto_console = False
    config.set()
