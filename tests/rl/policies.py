"""Policies whose every answer is known beforehand."""

import jax.numpy as jnp
from flax import struct

from ksim_cli.models.policy import ActionSample, Policy, PPOVariables, Variables


class Plain(struct.PyTreeNode):
    """A model of one parameter; its statistics are the number and the sum of what was seen."""

    weight: object
    seen: object

    def update_statistics(self, obs, mask):
        seen = jnp.where(mask, obs["actor"][..., 0], 0.0)
        return self.replace(seen=self.seen + jnp.array([mask.sum(), seen.sum()]))


class PlainAdapter:
    def init(self, key):
        return Variables(params=jnp.zeros(()), statistics=jnp.zeros(2))

    def merge(self, variables):
        return Plain(variables.params, variables.statistics)

    def split(self, model):
        return Variables(model.weight, model.seen)


def known(value=lambda seen, carry: 2 * seen + 1, action=0.0, evaluate=None, counts=False):
    """A policy that always does the same.

    Args:
        value: `(seen, carry)` -> value of a state; `seen` is what the critic sees.
        action: what it does.
        evaluate: `(weight, action)` -> log density, value and entropy; None: 0, `value`, 0.
        counts: its carry is the number of steps it acted in this episode; else it has none.
    """

    def act(model, obs, carry, key, argmax):
        seen = obs["critic"][:, 0]
        return ActionSample(
            action=jnp.full((seen.shape[0], 1), action),
            carry=carry + 1 if counts else carry,
            log_prob=jnp.zeros(seen.shape[0]),
            value=value(seen, carry),
        )

    def judge(model, obs, actions, carry):
        if evaluate is not None:
            return PPOVariables(*evaluate(model.weight, actions), carry=carry)
        seen = obs["critic"][:, 0]
        zeros = jnp.zeros(seen.shape[0])
        return PPOVariables(zeros, value(seen, carry), zeros, carry=carry)

    def start(model, num_envs):
        return jnp.zeros(num_envs) if counts else ()

    return Policy(PlainAdapter(), act, judge, start)
