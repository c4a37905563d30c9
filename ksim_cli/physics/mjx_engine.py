"""MJX: the environments are one batched `mjx.Data` on the accelerator (or, slowly, the CPU)."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from jax.sharding import PartitionSpec

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import HUGE, EngineSpec, View
from ksim_cli.physics.mjx_backends import JaxBackend, choose_backend, make_backend
from ksim_cli.physics.mjx_import import mjx
from ksim_cli.physics.mjx_refusals import in_words_of_mjcf
from ksim_cli.physics.robot import BESIDE_POSE, home_data
from ksim_cli.registry import ENGINES
from ksim_cli.trees import select_envs

TINY_FRICTION = 1e-8
"""Friction loss, N m, of a joint that has none while some variant's has."""

# Traced once for all programs and all sizes, which is a good part of the time to the first step.
_step = jax.jit(mjx.step)
_forward = jax.jit(mjx.forward)


class MjxState(struct.PyTreeNode):
    """State of all environments.

    Attributes:
        data: `mjx.Data`, packed (see `ksim_cli.physics.mjx_backends`); a leading axis of N.
        variant: `[N]` int32 which of the randomised models each runs on.
    """

    data: Any
    variant: jax.Array


@ENGINES.register("mjx")
class MjxEngine:
    """The `mjx` engine, with either implementation."""

    shards = True
    batches_seeds = True
    choose_impl = staticmethod(choose_backend)

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._physics_only: Any = None
        nominal = mujoco.MjData(spec.model)
        self.impl = choose_backend(spec.impl)
        try:
            self._backend = make_backend(self.impl, spec)
            self._models = _Models(self._backend, spec)
        except (NotImplementedError, ValueError) as error:
            raise UserError(
                f"engine.type=mjx: this model uses what MJX lacks: {in_words_of_mjcf(str(error))}."
                " Use engine=mujoco, or change the model"
            ) from error
        self.buffer_sizes = self._backend.buffer_sizes
        self._shapes = {name: np.shape(getattr(nominal, name)) for name in spec.viewed()}

    def init(self) -> MjxState:
        """See `Engine.init`."""
        return MjxState(data=self._blank(), variant=jnp.zeros(self.spec.num_envs, jnp.int32))

    def prepare(self, qpos: jax.Array, qvel: jax.Array, variant: jax.Array) -> MjxState:
        """See `Engine.prepare`: a forward pass under each environment's own model."""
        data = self._blank().replace(qpos=qpos, qvel=qvel)
        state = MjxState(data=data, variant=variant)
        return self._run(_forward, lambda forward, data: forward(data), state)

    def reset(self, state: MjxState, mask: jax.Array, prepared: MjxState) -> MjxState:
        """See `Engine.reset`."""
        return select_envs(mask, prepared, state)

    def step(self, state: MjxState, ctrl: jax.Array, num_steps: int) -> MjxState:
        """See `Engine.step`."""

        def steps(step: Callable[[Any], Any], data: Any) -> Any:
            def once(data: Any, _: None) -> tuple[Any, None]:
                return step(data), None

            return jax.lax.scan(once, data, None, length=num_steps)[0]

        return self._run(_step, steps, state.replace(data=state.data.replace(ctrl=ctrl)))

    advance = step

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
                name: self._backend.field(state.data, name).reshape(n, *shape).astype(jnp.float32)
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

    def overflows(self, state: MjxState) -> jax.Array:
        """See `Engine.overflows`."""
        return self._backend.overflows(state.data)

    def physics_only_runner(self, state: MjxState, num_steps: int) -> Callable[[Any], None]:
        """See `Engine.physics_only_runner`."""

        def control_step(state: MjxState, ctrl: jax.Array) -> tuple[MjxState, None]:
            return self.step(state, ctrl, num_steps), None

        if self._physics_only is None:
            self._physics_only = jax.jit(
                lambda state, torques: jax.lax.scan(control_step, state, torques)
            )

        def run(torques: Any) -> None:
            jax.block_until_ready(self._physics_only(state, torques))

        return run

    def host_state(self) -> dict[str, np.ndarray]:
        """Nothing: the whole state is in JAX."""
        return {}

    def load_host_state(self, saved: Mapping[str, np.ndarray]) -> None:
        """Nothing to load."""
        del saved

    def _blank(self) -> Any:
        n, home = self.spec.num_envs, home_data(self.spec.model)
        one = self._backend.packed()
        one = one.replace(**{k: jnp.asarray(getattr(home, k), jnp.float32) for k in BESIDE_POSE})
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), one)

    def _run(
        self, function: Any, use: Callable[[Callable[[Any], Any], Any], Any], state: MjxState
    ) -> MjxState:
        """Applies `use` to a function of a model and data, over all environments, and the data.

        Of several devices each does so with its own environments: no solver waits for another's.
        """
        model, axes = self._models.of(state.variant)

        def local(model: Any, packed: Any) -> Any:
            batched = partial(jax.vmap(function, in_axes=(axes, 0)), model)
            data = use(batched, self._backend.unpack(packed))
            return self._backend.pack(self._backend.sensed(data))

        mesh = self.spec.mesh
        if mesh is not None:
            spread, everywhere = PartitionSpec(mesh.axis_names[0]), PartitionSpec()
            of_model = self._models.map_differing(lambda differs: spread if differs else everywhere)
            local = jax.shard_map(
                local, mesh=mesh, in_specs=(of_model, spread), out_specs=spread, check_vma=False
            )
        return state.replace(data=local(model, state.data))


