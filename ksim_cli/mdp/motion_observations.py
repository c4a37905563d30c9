"""Observations along a reference motion, by the very terms that observe a policy.

At each frame the terms see what a step that led there would have left: `qpos` and `qvel` of the
frame, derived fields one physics step older. What a motion does not tell is refused: forces,
actions, commands, the time in an episode; and derived velocities (`cvel`, sensors) where a control
step has several physics steps, since they belong to a moment between two frames. With
`integrator=rk4`, which does not step from q - dt v to q, all derived fields are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.errors import UserError, listing
from ksim_cli.mdp.inspect_terms import Layout
from ksim_cli.mdp.manager import blank_step
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.mdp.observation_manager import ObservationManager
from ksim_cli.motion.kinematics import STATE, derived_fields
from ksim_cli.motion.motion_set import MotionSet
from ksim_cli.physics.engine import View
from ksim_cli.trees import select_envs
from ksim_cli.types import Step

_UNKNOWN = (np.nan, 1e9, -1e9)
"""Values in the place of what a motion does not tell; what differs with them is refused."""


class MotionObserver:
    """The observations of some groups, made of motions.

    Args:
        model: the compiled model.
        mdp: the terms, bound to it.
        layout: what they read and give.
        ctrl_dt: s between two observations.
        groups: the groups.
        noisy_groups: those that see bias, noise and delay.

    Raises:
        UserError: a group that no observation is in.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        mdp: Mdp,
        layout: Layout,
        ctrl_dt: float,
        groups: Sequence[str],
        noisy_groups: Collection[str] = (),
    ) -> None:
        for group in groups:
            if group not in layout.groups:
                raise UserError(
                    f"no observation is in the group '{group}'. Groups: {listing(layout.groups)}"
                )
        layout = replace(layout, groups={group: layout.groups[group] for group in groups})
        names = {name for members in layout.groups.values() for name in members}
        terms = {name: term for name, term in mdp.observations.items() if name in names}
        noisy = [group for group in noisy_groups if group in layout.groups]
        self._manager = ObservationManager(terms, layout, ctrl_dt, 1, noisy)
        self._model, self._layout, self._ctrl_dt = model, layout, ctrl_dt
        self._action_size = sum(a.action_size for a in mdp.actuators.values())
        num_stages = 2 if round(ctrl_dt / model.opt.timestep) == 1 else 1
        if model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
            num_stages = 0
        self._told = told_by_a_state(model, layout.fields, num_stages)

    def __call__(self, motion: MotionSet) -> list[dict[str, np.ndarray]]:
        """For each clip group -> `[F, O]`, its frames at the control rate.

        What an observation remembers begins anew with each clip, as with an episode.

        Raises:
            UserError: an observation reads what a motion does not tell.
        """
        starts = np.asarray(motion.starts)
        fields = stepped_fields(self._model, motion, self._layout.fields)
        is_first = np.isin(np.arange(len(fields["qpos"])), starts)
        observe = jax.jit(self._observe)
        seen, *others = [observe(fields, is_first, jnp.float32(u)) for u in _UNKNOWN]
        self._refuse_unknown(seen, others)
        parts = {k: np.split(np.asarray(v), starts[1:]) for k, v in seen.items()}
        return [{k: v[i] for k, v in parts.items()} for i in range(motion.num_clips)]

    def _observe(
        self, fields: Mapping[str, jax.Array], is_first: jax.Array, unknown: jax.Array
    ) -> dict[str, jax.Array]:
        """group -> `[S, O]` along all frames."""
        key = jax.random.key(0)
        fresh = self._manager.init(key)

        def frame(carry: Any, inputs: tuple[Any, jax.Array, jax.Array]) -> tuple[Any, Any]:
            fields, first, key = inputs
            carry = select_envs(first[None], fresh, carry)
            steps = jax.tree.map(lambda x: x[None], self._step(fields, unknown))
            obs, carry = self._manager(steps, carry, key)
            return carry, {group: values[0] for group, values in obs.items()}

        keys = jax.random.split(key, len(is_first))
        return jax.lax.scan(frame, fresh, (fields, is_first, keys))[1]

    def _step(self, fields: Mapping[str, jax.Array], unknown: jax.Array) -> Step:
        """A frame as a term sees it, what a motion does not tell replaced."""
        blank = blank_step(self._action_size, unknown, jnp.ones(()), self._ctrl_dt)
        view = {k: jnp.where(self._told[k], v, unknown) for k, v in fields.items()}
        shapes = self._layout.command_shapes
        return blank.replace(
            view=View(view),
            action=jnp.full_like(blank.action, unknown),
            commands={name: jnp.full(shape, unknown) for name, shape in shapes.items()},
            zero_offset=jnp.zeros(self._model.nq),
        )

    def _refuse_unknown(
        self, seen: Mapping[str, jax.Array], others: Sequence[Mapping[str, jax.Array]]
    ) -> None:
        for group, name, part in self._columns():
            values = np.asarray(seen[group][:, part])
            if any((values != np.asarray(other[group][:, part])).any() for other in others):
                raise UserError(
                    f"observations.{name}: reads what a motion does not tell: forces, actions,"
                    " commands, time, or velocities of bodies or sensors between its"
                    f" frames. Take it out of the group '{group}', which sees motions"
                )

    def _columns(self) -> Iterator[tuple[str, str, slice]]:
        """Group, observation, and where its elements are in the group's vector."""
        for group, sizes in self._layout.groups.items():
            start = 0
            for name, size in sizes.items():
                yield group, name, slice(start, start + size)
                start += size


