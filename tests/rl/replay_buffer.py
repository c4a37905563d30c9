"""An algorithm of the tests: it learns from a buffer of the last rollouts, without a critic.

Regression on the buffer's actions, weighted by how good their returns were (Peng et al. 2019,
"Advantage-weighted regression").
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl.algorithm import Algorithm, LearnerState, Learning


class BufferState(LearnerState):
    """The learner's state, and how many rollouts were stored."""

    stored: jax.Array = struct.field(default_factory=lambda: jnp.int32(0))


@ALGORITHMS.register("replay")
@dataclass(frozen=True)
class Replay(Algorithm):
    """`algo=replay`; each environment has its own rows `[N, slots, T, ...]` of the buffer."""

    slots: int = 4
    steps: int = 4
    gamma: float = 0.97

    def init(self, context, variables, key):
        env, shape = context.env, (context.env.num_envs, self.slots, context.num_steps)
        own = {
            "obs": {g: jnp.zeros((*shape, size)) for g, size in env.observation_sizes.items()},
            "action": jnp.zeros((*shape, env.action_size)),
            "weight": jnp.zeros(shape),
        }
        opt_state = context.optimizer.init(variables.params)
        return Learning(BufferState(variables=variables, opt_state=opt_state), own)

    def update(self, context, learning, experience, key):
        learner, own = learning

        def back(return_n, step):
            reward_n, done_n = step
            return_n = reward_n + self.gamma * jnp.where(done_n, 0.0, return_n)
            return return_n, return_n

        steps = (experience.scores.total, experience.results.done)
        start = jnp.zeros(context.env.num_envs)
        _, return_tn = jax.lax.scan(back, start, steps, reverse=True)
        above = return_tn - return_tn.mean(axis=1, keepdims=True)
        weight = jnp.exp(jnp.clip(above / (above.std() + 1e-6), -3.0, 3.0)) * experience.valid
        new = {"obs": experience.obs, "action": experience.action, "weight": weight}
        slot = learner.stored % self.slots
        own = jax.tree.map(lambda rows, x: rows.at[:, slot].set(jnp.moveaxis(x, 1, 0)), own, new)

        def descend(learner, key):
            chosen = jax.random.randint(key, (), 0, jnp.minimum(learner.stored + 1, self.slots))
            batch = jax.tree.map(lambda rows: rows[:, chosen], own)

            def loss(params):
                now = context.policy.ppo_variables(
                    learner.variables.replace(params=params), batch["obs"], batch["action"], ()
                )
                return -(batch["weight"] * now.log_prob).mean()

            value, gradients = jax.value_and_grad(loss)(learner.variables.params)
            optimized = context.optimizer.update(
                gradients, learner.opt_state, learner.variables.params
            )
            params = optax.apply_updates(learner.variables.params, optimized[0])
            variables = learner.variables.replace(params=params)
            return learner.replace(variables=variables, opt_state=optimized[1]), value

        learner, losses = jax.lax.scan(descend, learner, jax.random.split(key, self.steps))
        learner = learner.replace(stored=learner.stored + 1)
        return Learning(learner, own), {"loss": losses.mean()}
