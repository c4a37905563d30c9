"""Protocol of physics engines: N environments of one model, seen through MuJoCo-named fields."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax.sharding import Mesh

from ksim_cli.errors import UserError, listing, nearest
from ksim_cli.physics.model_variants import ModelVariants

HUGE = 1e10
"""Larger positions, velocities and accelerations count as unstable (MuJoCo's mjMAXVAL)."""

ALWAYS_VIEWED = ("time", "qpos", "qvel")
"""Fields every view holds: actuators and bookkeeping need them."""


@jax.tree_util.register_pytree_with_keys_class
class View:
    """Fields of `mjData` under MuJoCo's names, e.g. `view.qpos`; a pytree of float32 arrays.

    Holds what `mj_step` leaves: state fields (`time qpos qvel act`) are new, derived fields
    (`xpos sensordata ...`) belong to the state one physics step before. After a reset they are
    those of a full forward pass. Only fields that some term reads are there.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(
                f"no field '{name}' in this view; it holds {listing(self._fields)}"
            ) from None

    def fields(self) -> dict[str, Any]:
        """The fields by name (a copy)."""
        return dict(self._fields)

    def replace(self, **fields: Any) -> "View":
        """This view with some fields replaced."""
        return View({**self._fields, **fields})

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        """For JAX: the fields in name order."""
        names = tuple(sorted(self._fields))
        return [(jax.tree_util.DictKey(n), self._fields[n]) for n in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], values: Sequence[Any]) -> "View":
        """For JAX: the inverse of flattening."""
        return cls(dict(zip(names, values, strict=True)))


class _ProbeView(View):
    """A view of one environment that has every field of `mjData` and notes which are read."""

    __slots__ = ("_data", "read")

    def __init__(self, model: mujoco.MjModel) -> None:
        super().__init__({})
        self._data = mujoco.MjData(model)
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._data, name, None)
        if not isinstance(value, np.ndarray | float) or name.startswith("_"):
            names = [n for n in dir(self._data) if not n.startswith("_")]
            raise UserError(f"view.{name}: mjData has no array of that name.{nearest(name, names)}")
        self.read.add(name)
        return jnp.zeros(np.shape(value), jnp.float32)


def fields_read(model: mujoco.MjModel, use: Callable[[View], Any]) -> frozenset[str]:
    """Names of the `mjData` fields that a function of a view reads.

    Args:
        model: the model that gives the fields their shapes.
        use: called once under abstract evaluation, with a view of one environment.
    """
    probe = _ProbeView(model)
    jax.eval_shape(lambda: use(probe))
    return frozenset(probe.read)


@dataclass(frozen=True)
class EngineSpec:
    """Arguments of an engine.

    Attributes:
        model: the compiled model, nominal.
        num_envs: environments.
        fields: `mjData` fields the view shall hold, besides `ALWAYS_VIEWED`.
        variants: randomised models; None: all environments run on `model`.
        num_threads: threads of a CPU engine; 0: one per core.
        mesh: devices that the environments are spread over, along its only axis; None: one device.
        num_seeds: how many times the environments are there on a device, by an outer `vmap`.
        impl: implementation of mjx: `auto`, `jax`, `warp`.
        graph_mode: how Warp captures CUDA graphs; None: as it is best here.
        naconmax: contacts of all environments that Warp makes room for; None: from the model.
        njmax: constraints of one environment that Warp makes room for; None: from the model.
    """

    model: mujoco.MjModel
    num_envs: int
    fields: frozenset[str] = frozenset()
    variants: ModelVariants | None = None
    num_threads: int = 0
    mesh: Mesh | None = None
    num_seeds: int = 1
    impl: str = "auto"
    graph_mode: str | None = None
    naconmax: int | None = None
    njmax: int | None = None

    def viewed(self) -> tuple[str, ...]:
        """Names of all fields of the view, sorted."""
        return tuple(sorted({*self.fields, *ALWAYS_VIEWED}))


class Engine(Protocol):
    """N environments of one model. All methods but the last three are traced by `jax.jit`.

    `state` is the engine's own pytree. N is `num_envs`. A class is registered in `ENGINES` and
    built from an `EngineSpec`.

    Attributes:
        shards: capability: its environments may be spread over devices and processes.
        batches_seeds: capability: an outer `jax.vmap` over seeds works.
        spec: what it was built from.
        buffer_sizes: key of `engine` -> size in use, of buffers that may overflow; mostly empty.
    """

    shards: ClassVar[bool]
    batches_seeds: ClassVar[bool]
    spec: EngineSpec
    buffer_sizes: Mapping[str, int]

    def __init__(self, spec: EngineSpec) -> None: ...

    @staticmethod
    def choose_impl(impl: str) -> str:
        """The implementation that `engine.impl` means on this machine; empty: there is one only."""
        ...

    def init(self) -> Any:
        """A state that is to be reset before anything else is done with it."""
        ...

    def prepare(self, qpos: jax.Array, qvel: jax.Array, variant: jax.Array) -> Any:
        """Makes the next reset of every environment ready.

        Args:
            qpos: `[N, nq]` positions to reset to.
            qvel: `[N, nv]` velocities to reset to.
            variant: `[N]` int32 index into the spec's variants; without any it is not looked at.
        """
        ...

    def reset(self, state: Any, mask: jax.Array, prepared: Any) -> Any:
        """Resets the environments of `mask` `[N]` to what was prepared; others are untouched."""
        ...

    def step(self, state: Any, ctrl: jax.Array, num_steps: int) -> Any:
        """Holds `ctrl` `[N, nu]` for `num_steps` calls of `mj_step` and refreshes the view."""
        ...

    def advance(self, state: Any, ctrl: jax.Array, num_steps: int) -> Any:
        """As `step`, after which only `qpos` and `qvel` of the view are refreshed."""
        ...

    def push(self, state: Any, velocity: jax.Array) -> Any:
        """Adds `velocity` `[N, nv]` to `qvel`."""
        ...

    def apply_force(self, state: Any, force: jax.Array) -> Any:
        """Sets `xfrc_applied` `[N, nbody, 6]`, which acts until it is set anew."""
        ...

    def view(self, state: Any) -> View:
        """The fields, each with a leading axis of N."""
        ...

    def unstable(self, state: Any) -> jax.Array:
        """`[N]` bool: non-finite or huge state, or a warning of MuJoCo, since the last reset."""
        ...

    def overflows(self, state: Any) -> jax.Array:
        """`[N]` bool: contacts or constraints did not all fit in the last `step`."""
        ...

    def physics_only_runner(self, state: Any, num_steps: int) -> Callable[[Any], None]:
        """Physics alone, to measure a rollout against.

        Args:
            state: where the environments start; what happens to them leaves it as it is.
            num_steps: calls of `mj_step` for each control step.

        Returns:
            A function of torques `[T, N, nu]` that returns when T control steps have been made.
        """
        ...

    def host_state(self) -> dict[str, np.ndarray]:
        """State that lives outside JAX, for a checkpoint; empty where there is none."""
        ...

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """The inverse of `host_state`."""
        ...


def only_implementation(impl: str) -> str:
    """`Engine.choose_impl` of an engine with one implementation."""
    del impl
    return ""