def told_by_a_state(
    model: mujoco.MjModel, fields: Collection[str], num_stages: int = 2
) -> dict[str, np.ndarray]:
    """Field of `mjData` -> bool of its shape: the element follows from `qpos` and `qvel` alone.

    Those are what MuJoCo's position and velocity stages, and their sensors, write.

    Args:
        model: the compiled model.
        fields: names.
        num_stages: 2; 1: only what follows from `qpos` counts; 0: only those two themselves.
    """
    data = mujoco.MjData(model)
    values = {name: getattr(data, name) for name in fields if name not in STATE}
    for value in values.values():
        if _is_real(value):
            value[...] = np.nan
    if num_stages > 0:
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_sensorPos(model, data)
    if num_stages > 1:
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_sensorVel(model, data)
    told = {
        name: ~np.isnan(value) if _is_real(value) else np.zeros(np.shape(value), bool)
        for name, value in values.items()
    }
    state = {"qpos": np.ones(model.nq, bool), "qvel": np.ones(model.nv, bool)}
    return told | state | {"time": np.zeros((), bool)}


def _is_real(value: Any) -> bool:
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)


def stepped_fields(
    model: mujoco.MjModel, motion: MotionSet, fields: Collection[str]
) -> dict[str, np.ndarray]:
    """Fields of `mjData` at all frames of a motion `[S, ...]`, as steps leave them.

    Derived fields are of the state one physics step before: of q - dt v, from which MuJoCo's
    semi-implicit integrators came, and of the velocity of the frame before, which is that step's
    where a control step has one only.
    """
    qpos, qvel = np.asarray(motion.qpos, np.float64), np.asarray(motion.qvel, np.float64)
    before, rows = qpos.copy(), np.arange(len(qpos))
    for position, velocity in zip(before, qvel, strict=True):
        mujoco.mj_integratePos(model, position, velocity, -float(model.opt.timestep))
    rows_before = np.where(np.isin(rows, np.asarray(motion.starts)), rows, rows - 1)
    found = derived_fields(model, before, qvel[rows_before], {*fields} - {*STATE})
    state = {"qpos": qpos, "qvel": qvel, "time": np.zeros(len(qpos))}
    return found | {name: value.astype(np.float32) for name, value in state.items()}
