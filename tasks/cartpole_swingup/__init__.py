"""Cart-pole swing-up (DeepMind Control Suite, Tassa et al. 2018): the pole begins hanging down."""

import math

import mujoco
from ksim_cli.tasks.cartpole import CartPole

from ksim_cli import TASKS


@TASKS.register("cartpole_swingup")
class CartPoleSwingup(CartPole):
    """The cart-pole's model and reward; episodes begin with the pole down."""

    def get_mujoco_model(self) -> mujoco.MjSpec:
        """See `Task`: the home pose is the pole hanging down."""
        spec = super().get_mujoco_model()
        spec.add_key(name="home", qpos=[0.0, math.pi])
        return spec
