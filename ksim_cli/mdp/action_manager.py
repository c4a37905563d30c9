"""From the policy's actions to the torques of every physics step.

The way of an action: filters, loss, latency, then the actuators, which see joints whose zero may be
off. Filters and loss act once per control step, latency and actuators at each update of the
torques.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from ksim_cli.config.components import EngineConfig
from ksim_cli.errors import UserError, error_context
from ksim_cli.mdp.action_filters import ActionFilter
from ksim_cli.mdp.actuators import Actuator
from ksim_cli.mdp.manager import env_keys
from ksim_cli.mdp.maths import pick, uniform_between
from ksim_cli.mdp.term import Carry, JointState, Latch, checked
from ksim_cli.own_code import place_of
from ksim_cli.physics.names import joint_addresses, scalar_joints
from ksim_cli.physics.robot import home_control
from ksim_cli.quarantine import beyond
from ksim_cli.rng import named_key


@dataclass(frozen=True)
class Timing:
    """How control steps, updates of the torques and physics steps relate.

    Attributes:
        ctrl_dt: s between two actions.
        num_substeps: physics steps per control step.
        num_updates: updates of the torques per control step; divides `num_substeps`.
    """

    ctrl_dt: float
    num_substeps: int
    num_updates: int = 1


class ActionManager:
    """The way of the actions of N environments to their torques.

    Args:
        actuators: the actuators, bound.
        model: the compiled model.
        timing: control and physics steps.
        config: latency, loss of actions, zero offset.
        num_envs: N.
    """

    def __init__(
        self,
        actuators: Mapping[str, Actuator],
        model: mujoco.MjModel,
        timing: Timing,
        config: EngineConfig,
        num_envs: int,
    ) -> None:
        self._actuators = actuators
        self._filters: dict[str, tuple[ActionFilter, ...]] = {}
        for name, term in actuators.items():
            with error_context(f"actuators.{name}.filters"):
                self._filters[name] = _bound_filters(term)
        self._config = config
        self._timing = timing
        self._num_envs = num_envs
        self._nq = model.nq
        self._scalar = joint_addresses(model, ())[0] if scalar_joints(model) else ()
        driven = [a for actuator in actuators.values() for a in actuator.ctrl_addresses]
        # What no action reaches holds the home pose's control.
        self._home = jnp.asarray(home_control(model), jnp.float32)
        place = {address: model.nu + i for i, address in enumerate(driven)}
        self._order = [place.get(i, i) for i in range(model.nu)]
        self.action_size = sum(a.action_size for a in actuators.values())
        self._latency = tuple(config.action_latency_range)
        self._past = math.ceil(self._latency[1] / timing.ctrl_dt - 1e-6)
        self._offset = config.zero_offset_std is not None or config.zero_offset_mag is not None
        renewed = self._past > 0 or any(a.renewed for a in actuators.values())
        self.num_updates = timing.num_updates if renewed else 1

    def init(self, key: jax.Array) -> Carry:
        """The carry at the start of an episode, each leaf with a leading axis of N."""
        return jax.vmap(self._init)(env_keys(key, self._num_envs, "init", "actuation", "all"))

    def receive(
        self, carry: Carry, action: jax.Array, qpos: jax.Array, level: jax.Array, key: jax.Array
    ) -> Carry:
        """Filters, loses and remembers the actions of a control step.

        Args:
            carry: the carry.
            action: `[N, A]`.
            qpos: `[N, nq]`.
            level: curriculum level.
            key: random key.
        """
        keys = env_keys(key, self._num_envs, "actuation")
        batched = jax.vmap(self._receive, in_axes=(0, 0, 0, None, 0))
        return batched(carry, action, qpos, level, keys)

    def torques(
        self, carry: Carry, update: jax.Array, qpos: jax.Array, qvel: jax.Array, level: jax.Array
    ) -> tuple[jax.Array, Carry]:
        """`ctrl` `[N, nu]` from one update of the torques to the next, and the new carry.

        Args:
            carry: the carry, after `receive`.
            update: number of the update within the control step, from 0.
            qpos: `[N, nq]`.
            qvel: `[N, nv]`.
            level: curriculum level.
        """
        batched = jax.vmap(self._torques, in_axes=(0, None, 0, 0, None))
        return batched(carry, update, qpos, qvel, level)

    def beyond(self, ctrl: jax.Array) -> dict[str, jax.Array]:
        """Key of an actuator -> `[N]` bool: what it gave, of `ctrl` `[N, nu]`, is not finite."""

        def given(term: Actuator) -> jax.Array:
            return jax.vmap(partial(pick, addresses=term.ctrl_addresses))(ctrl)

        return {
            f"actuators.{name}": beyond(given(term), len(ctrl))
            for name, term in self._actuators.items()
        }

    def finish(self, carry: Carry) -> Carry:
        """The carry from one control step to the next."""
        return {name: value for name, value in carry.items() if name != "now"}

    def zero_offset(self, carry: Carry, level: jax.Array) -> jax.Array | None:
        """`[..., nq]` by how much encoders are off, rad or m; None where that is not simulated."""
        return level * carry["offset"] if self._offset else None

    def _init(self, key: jax.Array) -> Carry:
        carry: dict[str, Any] = {
            "actuators": {
                name: term.init(named_key(key, "actuators", name))
                for name, term in self._actuators.items()
            },
            "filters": {
                name: [f.init(term.action_size) for f in self._filters[name]]
                for name, term in self._actuators.items()
            },
        }
        if self._past or self._config.drop_action_prob:
            # Newest first; the first step of an episode has no past and fills it.
            carry["sent"] = Latch.empty(self._past + 1, self.action_size)
        if self._past:
            carry["latency"] = uniform_between(named_key(key, "latency"), *self._latency)
        if self._offset:
            carry["offset"] = self._draw_offset(named_key(key, "zero offset"))
        return carry

    def _receive(
        self, carry: Carry, action: jax.Array, qpos: jax.Array, level: jax.Array, key: jax.Array
    ) -> Carry:
        qpos = self._measured(carry, qpos, level)
        sent, rest, filters = [], [], {}
        for (name, term), part in self._parts(action):
            still = term.rest_action(pick(qpos, term.qpos_addresses))
            filters[name] = []
            for f, state in zip(self._filters[name], carry["filters"][name], strict=True):
                part, state = f(part, still, self._timing.ctrl_dt, state)
                filters[name].append(state)
            sent.append(part)
            rest.append(still)
        action, still = jnp.concatenate(sent), jnp.concatenate(rest)
        carry = {**carry, "filters": filters}
        if "sent" not in carry:
            return {**carry, "now": action}
        past = carry["sent"].get(still)
        if self._config.drop_action_prob:
            shape = action.shape if self._config.drop_action_per_joint else ()
            probability = level * self._config.drop_action_prob
            lost = jax.random.bernoulli(named_key(key, "drop action"), probability, shape)
            action = jnp.where(lost, past[0], action)
        sent_now = jnp.concatenate([action[None], past])[: self._past + 1]
        return {**carry, "sent": Latch.holding(sent_now), "now": action}

    def _torques(
        self, carry: Carry, update: jax.Array, qpos: jax.Array, qvel: jax.Array, level: jax.Array
    ) -> tuple[jax.Array, Carry]:
        action = self._arrived(carry, update, level)
        offset = self.zero_offset(carry, level)
        offset = jnp.zeros_like(qpos) if offset is None else offset
        torques, new = [self._home], {}
        for (name, term), part in self._parts(action):
            joints = JointState(
                position=pick(qpos - offset, term.qpos_addresses),
                velocity=pick(qvel, term.dof_addresses),
                level=level,
                offset=pick(offset, term.qpos_addresses),
            )
            before = carry["actuators"][name]
            with error_context(f"actuators.{name}"):
                torque, new[name] = checked(term, term(part, joints, before), before)
                if jnp.shape(torque) != (len(term.ctrl_addresses),):
                    raise UserError(
                        f"its call gave torques of shape {jnp.shape(torque)}"
                        f"{place_of(type(term))}, not [{len(term.ctrl_addresses)}], one for each"
                        " joint"
                    )
            torques.append(torque)
        return pick(jnp.concatenate(torques), self._order), {**carry, "actuators": new}

    def _parts(self, action: jax.Array) -> Iterator[tuple[tuple[str, Actuator], jax.Array]]:
        """Name, actuator, and the part of an action `[A]` that is its own."""
        sizes = [actuator.action_size for actuator in self._actuators.values()]
        parts = jnp.split(action, np.cumsum(sizes)[:-1])
        return zip(self._actuators.items(), parts, strict=True)

    def _arrived(self, carry: Carry, update: jax.Array, level: jax.Array) -> jax.Array:
        """The action in force: each takes over from the one before within one update.

        With a latency of L updates an action sent k control steps ago has the weight
        clip(k n + i + 1 - L, 0, 1) at update i of n: at once for L = 0.
        """
        if not self._past:
            return carry["now"]
        n = self._timing.num_updates
        late = level * carry["latency"] / (self._timing.ctrl_dt / n)
        action = carry["sent"].value[self._past]
        for k in range(self._past - 1, -1, -1):
            weight = jnp.clip(k * n + update + 1.0 - late, 0.0, 1.0)
            action = action + weight * (carry["sent"].value[k] - action)
        return action

    def _measured(self, carry: Carry, qpos: jax.Array, level: jax.Array) -> jax.Array:
        offset = self.zero_offset(carry, level)
        return qpos if offset is None else qpos - offset

    def _draw_offset(self, key: jax.Array) -> jax.Array:
        std, mag = self._config.zero_offset_std or 0.0, self._config.zero_offset_mag or 0.0
        shape = (len(self._scalar),)
        drawn = std * jax.random.normal(named_key(key, "normal"), shape)
        drawn += mag * jax.random.uniform(named_key(key, "uniform"), shape, minval=-1.0)
        return jnp.zeros(self._nq).at[jnp.array(self._scalar, int)].set(drawn)


def _bound_filters(term: Actuator) -> tuple[ActionFilter, ...]:
    given = term.filters
    each = given if isinstance(given, tuple) else () if given is None else (given,)
    return tuple(f.bind(term.action_names) for f in each)
