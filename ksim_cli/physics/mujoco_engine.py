"""Native MuJoCo on all cores.

The environments live in the float64 rows of one `mujoco.batch.Batch`. JAX sees float32 copies,
through ordered host callbacks inside the compiled rollout; the values are those of `mj_step` on
one `MjData` per environment, bit for bit, at any thread count.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from jax.experimental import io_callback
from mujoco import batch

from ksim_cli.physics.engine import HUGE, EngineSpec, View, only_implementation
from ksim_cli.physics.robot import BESIDE_POSE, home_data
from ksim_cli.registry import ENGINES

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
_AUTORESET = int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
_Prepared = tuple[jax.Array, jax.Array, jax.Array]


class MujocoState(struct.PyTreeNode):
    """State of the batch, as JAX sees it.

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
        self._spec = spec
        self.batch = _batch(spec)
        tables = {} if spec.variants is None else spec.variants.tables
        self._tables = [
            (self.batch.expand(name), table | _AUTORESET if name == "opt.disableflags" else table)
            for name, table in tables.items()
        ]
        self._force = self.batch.bind("xfrc_applied")
        self.variant = np.zeros(spec.num_envs, np.int32)
        self.fields = {name: self.batch.bind(name) for name in spec.viewed()}
        self._qpos, self._qvel = self.fields["qpos"], self.fields["qvel"]
        self._ctrl = self.batch.bind("ctrl")
        home = home_data(spec.model)
        self._home = [
            (self.batch.bind(name), np.array(getattr(home, name)).ravel())
            for name in BESIDE_POSE
            if getattr(home, name).size
        ]

    @cached_property
    def spare(self) -> batch.Batch:
        """A second batch of the same simulations, without the variants."""
        return _batch(self._spec)

    def init(self) -> list[np.ndarray]:
        self.batch.reset()
        return self._outputs()

    def step(self, num_steps: int, ctrl: Any) -> list[np.ndarray]:
        self._ctrl[:] = np.asarray(ctrl)
        self.batch.step(nstep=num_steps)
        return self._outputs()

    def advance(self, num_steps: int, ctrl: Any) -> list[np.ndarray]:
        """Only `_REFRESHED` come back."""
        self._ctrl[:] = np.asarray(ctrl)
        self.batch.step(nstep=num_steps)
        with np.errstate(over="ignore", invalid="ignore"):
            return [self.fields[name].astype(np.float32) for name in _REFRESHED]

    def push(self, velocity: Any) -> np.ndarray:
        """Only `qvel` comes back."""
        self._qvel += np.asarray(velocity)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._qvel.astype(np.float32)

    def apply_force(self, force: Any) -> np.ndarray:
        """Nothing comes back but a token, so that the call is not dropped."""
        self._force[:] = np.asarray(force).reshape(self._force.shape)
        return np.zeros((), np.float32)

    def choose(self, ids: np.ndarray, variant: np.ndarray) -> None:
        """Puts environments on variants of the model."""
        self.variant[ids] = variant
        for rows, table in self._tables:
            rows[ids] = table[variant].reshape(rows[ids].shape)

    def reset(self, mask: Any, qpos: Any, qvel: Any, variant: Any) -> list[np.ndarray]:
        ids = np.flatnonzero(np.asarray(mask)).astype(np.int32)
        if ids.size:
            if self._tables:
                self.choose(ids, np.asarray(variant)[ids])
            # Clears everything an episode leaves: warm starts, controls, warnings.
            self.batch.reset(ids=ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._qpos[ids] = np.asarray(qpos)[ids]
            self._qvel[ids] = np.asarray(qvel)[ids]
            for rows, values in self._home:
                rows[ids] = values.reshape(rows.shape[1:])
            self.batch.forward(ids=ids)
        return self._outputs()

    def _outputs(self) -> list[np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):
            copies = [rows.astype(np.float32) for rows in self.fields.values()]
            huge = ~(np.abs(self._qpos) < HUGE).all(axis=1)
            huge |= ~(np.abs(self._qvel) < HUGE).all(axis=1)
        return [*copies, huge | self.batch.warning[:, _BAD, 1].any(axis=1)]


@ENGINES.register("mujoco")
class MujocoEngine:
    """The `mujoco` engine: one persistent batch of simulations, stepped by a thread pool."""

    shards = False
    batches_seeds = False
    choose_impl = staticmethod(only_implementation)

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.buffer_sizes: Mapping[str, int] = {}
        silence_log()
        self._host = _Host(spec)

    def init(self) -> MujocoState:
        """See `Engine.init`."""
        return self._call(self._host.init)

    def prepare(self, qpos: jax.Array, qvel: jax.Array, variant: jax.Array) -> _Prepared:
        """See `Engine.prepare`; a reset is cheap here, so only the numbers are kept."""
        return qpos, qvel, variant

    def reset(self, state: MujocoState, mask: jax.Array, prepared: _Prepared) -> MujocoState:
        """See `Engine.reset`; the host's rows of the others are as they were."""
        del state
        return self._call(self._host.reset, mask, *prepared)

    def step(self, state: MujocoState, ctrl: jax.Array, num_steps: int) -> MujocoState:
        """See `Engine.step`."""
        del state
        return self._call(partial(self._host.step, num_steps), ctrl)

    def advance(self, state: MujocoState, ctrl: jax.Array, num_steps: int) -> MujocoState:
        """See `Engine.advance`."""
        shapes = [_shape(self._host, name) for name in _REFRESHED]
        advance = partial(self._host.advance, num_steps)
        new = io_callback(advance, shapes, ctrl, ordered=True)
        view = state.view.replace(**dict(zip(_REFRESHED, new, strict=True)))
        return state.replace(view=view)

    def push(self, state: MujocoState, velocity: jax.Array) -> MujocoState:
        """See `Engine.push`."""
        qvel = io_callback(self._host.push, _shape(self._host, "qvel"), velocity, ordered=True)
        return state.replace(view=state.view.replace(qvel=qvel))

    def apply_force(self, state: MujocoState, force: jax.Array) -> MujocoState:
        """See `Engine.apply_force`."""
        token = jax.ShapeDtypeStruct((), jnp.float32)
        io_callback(self._host.apply_force, token, force, ordered=True)
        return state

    def view(self, state: MujocoState) -> View:
        """See `Engine.view`."""
        return state.view

    def unstable(self, state: MujocoState) -> jax.Array:
        """See `Engine.unstable`."""
        return state.unstable

    def overflows(self, state: MujocoState) -> jax.Array:
        """See `Engine.overflows`; MuJoCo makes room for all there are."""
        return jnp.zeros_like(state.unstable)

    def physics_only_runner(self, state: MujocoState, num_steps: int) -> Callable[[Any], None]:
        """See `Engine.physics_only_runner`; on rows of its own."""
        del state
        own, alone = self._host.batch, self._host.spare
        alone.state[:] = own.state
        ctrl = alone.bind("ctrl")

        def run(torques: Any) -> None:
            for now in np.asarray(torques):
                ctrl[:] = now
                alone.step(nstep=num_steps)

        return run

    def host_state(self) -> dict[str, np.ndarray]:
        """The batch's integration state in float64, its warning counters, and the variants."""
        rows = self._host.batch
        return {
            "state": rows.state.copy(),
            "warning": rows.warning.copy(),
            "variant": self._host.variant.copy(),
        }

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """See `Engine.load_host_state`."""
        self._host.batch.state[:] = saved["state"]
        self._host.batch.warning[:] = saved["warning"]
        self._host.choose(np.arange(self.spec.num_envs), np.asarray(saved["variant"]))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> MujocoState:
        """Runs a host function that returns all fields and the unstable mask."""
        names = self.spec.viewed()
        shapes = [_shape(self._host, name) for name in names]
        shapes.append(jax.ShapeDtypeStruct((self.spec.num_envs,), jnp.bool_))
        *fields, unstable = io_callback(function, shapes, *arguments, ordered=True)
        return MujocoState(view=View(dict(zip(names, fields, strict=True))), unstable=unstable)


def _batch(spec: EngineSpec) -> batch.Batch:
    """All environments on the nominal model."""
    before = spec.model.opt.disableflags
    # Otherwise MuJoCo resets a diverged environment by itself, unseen.
    spec.model.opt.disableflags |= _AUTORESET
    try:
        return batch.Batch(spec.model, spec.num_envs, nthread=spec.num_threads)
    finally:
        spec.model.opt.disableflags = before


def _shape(host: _Host, name: str) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(host.fields[name].shape, jnp.float32)


def silence_log() -> None:
    """Warnings are read from the batch's counters: no MUJOCO_LOG.TXT, no flood on the terminal."""
    config = mujoco.MjLogConfig.get()
    config.logto_file = False
    config.logto_console = False
    config.set()
