"""Distillation against numbers by hand: the imitation's loss, the likelihood, the stages."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim_cli import models
from ksim_cli.config.components import GRUConfig, MLPConfig
from ksim_cli.models.distributions import DiagonalNormal
from ksim_cli.models.policy import Policy, Variables
from ksim_cli.rl.algorithm import init, make_player, train_step
from ksim_cli.rl.distill import LABEL, Distill, DistillState, Teacher
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO
from ksim_cli.rl.rollout import play
from tests.envs import Taught
from tests.rl import imitated

models.register_models()
SECTIONS = {
    "mlp": vars(MLPConfig(hidden_size=8)),
    "gru": vars(GRUConfig(hidden_size=8)),
}


def make_context(algorithm, num_envs=8, length=3, batch_size=4, steps=7):
    env = Taught(imitated.shown_times_action, length, shows="first", num_envs=num_envs)
    return imitated.make_context(algorithm, env, steps, batch_size)


def distill(kind="mlp", **fields):
    return Distill(teacher_model=SECTIONS[kind], **fields)


@pytest.mark.parametrize(
    ("iteration", "clone", "ppo"),
    [(0, 1.0, 0.0), (2, 1.0, 0.0), (3, 0.0, 0.0), (4, 0.0, 0.0), (5, 0.25, 1.0), (99, 0.25, 1.0)],
)
def test_the_stages(iteration, clone, ppo):
    algorithm = distill(clone_iterations=3, warm_up_iterations=2, clone_coef=0.25)
    got = algorithm.weights(jnp.int32(iteration))
    # Within the warm-up nothing but the critic learns.
    assert [float(x) for x in got] == [clone, ppo]


class Normal(SimpleNamespace):
    """A model of fixed mean and deviation."""

    def action_distribution(self, obs, carry):
        mean = jnp.broadcast_to(self.mean, (*obs["actor"].shape[:-1], len(self.std)))
        return DiagonalNormal(
            mean + obs["actor"][..., :1], jnp.broadcast_to(self.std, mean.shape)
        ), carry

    def value(self, obs, carry):
        return jnp.zeros(obs["actor"].shape[:-1]), carry


class Fixed:
    """The adapter of `Normal`; its parameters are the mean."""

    def __init__(self, mean, std):
        self.mean, self.std = jnp.array(mean), jnp.array(std)

    def init(self, key):
        return Variables(params=self.mean)

    def merge(self, variables):
        return Normal(mean=variables.params, std=self.std)


def test_the_likelihood_is_the_mean_over_joints_of_the_density_beside_that_of_the_mode():
    mean, std = [0.5, -1.0, 2.0], [0.1, 1.0, 3.0]
    policy = Policy(Fixed(mean, std))
    seen = np.array([[0.0], [0.25]], np.float32)
    action = np.array([[0.5, 0.0, -1.0], [0.7, -0.75, 2.25]], np.float32)
    got, carry = Teacher(policy, {"actor": "x"}).likelihood(
        policy.init(None), {"actor": jnp.array(seen)}, (), jnp.array(action)
    )
    z = (action.astype(np.float64) - (np.array(mean) + seen)) / np.array(std)
    np.testing.assert_allclose(got, np.exp(-0.5 * z**2).mean(-1), rtol=1e-5)
    assert carry == ()
    # By hand: (1 + e^-1/2 + e^-1/2) / 3.
    np.testing.assert_allclose(got[0], (1 + 2 * np.exp(-0.5)) / 3, rtol=1e-5)


def test_the_imitation_is_minus_the_log_density_of_what_the_teacher_does():
    policy = Policy(Fixed([0.5, -1.0], [0.5, 2.0]))
    seen, label = np.zeros((3, 1)), np.array([[1.0, -1.0], [0.0, 1.0], [9.0, 9.0]])
    valid = np.array([True, True, False])
    zeros = jnp.zeros(3)
    batch = Batch(
        obs={"actor": jnp.array(seen), LABEL: jnp.array(label)},
        action=jnp.zeros((3, 2)),
        carry=(),
        log_prob=zeros,
        value=zeros,
        advantage=zeros,
        target=jnp.array([1.0, 3.0, 50.0]),
        valid=jnp.array(valid),
        done=zeros > 0,
    )
    algorithm = distill(clone_iterations=5, warm_up_iterations=1, value_loss_coef=0.5)
    variables = policy.init(None)

    def loss(iteration):
        learner = DistillState(variables, (), iteration=jnp.int32(iteration))
        context = SimpleNamespace(policy=policy)
        grad = jax.grad(algorithm.loss, has_aux=True)
        return grad(variables.params, context, learner, batch)

    gradient, metrics = loss(0)
    z = (label[:2] - [0.5, -1.0]) / [0.5, 2.0]
    log_prob = (-0.5 * z**2 - np.log([0.5, 2.0]) - 0.5 * np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(metrics["clone_loss"], -log_prob.mean(), rtol=1e-6)
    # The value's part of it: 0.5 * E[(0 - target)^2] / 2 = 0.5 * (1 + 9) / 4, clipped no less.
    np.testing.assert_allclose(metrics["loss"], -log_prob.mean() + 0.5 * 2.5, rtol=1e-6)
    np.testing.assert_allclose(gradient, -(z / [0.5, 2.0]).mean(0), rtol=1e-5)
    gradient, metrics = loss(5)
    assert np.isnan(metrics["clone_loss"]) and not gradient.any(), "the critic alone"
    gradient, metrics = loss(6)
    ppo = PPO(value_loss_coef=0.5).loss(
        variables.params, SimpleNamespace(policy=policy), DistillState(variables, ()), batch
    )[1]
    np.testing.assert_allclose(metrics["loss"], ppo["loss"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_a_teacher_is_led_through_rollouts_as_if_it_acted(kind):
    """Cut into rollouts of one step, as a viewer plays, and in one: the same, over episodes' ends."""
    algorithm = distill(kind, likelihood_weight=2.0)
    context = make_context(algorithm)
    assert context.parts.policy.recurrent == (kind == "gru")
    state = init(algorithm, context, jax.random.key(3))
    teacher = jax.tree.map(lambda x: x + 0.3, state.learner.reward_variables)
    policy = state.policy.replace(reward_variables=teacher)
    player = make_player(algorithm, context, argmax=True)
    start = player.start(jax.random.key(1))

    def run(num_steps):
        step = jax.jit(lambda playing: play(player, policy, playing, jax.random.key(0), num_steps))
        playing, told = start, []
        for _ in range(0, 6, num_steps):
            playing, experience = step(playing)
            told.append(experience.scores.components["teacher"])
        return np.concatenate(told), playing.learned, experience

    (one, carry_one, _), (six, carry_six, experience) = run(1), run(6)
    by_hand, carry = _by_hand(context.parts, teacher, experience)
    for told, kept in ((one, carry_one), (six, carry_six)):
        np.testing.assert_allclose(told, 2 * by_hand, rtol=1e-4)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), kept, carry
        )
    assert (six < 2).any() and experience.was_reset[2].all()
    assert bool(jax.tree.leaves(carry)) == (kind == "gru")


