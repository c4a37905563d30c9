"""Cart-pole: keep a pole upright on a cart (DeepMind Control Suite, Tassa et al. 2018)."""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import mujoco

from ksim_cli import REWARDS, TASKS, Reward, Step, Task, resolved
from ksim_cli.mdp.maths import tolerance
from ksim_cli.mdp.term import Carry
from ksim_cli.physics.names import joint_addresses


@REWARDS.register("cartpole_balance")
@dataclass(frozen=True, kw_only=True)
class Balance(Reward):
    """upright * centered * small control * small velocity. Range [0, 1].

    upright = (1 + cos angle) / 2; centered = (1 + tol(x / 2 m)) / 2;
    small control = (4 + max(0, 1 - action^2)) / 5; small velocity = (1 + tol(w / 5 rad/s)) / 2,
    with tol a gaussian that is 0.1 at the margin.

    Attributes:
        cart: slide joint of the cart.
        pole: hinge joint of the pole, upright at 0.
    """

    cart: str = "slider"
    pole: str = "hinge"
    qpos_addresses: tuple[int, ...] = resolved()
    dof_addresses: tuple[int, ...] = resolved()

    def bind(self, model: mujoco.MjModel) -> Self:
        """See `Term.bind`."""
        qpos, dof = joint_addresses(model, (self.cart, self.pole))
        return replace(self, qpos_addresses=qpos, dof_addresses=dof)

    def __call__(self, step: Step, carry: Carry) -> tuple[jax.Array, Carry]:
        """See `Reward`."""
        position = step.view.qpos[self.qpos_addresses[0]]
        angle = step.view.qpos[self.qpos_addresses[1]]
        velocity = step.view.qvel[self.dof_addresses[1]]
        control = jnp.clip(step.action[0], -1.0, 1.0)
        upright = (1.0 + jnp.cos(angle)) / 2.0
        centered = (1.0 + tolerance(position, margin=2.0)) / 2.0
        small_control = (
            4.0 + tolerance(control, margin=1.0, value_at_margin=0.0, sigmoid="quadratic")
        ) / 5.0
        small_velocity = (1.0 + tolerance(velocity, margin=5.0)) / 2.0
        return upright * centered * small_control * small_velocity, carry


@TASKS.register("cartpole")
class CartPole(Task):
    """The model is `cartpole.xml`; the rest is `configs/task/cartpole.yaml`."""
