import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.rl.incident import first_incident
from ksim_cli.rl.rollout import Player, PolicyState, play
from tests.envs import Probe
from tests.rl.policies import PlainAdapter, known

N, T = 3, 4


class Bad(Probe):
    """The second step of every episode is quarantined in some environments."""

    bad = (False, True, True)

    def step(self, state, action):
        state, result = super().step(state, action)
        bad = (state.count == 2) & jnp.array(self.bad)
        view = jnp.where(bad, jnp.nan, result.steps.view)
        return state, result.replace(
            steps=result.steps.replace(view=view), quarantined=jnp.where(bad, 2, 0)
        )


def incident(env):
    player, state = Player(env, known(action=0.5)), PolicyState(PlainAdapter().init(None), (), 1.0)

    def run(key):
        _, experience = play(player, state, player.start(key), key, T)
        return first_incident(experience)

    return jax.device_get(jax.jit(run)(jax.random.key(0)))


def counts(shown, action, count):
    return count * 1.0


def test_it_is_the_first_in_time_then_the_first_environment_with_all_its_steps():
    told = incident(Bad(counts, 3, shows="step", num_envs=N))
    assert (int(told.cause), int(told.step), int(told.env)) == (2, 1, 1)
    assert told.suspects[told.cause - 1] == "view"
    assert told.obs["actor"].tolist() == told.obs["critic"].tolist() == [[0], [1], [2], [0]]
    assert told.action.tolist() == [[0.5]] * T
    np.testing.assert_array_equal(told.view, [1.0, np.nan, 3.0, 1.0])
    assert told.rewards["probe"].tolist() == [1.0, 0.0, 3.0, 1.0]


def test_without_one_nothing_is_told():
    env = Bad(counts, 3, num_envs=N)
    env.bad = (False,) * N
    told = incident(env)
    assert told.cause == 0 and not told.view.any() and told.view.shape == (T,)
