"""A cart-pole's equations of motion as an engine, for what is about the run and not the physics.

It compiles in a second, where MJX takes half a minute, and it spreads and batches as MJX does. A
project takes it with `take_light_engine` of `tests.run.commands`, as it would an engine of its own.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ksim_cli.physics.engine import HUGE, View, only_implementation
from ksim_cli.registry import ENGINES
from ksim_cli.trees import select_envs

GRAVITY, CART, POLE, HALF = 9.81, 1.0, 0.1, 0.5
"""m/s^2, kg, kg, and half of the pole's length in m."""


class LightState(struct.PyTreeNode):
    time: jax.Array
    qpos: jax.Array
    qvel: jax.Array
    ctrl: jax.Array


@ENGINES.register("light")
class LightEngine:
    """Barto, Sutton and Anderson 1983, without friction and rails; the slide, then the hinge."""

    shards = True
    batches_seeds = True
    buffer_sizes: ClassVar = {}
    choose_impl = staticmethod(only_implementation)

    def __init__(self, spec):
        assert (spec.model.nq, spec.model.nu) == (2, 1) and spec.variants is None
        self.spec, self.dt = spec, spec.model.opt.timestep

    def init(self):
        nothing = jnp.zeros((self.spec.num_envs, 2))
        return self.prepare(nothing, nothing, nothing)

    def prepare(self, qpos, qvel, variant):
        del variant
        n = len(qpos)
        return LightState(time=jnp.zeros(n), qpos=qpos, qvel=qvel, ctrl=jnp.zeros((n, 1)))

    def reset(self, state, mask, prepared):
        return select_envs(mask, prepared, state)

    def step(self, state, ctrl, num_steps):
        force, total = ctrl[:, 0], CART + POLE

        def once(state, _):
            sine, cosine = jnp.sin(state.qpos[:, 1]), jnp.cos(state.qpos[:, 1])
            pushed = (force + POLE * HALF * state.qvel[:, 1] ** 2 * sine) / total
            turned = (GRAVITY * sine - cosine * pushed) / (
                HALF * (4.0 / 3.0 - POLE * cosine**2 / total)
            )
            moved = pushed - POLE * HALF * turned * cosine / total
            qvel = state.qvel + self.dt * jnp.stack([moved, turned], axis=1)
            qpos = state.qpos + self.dt * qvel
            return state.replace(time=state.time + self.dt, qpos=qpos, qvel=qvel), None

        return jax.lax.scan(once, state.replace(ctrl=ctrl), None, length=num_steps)[0]

    advance = step

    def push(self, state, velocity):
        return state.replace(qvel=state.qvel + velocity)

    def apply_force(self, state, force):
        del force
        return state

    def view(self, state):
        return View({name: getattr(state, name) for name in self.spec.viewed()})

    def unstable(self, state):
        values = jnp.concatenate([state.qpos, state.qvel], axis=1)
        return ~(jnp.abs(values) < HUGE).all(axis=1)

    def overflows(self, state):
        return jnp.zeros(state.time.shape, bool)

    def physics_only_runner(self, state, num_steps):
        def control_step(state, ctrl):
            return self.step(state, ctrl, num_steps), None

        run = jax.jit(lambda state, torques: jax.lax.scan(control_step, state, torques))
        return lambda torques: jax.block_until_ready(run(state, torques))

    def host_state(self) -> dict[str, np.ndarray]:
        return {}

    def load_host_state(self, saved):
        del saved