class _Models:
    """The model on the device; of variants, the leaves that differ are stacked `[K, ...]`.

    The variants are made one after another, and only what differs from the first is kept of each.
    """

    def __init__(self, backend: JaxBackend, spec: EngineSpec) -> None:
        first = backend.put(next(_models(spec)))
        leaves, self._treedef = jax.tree_util.tree_flatten_with_path(first)
        changed: list[dict[int, np.ndarray]] = [{} for _ in leaves]
        # From an object of their own: what MJX gives may be a view of the model's numbers.
        for k, model in enumerate(islice(_models(spec), 1, None), start=1):
            put = backend.put(model)
            backend.check_variant(put, first)
            for (_, old), new, values in zip(leaves, jax.tree.leaves(put), changed, strict=True):
                if not np.array_equal(old, new):
                    values[k] = np.array(new)
        count = 1 if spec.variants is None else len(spec.variants)
        pairs = list(zip(leaves, changed, strict=True))
        self._differs = [bool(values) and backend.batched(path) for (path, _), values in pairs]
        self._leaves = [
            jnp.asarray(_filled(leaf, values, count)) if differs else leaf
            for ((_, leaf), values), differs in zip(pairs, self._differs, strict=True)
        ]

    def of(self, variant: jax.Array) -> tuple[Any, Any]:
        """The models of environments on these variants, and `jax.vmap`'s axes of them."""
        leaves = [
            x[variant] if differs else x
            for x, differs in zip(self._leaves, self._differs, strict=True)
        ]
        axes = self.map_differing(lambda differs: 0 if differs else None)
        return jax.tree.unflatten(self._treedef, leaves), axes

    def map_differing(self, function: Callable[[bool], Any]) -> Any:
        """A tree like the model, of a function of whether a leaf is given per environment."""
        return jax.tree.unflatten(self._treedef, [function(differs) for differs in self._differs])


def _models(spec: EngineSpec) -> Iterator[mujoco.MjModel]:
    """The variants, none of whose joints has exactly no friction where another's has some.

    MJX decides once, for all variants, which joints have friction loss at all.
    """
    if spec.variants is None:
        yield spec.model
        return
    some = spec.variants.values("dof_frictionloss").any(axis=0)
    for model in spec.variants.models():
        model.dof_frictionloss[some & (model.dof_frictionloss == 0)] = TINY_FRICTION
        yield model


def _filled(first: Any, others: Mapping[int, np.ndarray], count: int) -> np.ndarray:
    """`[K, ...]` the values of a leaf: the first's, and those that differ by their number."""
    table = np.repeat(np.asarray(first)[None], count, axis=0)
    for k, value in others.items():
        table[k] = value
    return table