def _by_hand(teacher, variables, experience):
    """Likelihoods and what is remembered, step by step, reset where an episode ended."""
    n = experience.action.shape[1]
    carry, told = teacher.policy.initial_carry(n), []
    for t in range(len(experience.action)):
        obs = {"actor": experience.obs["teacher_actor"][t]}
        distribution, carry = teacher.policy.adapter.merge(variables).action_distribution(
            obs, carry
        )
        z = (experience.action[t] - distribution.mean) / distribution.std
        told.append(np.exp(-0.5 * np.asarray(z) ** 2).mean(-1))
        keep = jnp.where(experience.was_reset[t], 0.0, 1.0)[:, None]
        carry = jax.tree.map(keep.__mul__, carry)
    return np.stack(told), carry


def test_the_student_becomes_what_its_teacher_is_and_the_optimizer_begins_anew_with_each_stage():
    """Of a coin that both see; the teacher's mean and deviation are those it is given."""
    algorithm = distill(clone_iterations=150, warm_up_iterations=1, adaptive_kl=True, kl_coef=0.01)
    context = make_context(algorithm, num_envs=32, batch_size=32, length=1, steps=8)

    @jax.jit
    def learn(key):
        state = init(algorithm, context, key)
        teacher = state.learner.reward_variables
        params = jax.tree.map(lambda x: 1.5 * x, teacher.params)
        params["head"]["log_std"] = jnp.full(1, jnp.log(0.2))
        layers = params["actor"]["layers"]
        layers[max(layers)]["kernel"] *= 100
        state = state.replace(
            learner=state.learner.replace(reward_variables=teacher.replace(params=params))
        )

        def step(state, _):
            before = state.learner.variables
            state, metrics, _ = train_step(algorithm, context, state)
            return state, (before, metrics)

        return jax.lax.scan(step, state, None, length=152)

    state, (variables, metrics) = learn(jax.random.key(0))
    cloned, warmed = (jax.tree.map(lambda x, i=i: x[i], variables) for i in (150, 151))

    def actor(variables):
        return variables.params["actor"], variables.params["head"]

    jax.tree.map(np.testing.assert_array_equal, actor(cloned), actor(warmed))
    learner, coin = state.learner, jnp.array([[-1.0], [1.0]])
    student = context.policy.mode(cloned, {"actor": coin, "critic": coin}, ()).action
    teacher = context.parts.policy.mode(learner.reward_variables, {"actor": coin}, ()).action
    assert np.abs(teacher).max() > 0.2, "there is something to imitate"
    np.testing.assert_allclose(student, teacher, atol=0.12)
    std = np.exp(cloned.params["head"]["log_std"])
    np.testing.assert_allclose(std, 0.2, rtol=0.25)
    assert int(learner.iteration) == 152
    assert (
        np.isfinite(metrics["clone_loss"][:150]).all()
        and np.isnan(metrics["clone_loss"][150:]).all()
    )
    assert (metrics["kl_coef"][:151] == np.float32(0.01)).all() and metrics["kl_coef"][151] != 0.01
    # One step per minibatch and pass since the third stage began.
    assert int(optax.tree.get(learner.opt_state, "count")) == algorithm.num_passes
