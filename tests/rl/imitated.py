"""What an algorithm is tried on that may need a motion or a teacher; registers nothing."""

import numpy as np
import optax

from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import Policy
from ksim_cli.rl.algorithm import Context
from ksim_cli.types import MotionObservations
from tests.envs import Taught

NUM_ENVS = 16


def shown_times_action(shown, action, count):
    return shown * action


class Imitated(Taught):
    """A probe with a teacher and a motion: the coin shows the same side all the time."""

    def motion_observations(self, groups):
        return [MotionObservations({group: np.ones((5, 1), np.float32) for group in groups}, 1.0)]


def make_context(algorithm, env=None, num_steps=8, batch_size=8):
    if env is None:
        env = Imitated(shown_times_action, 3, shows="coin", num_envs=NUM_ENVS)
    model = MLP(hidden_size=8)
    adapter = NNXAdapter(lambda key: model.build(env.observation_sizes, env.action_size, key))
    return Context(
        env=env,
        policy=Policy(adapter),
        optimizer=optax.adam(1e-2),
        num_steps=num_steps,
        batch_size=batch_size,
        parts=algorithm.prepare(env),
    )
