"""The two implementations of MJX: where their models, their data and their buffers differ.

MuJoCo Warp runs on NVIDIA GPUs, and slowly on the CPU. It steps the environments of a device in one
call that JAX takes as it is. That works under `jit` (buffers donated or not), `scan` and `cond`,
and only within `vmap`, which MJX turns into that one call. It cannot be differentiated. JAX's
compilation cache holds the program around the calls; Warp's kernels have a cache of their own
(`WARP_CACHE_PATH`). On a GPU contacts come in no fixed order, so that two runs may differ in the
last bits; on the CPU they do not. Warp takes its memory beside that which JAX has reserved
(`XLA_PYTHON_CLIENT_MEM_FRACTION`).
"""

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_contacts import (
    net_force_sensors,
    with_net_forces,
    without_net_forces,
)
from ksim_cli.physics.mjx_import import mjx, mjx_mesh, mjx_warp
from ksim_cli.physics.mjx_refusals import refuse_unsupported
from ksim_cli.physics.model_variants import ModelVariants
from ksim_cli.physics.warp_sizes import BufferSizes, buffer_sizes

_AUTORESET = int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
PUBLIC = frozenset(f.name for f in mjx.Data.fields()) - {"_impl"}
"""Fields of `mjx.Data` that both implementations have."""


class JaxBackend:
    """`impl=jax`: runs everywhere; its arrays hold every contact that a model can have.

    `packed` is the `mjx.Data` of one or all environments as the engine keeps it between steps:
    every leaf has a leading axis of N, so that environments can be exchanged one by one. Only the
    fields that a step or the view reads are kept; contacts, constraints and the rest are found anew
    in each step, and most of the memory is theirs.

    Attributes:
        buffer_sizes: see `Engine`.
    """

    buffer_sizes: Mapping[str, int]
    _one: Any
    _kept: Sequence[str]

    def __init__(self, spec: EngineSpec) -> None:
        refuse_unsupported(spec.model, "jax")
        self.buffer_sizes = {}
        self._nominal = spec.model
        self._one = mjx.make_data(spec.model, _here(), impl="jax")
        self._hulls: dict[int, Any] = {}
        _check_fields(spec, PUBLIC | {f.name for f in self._one._impl.fields()})
        self._kept = sorted(name for name in spec.viewed() if name not in PUBLIC)

    def put(self, model: mujoco.MjModel) -> Any:
        """The model, or a variant of it, on the device."""
        with self._hulls_once(), without_net_forces(model):
            put = mjx.put_model(model, _here(), impl="jax")
            # It may be a view of the model's own numbers.
            return put.replace(sensor_intprm=np.array(put.sensor_intprm))

    def check_variant(self, put: Any, first: Any) -> None:
        """Refuses variants that differ in what this implementation has only once.

        Args:
            put: a variant on the device.
            first: the first of them, whose structure stands for all.

        Raises:
            UserError: they differ so.
        """
        del put, first

    def batched(self, path: Any) -> bool:
        """True for a leaf of the model that is to be given for each environment.

        Args:
            path: the path in `put(...)` of a leaf in which variants differ.

        Raises:
            UserError: as in `check_variant`.
        """
        del path
        return True

    @contextmanager
    def _hulls_once(self) -> Generator[None]:
        """Meshes are the same in all variants, and what MJX makes of one for collisions is dear."""
        make = mjx_mesh.convex

        def once(model: mujoco.MjModel, mesh: int) -> Any:
            if mesh not in self._hulls:
                self._hulls[mesh] = make(model, mesh)
            return self._hulls[mesh]

        mjx_mesh.convex = once
        try:
            yield
        finally:
            mjx_mesh.convex = make

    def packed(self) -> Any:
        """The packed data of one environment at the model's default pose."""
        return self.pack(self._one)

    def sensed(self, data: Any) -> Any:
        """What `mjx.step` gives, of all environments, with the sensors that it lacks."""
        if not net_force_sensors(self._nominal):
            return data
        return jax.vmap(partial(with_net_forces, self._nominal))(data)

    def pack(self, data: Any) -> Any:
        """The packed form of what `mjx.step` gives: few of the private fields, in a dict."""
        return data.replace(_impl={name: getattr(data._impl, name) for name in self._kept})

    def unpack(self, packed: Any) -> Any:
        """The data that `mjx.step` takes; the inverse of `pack`."""
        n = packed.qpos.shape[0]
        rest = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), self._one._impl)
        return packed.replace(_impl=rest.replace(**packed._impl))

    def field(self, packed: Any, name: str) -> jax.Array:
        """A field of `mjData`."""
        return getattr(packed, name) if name in PUBLIC else packed._impl[name]

    def overflows(self, packed: Any) -> jax.Array:
        """See `Engine.overflows`."""
        return jnp.zeros(packed.qpos.shape[0], bool)


