"""An algorithm of the tests: PPO with a learned reward, its discriminator and second optimizer.

After generative adversarial imitation (Ho & Ermon 2016). What it imitates is a body at rest: pairs of
equal observations.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct

from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl.algorithm import Learning
from ksim_cli.rl.ppo import PPO, PPOState

GROUP = "actor"


class AdversarialState(PPOState):
    """The learner's state; the discriminator's weights are the `reward_variables`."""

    second_opt_state: optax.OptState = struct.field(default=())


def score(weights, before, after):
    """Log odds that a step from one observation to the next is of a body at rest."""
    seen = jnp.concatenate([before, after - before, jnp.abs(after - before)], axis=-1)
    return jnp.tanh(seen @ weights["in"]) @ weights["out"]


@ALGORITHMS.register("adversarial")
@dataclass(frozen=True)
class Adversarial(PPO):
    """`algo=adversarial`."""

    style_weight: float = 0.5
    second_learning_rate: float = 1e-3

    def final_groups(self):
        return (GROUP,)

    def prepare(self, task):
        return {"optimizer": optax.adam(self.second_learning_rate)}

    def init(self, context, variables, key):
        learner, own = super().init(context, variables, key)
        size = context.env.observation_sizes[GROUP]
        one, two = jax.random.split(key)
        weights = {
            "in": 0.5 * jax.random.normal(one, (3 * size, 8)),
            "out": 0.5 * jax.random.normal(two, (8,)),
        }
        second = context.parts["optimizer"].init(weights)
        learner = AdversarialState.of(learner, reward_variables=weights, second_opt_state=second)
        return Learning(learner, own)

    def rewards(self, context, reward_variables, experience):
        style = jax.nn.sigmoid(
            score(reward_variables, experience.obs[GROUP], experience.next_obs(GROUP))
        )
        return {"style": self.style_weight * style}

    def update(self, context, learning, experience, key):
        (learner, own), metrics = super().update(context, learning, experience, key)
        before, after = experience.obs[GROUP], experience.next_obs(GROUP)

        def loss(weights):
            real, fake = score(weights, before, before), score(weights, before, after)
            return (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()

        value, gradients = jax.value_and_grad(loss)(learner.reward_variables)
        updates, second = context.parts["optimizer"].update(gradients, learner.second_opt_state)
        weights = optax.apply_updates(learner.reward_variables, updates)
        learner = learner.replace(reward_variables=weights, second_opt_state=second)
        return Learning(learner, own), {**metrics, "discriminator_loss": value}
