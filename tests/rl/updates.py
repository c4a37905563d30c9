"""PPO's update, looked into: what its gradient steps are taken from, and steps from a given batch."""

from dataclasses import fields
from types import SimpleNamespace
from unittest import mock

import jax.numpy as jnp

from ksim_cli.rl import ppo
from ksim_cli.rl.algorithm import Learning
from ksim_cli.rl.ppo import PPO, ActingRecord


class Shown(PPO):
    """Takes no step; its metrics show what the gradient steps were to be taken from."""

    def update(self, context, learning, experience, key):
        seen = {}

        def spied(kind):
            def make(batch, num_groups):
                seen["batch"] = batch
                return kind(batch, num_groups)

            return make

        with (
            mock.patch.object(ppo, "Transitions", spied(ppo.Transitions)),
            mock.patch.object(ppo, "Sequences", spied(ppo.Sequences)),
        ):
            learning, _ = super().update(context, learning, experience, key)
        return learning, {**seen, "learner": learning.learner}

    def gradient_step(self, context, learner, batch):
        return learner, {"loss": jnp.zeros(())}


def minimize(algo, context, learner, batch, key):
    """What an update makes of a learner whose advantages and targets are those of a batch."""

    class Given(type(algo)):
        def _scaled(self, learning, experience):
            return learning, None

        def estimate(self, context, learner, experience, rewards_tn):
            return batch.advantage, batch.target

    experience = SimpleNamespace(
        obs=batch.obs,
        action=batch.action,
        carry=batch.carry,
        record=ActingRecord(batch.log_prob, batch.value, jnp.zeros_like(batch.value)),
        valid=batch.valid,
        was_reset=batch.done,
        raw_action=batch.raw_action,
    )
    own = Given(**{f.name: getattr(algo, f.name) for f in fields(algo)})
    learning, metrics = own.update(context, Learning(learner), experience, key)
    return learning.learner, metrics


def loss(algo, context, variables, batch, kl_coef):
    """PPO's loss of some variables."""
    learner = ppo.PPOState(variables=variables, opt_state=(), kl_coef=kl_coef)
    return algo.loss(variables.params, context, learner, batch)