class WarpBackend(JaxBackend):
    """`impl=warp`: MuJoCo Warp, with buffers of a fixed size for contacts and constraints."""

    def __init__(self, spec: EngineSpec) -> None:
        _check_warp(spec)
        refuse_unsupported(spec.model, "warp")
        if spec.variants is not None:
            _check_static_geoms(spec.variants)
        devices = 1 if spec.mesh is None else spec.mesh.size
        self._num_envs = spec.num_envs // devices  # those of one device, which share its contacts
        # No key chooses the mode JAX: graphs of JAX's own cannot hold those of MuJoCo Warp.
        default = "warp" if on_nvidia() else "none"
        self._graph_mode = mjx_warp.types.GraphMode[(spec.graph_mode or default).upper()]
        kinds = mjx_warp.mjwp_types.OverflowType
        self._lost = int(
            kinds.NEFC | kinds.NJMAX_NNZ | kinds.BROADPHASE | kinds.NARROWPHASE | kinds.CCD
        )
        pairs = self.put(spec.model)._impl.nxn_geom_pair_filtered
        derived = buffer_sizes(spec.model, pairs, self._num_envs * spec.num_seeds)
        asked = None if spec.naconmax is None else -(-spec.naconmax // devices)
        self._sizes = BufferSizes(
            naconmax=asked or derived.naconmax, njmax=spec.njmax or derived.njmax
        )
        self.buffer_sizes = {
            "naconmax": self._sizes.naconmax * devices,
            "njmax": self._sizes.njmax,
        }
        # The contacts are made when they are needed, lest the program hold them as a constant.
        self._one = mjx.make_data(
            spec.model, _here(), impl="warp", naconmax=1, njmax=self._sizes.njmax
        )
        names = [f.name for f in self._one._impl.fields()]
        _check_fields(spec, PUBLIC | set(names))
        viewed = {name for name in spec.viewed() if name not in PUBLIC}
        self._kept = sorted(viewed | {"overflow"})

    def put(self, model: mujoco.MjModel) -> Any:
        """See `JaxBackend.put`."""
        if model.opt.disableflags & _AUTORESET:  # Warp has none to disable, and refuses the flag
            model = copy.copy(model)
            model.opt.disableflags &= ~_AUTORESET
        put = mjx.put_model(model, _here(), impl="warp", graph_mode=self._graph_mode)
        return put.tree_replace({"opt._impl.warn_overflow": 0})  # it prints, for each environment

    def check_variant(self, put: Any, first: Any) -> None:
        """See `JaxBackend.check_variant`."""
        if jax.tree.structure(put) != jax.tree.structure(first):
            raise _only_once("sizes, types or flags")

    def batched(self, path: Any) -> bool:
        """See `JaxBackend.batched`."""
        name = "__".join(part.name for part in path if part.name != "_impl")
        if name == "dof_length":  # read by sleeping alone, and an engine forgets what slept
            return False
        can = mjx_warp.types._BATCH_DIM["Model"].get(name)
        if can is False:
            raise _only_once(f"'{name}'")
        return bool(can)  # None: MuJoCo Warp does not read it

    def sensed(self, data: Any) -> Any:
        """See `JaxBackend.sensed`: Warp lacks none."""
        return data

    def unpack(self, packed: Any) -> Any:
        """See `JaxBackend.unpack`; the bits of `overflow` begin anew."""
        kept = {name: value for name, value in packed._impl.items() if name != "overflow"}
        return packed.replace(_impl=self._all(self._one._impl).replace(**kept))

    def overflows(self, packed: Any) -> jax.Array:
        """See `JaxBackend.overflows`; all environments overflow together where the contacts do."""
        return packed._impl["overflow"] & self._lost != 0

    def _all(self, one: Any) -> Any:
        """Warp's private data of all environments: each has its own, or all share it."""
        is_own = mjx_warp.types._BATCH_DIM["Data"]
        naconmax = self._sizes.naconmax
        changed: dict[str, Any] = {"naconmax": naconmax, "naccdmax": naconmax}
        for name in (f.name for f in one.fields()):
            value = getattr(one, name)
            if is_own.get(name):
                changed[name] = jnp.broadcast_to(value, (self._num_envs, *value.shape))
            elif name.startswith("contact__") and value.size:
                changed[name] = jnp.broadcast_to(value[0], (naconmax, *value.shape[1:]))
        return one.replace(**changed)


def on_nvidia() -> bool:
    """True where JAX computes on an NVIDIA GPU."""
    if jax.default_backend() != "gpu":
        return False
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:  # no such platform: a GPU of another make
        return False


def choose_backend(impl: str) -> str:
    """`engine.impl` with `auto` resolved: `warp` on NVIDIA where it is installed, else `jax`."""
    if impl != "auto":
        return impl
    return "warp" if on_nvidia() and mjx_warp.WARP_INSTALLED else "jax"


def make_backend(name: str, spec: EngineSpec) -> JaxBackend:
    """The implementation of that name, `jax` or `warp`."""
    return WarpBackend(spec) if name == "warp" else JaxBackend(spec)


def _here() -> Any:
    """A device of this process; MJX would take the first of all processes'."""
    return jax.local_devices()[0]


def _only_once(what: str) -> UserError:
    return UserError(
        f"engine.impl=warp: the randomised models differ in {what}, which MuJoCo Warp has only"
        " once for all environments. Use engine.impl=jax, or leave out what changes it"
    )


def _check_static_geoms(variants: ModelVariants) -> None:
    """Refuse variants of what cannot move: its pose is computed once, when the data is made."""
    bodies = variants.nominal.body_weldid == 0
    geoms = bodies[variants.nominal.geom_bodyid]
    masks = {"body_pos": bodies, "body_quat": bodies, "geom_pos": geoms, "geom_quat": geoms}
    for name, mask in masks.items():
        values = variants.values(name)[:, mask]
        if (values != values[0]).any():
            raise _only_once(f"the '{name}' of what cannot move")


def _check_fields(spec: EngineSpec, known: set[str] | frozenset[str]) -> None:
    for name in spec.viewed():
        if name not in known:
            raise UserError(
                f"engine.type=mjx: a term reads view.{name}, which MJX does not compute."
                " Use engine=mujoco"
            )


def _check_warp(spec: EngineSpec) -> None:
    """Refuses what cannot run here, and keeps Warp from announcing itself and its kernels."""
    if not mjx_warp.WARP_INSTALLED:
        raise UserError(
            "engine.impl=warp: MuJoCo Warp is not installed. Type pip install 'ksim[warp]',"
            " or engine.impl=jax"
        )
    if jax.default_backend() != "cpu" and not on_nvidia():
        raise UserError(
            f"engine.impl=warp: runs on NVIDIA GPUs and on the CPU, and JAX is on"
            f" {jax.devices()[0].device_kind}. Use engine.impl=jax"
        )
    if spec.graph_mode not in (None, "none") and not on_nvidia():
        raise UserError(
            f"engine.graph_mode={spec.graph_mode}: CUDA graphs need an NVIDIA GPU, and there is"
            " none. Leave it out"
        )
    mjx_warp.warp.config.log_level = mjx_warp.warp.LOG_WARNING
