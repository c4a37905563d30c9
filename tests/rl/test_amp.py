"""Adversarial motion priors on a probe whose motion shows the same side of a coin all the time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.config.components import AMPConfig
from ksim_cli.errors import UserError
from ksim_cli.registry import ALGORITHMS
from ksim_cli.rl import losses
from ksim_cli.rl.algorithm import act, init, make_player
from ksim_cli.rl.amp import AMP, motion_of
from ksim_cli.types import MotionObservations
from tests.rl.imitated import NUM_ENVS, make_context

SMALL = {"disc_groups": ["actor"], "disc_hidden": [8], "amp_reference_batch_size": 2}


def begun(**fields):
    """Algorithm, context and the state after the burn-in."""
    amp = AMP(**SMALL, **fields)
    context = make_context(amp)
    state = jax.jit(lambda key: init(amp, context, key))(jax.random.key(0))
    return amp, context, state


def test_steps_of_the_motion_do_not_lead_from_one_clip_to_another():
    clips = [
        MotionObservations({"a": np.arange(3.0)[:, None]}, 0.25),
        MotionObservations({"a": 10.0 + np.arange(4.0)[:, None]}, 0.75),
    ]
    motion = motion_of(clips)
    assert motion.moves.before["a"][:, 0].tolist() == [0, 1, 10, 11, 12]
    assert motion.moves.after["a"][:, 0].tolist() == [1, 2, 11, 12, 13]
    np.testing.assert_allclose(motion.probability, [0.125, 0.125, 0.25, 0.25, 0.25])


def test_the_burn_in_and_the_motion_seed_what_the_discriminator_is_normalised_by():
    _, context, state = begun()
    seen = state.learner.reward_variables.statistics["input"]["statistics"]
    # Four steps of the motion that show 1, and 8 x 16 of the burn-in.
    assert seen.count == 4 + context.num_steps * NUM_ENVS


def test_the_style_reward_is_that_of_the_steps_before_any_reset():
    amp, context, state = begun(style_reward_weight=0.25)
    _, experience = jax.jit(lambda s: act(amp, context, s, jax.random.key(1)))(state)
    moves = amp.moves(experience)
    # The coin is drawn anew after three steps: what a step led to is the coin it began with.
    np.testing.assert_array_equal(moves.before["actor"], moves.after["actor"])
    assert (experience.obs["actor"][1:] != experience.obs["actor"][:-1]).any()
    discriminator = context.parts.discriminator.merge(state.learner.reward_variables)
    score = discriminator(discriminator.features(moves.before, moves.after))
    style = experience.scores.components["style"]
    np.testing.assert_allclose(style, 0.25 * losses.style_reward(score), rtol=1e-5)
    assert (style >= 0).all() and (style <= 0.25).all()
    np.testing.assert_allclose(
        experience.scores.total, sum(experience.scores.components.values()), rtol=1e-6
    )


def test_the_discriminator_learns_to_tell():
    amp, context, state = begun(disc_learning_rate=1e-2, disc_num_passes=4)
    _, experience = jax.jit(lambda s: act(amp, context, s, jax.random.key(1)))(state)
    update = jax.jit(
        lambda learner, key: amp.update_discriminator(context, learner, experience, key)
    )
    learner = state.learner
    for i in range(10):
        learner, metrics = update(learner, jax.random.key(i))
    assert metrics["disc_real"] > metrics["disc_fake"] + 0.5
    assert metrics["disc_grad_penalty"] > 0 and np.isfinite(metrics["disc_loss"])
    discriminator = context.parts.discriminator.merge(learner.reward_variables)
    like, unlike = ({"actor": jnp.full(1, coin)} for coin in (1.0, -1.0))
    score = [discriminator(discriminator.features(obs, obs)) for obs in (like, unlike)]
    assert score[0] > score[1]
    same = jax.tree.map(np.array_equal, learner.variables, state.learner.variables)
    assert jax.tree.all(same), "the policy is for PPO to change"


@pytest.mark.parametrize(
    ("level", "least", "wanted"), [(0.5, 0.0, 0.05), (0.5, 1.0, 0.1), (1.0, 0.2, 0.1)]
)
def test_noise_on_the_motion_follows_the_level(monkeypatch, level, least, wanted):
    noise = {"amp_reference_noise": 0.1, "amp_reference_noise_min_multiplier": least}
    amp, context, state = begun(**noise)
    steps = []

    def step(self, context, noise, learner, minibatch):
        steps.append(noise)
        return learner, {}

    _, experience = act(amp, context, state, jax.random.key(1))
    at = experience.results.steps.replace(level=jnp.full((8, NUM_ENVS), level))
    experience = experience.replace(results=experience.results.replace(steps=at))
    monkeypatch.setattr(AMP, "discriminator_step", step)
    with jax.disable_jit():
        amp.update_discriminator(context, state.learner, experience, jax.random.key(2))
    np.testing.assert_allclose(steps, wanted, rtol=1e-6)


def test_clips_are_drawn_by_their_weights():
    amp, context, _ = begun()
    two = [
        MotionObservations({"actor": np.full((n, 1), value, np.float32)}, weight)
        for n, value, weight in ((3, 0.0, 0.2), (9, 1.0, 0.8))
    ]
    context.parts.task.motion_observations = lambda groups: two
    amp = dataclasses.replace(amp, amp_reference_batch_size=1000)
    parts = amp.prepare(context.parts.task)
    drawn = amp.drawn(dataclasses.replace(context, parts=parts), jax.random.key(0))
    assert drawn.valid.shape == (1000 * context.num_steps,)
    np.testing.assert_allclose(drawn.before["actor"].mean(), 0.8, atol=0.02)


def test_who_only_plays_reads_no_motion():
    amp, context, state = begun()
    context.parts.task.motion_observations = None
    context = dataclasses.replace(context, parts=amp.prepare(context.parts.task))
    assert make_player(amp, context).final_groups == ("actor",)
    fresh = jax.eval_shape(lambda key: amp.init(context, context.policy.init(key), key), KEY)
    assert jax.tree.structure(fresh.learner) == jax.tree.structure(state.learner)


def test_its_observations_are_in_its_group_unless_they_say_otherwise():
    terms = {"a": {"type": "x"}, "b": {"type": "x", "groups": ["gait", "actor"]}, "c": None}
    amp = AMP(observations=terms, disc_groups=["gait", "more"], task_reward_weight=0.3)
    assert amp.extra_observations() == {
        "a": {"type": "x", "groups": ["gait"]},
        "b": {"type": "x", "groups": ["gait", "actor"]},
    }
    assert amp.reward_factor() == 0.3 and amp.final_groups() == ("gait", "more")


def test_a_discriminator_sees_something():
    with pytest.raises(UserError, match=r"algo: disc_groups=\[\]: it sees something"):
        ALGORITHMS.build({"type": "amp", "disc_groups": []}, "algo")
    amp = AMP(disc_groups=["gait"])
    with pytest.raises(UserError, match=r"algo.disc_groups: no observation is in the group 'gait'"):
        make_context(amp)
    assert AMPConfig().amp_grad_penalty_coef == 10.0


KEY = jax.random.key(0)
