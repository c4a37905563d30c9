"""Probe environments: tiny problems in pure JAX whose answers are known beforehand.

After the debugging probes of Jones (2021): each can only be solved if one more part of the
algorithm works.
"""

import jax
import jax.numpy as jnp
from flax import struct

from ksim_cli.trees import select_envs
from ksim_cli.types import Scores, Step, StepResult, per_env, shared


class ProbeState(struct.PyTreeNode):
    obs: dict = per_env()
    count: jax.Array = per_env()
    shown: jax.Array = per_env()
    level: jax.Array = shared()
    key: jax.Array = shared()

    @property
    def iteration(self):
        return jnp.int32(0)


class Probe:
    """N environments of one of the problems.

    Args:
        length: control steps of an episode.
        truncates: whether an episode's end is a truncation.
        reward: (shown, action, count) -> reward; `count` is 1 at the first step.
        shows: what is observed: `nothing` (0), `coin` (-1 or 1, drawn for each episode), `first`
            (the coin before the first step, 0 after it) or `step` (0, 1, ... within the episode).
    """

    action_size = 1

    def __init__(self, reward, length=1, truncates=False, shows="nothing", num_envs=64):
        self.num_envs = num_envs
        self.suspects, self.reward_limit = ("physics", "view", "action"), 1e6
        self.observation_sizes = {"actor": 1, "critic": 1}
        self._reward, self._length, self._truncates, self._shows = reward, length, truncates, shows

    def init(self, key, level=None, iteration=None):
        key, key_coin = jax.random.split(key)
        count = jnp.zeros(self.num_envs, jnp.int32)
        level = jnp.ones(()) if level is None else level
        return self._observed(count, self._coin(key_coin), level, key)

    def begin_rollout(self, state):
        return state

    def end_rollout(self, state, results, statistics):
        return state

    def step(self, state, action):
        key, key_coin = jax.random.split(state.key)
        count = state.count + 1
        done = count >= self._length
        reward = self._reward(state.shown, action[:, 0], count)
        after = self._observed(count, state.shown, state.level, key)
        n = self.num_envs
        steps = Step(
            view=reward,
            action=action,
            commands={},
            time=count * 1.0,
            termination=jnp.where(done & (not self._truncates), 1, 0),
            truncated=done & self._truncates,
            level=jnp.broadcast_to(state.level, (n,)),
        )
        result = StepResult(
            steps=steps,
            terminated=done & (not self._truncates),
            truncated=done & self._truncates,
            quarantined=jnp.zeros(n, jnp.int32),
            causes={"end": done},
            distance=jnp.zeros(n),
            final_obs=after.obs,
            overflow=jnp.zeros_like(done),
        )
        fresh = self._observed(jnp.zeros_like(count), self._coin(key_coin), state.level, key)

        common = {"level": None, "key": None}
        picked = select_envs(done, fresh.replace(**common), after.replace(**common))
        return picked.replace(level=state.level, key=key), result

    def init_rewards(self):
        return ()

    def rewards(self, carry, results, learned):
        # The probe leaves each reward where other environments leave their view.
        components = {"probe": results.steps.view, **learned}
        return carry, Scores(total=sum(components.values()), components=components)

    def _coin(self, key):
        return jnp.where(jax.random.bernoulli(key, shape=(self.num_envs,)), 1.0, -1.0)

    def _observed(self, count, coin, level, key):
        seen = {
            "nothing": jnp.zeros(self.num_envs),
            "coin": coin,
            "first": jnp.where(count == 0, coin, 0.0),
            "step": count * 1.0,
        }
        obs = seen[self._shows][:, None]
        groups = {"actor": obs, "critic": obs}
        return ProbeState(obs=groups, count=count, shown=coin, level=level, key=key)


class Taught(Probe):
    """A probe with the observations of somebody who is imitated beside the learner's own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.observation_sizes = {**self.observation_sizes, "teacher_actor": 1}

    def _observed(self, *args):
        state = super()._observed(*args)
        return state.replace(obs={**state.obs, "teacher_actor": state.obs["actor"]})
