"""What one iteration hands to the update, and what it leaves, worked out by hand.

The episodes have three steps, of which the observation shows 0, 1, 2. The burn-in takes four
steps, so the first iteration sees 1, 2 | 0, 1 and its last step leads to 2.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim_cli.models.policy import ActionSample, Policy, PPOVariables, Variables
from ksim_cli.rl.algorithm import Context, init, make_player, train_step
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO, PPOState
from ksim_cli.rl.rollout import PolicyState, play
from tests.envs import Probe
from tests.rl.policies import known
from tests.rl.updates import Shown, loss, minimize

N = 3


class Bad(Probe):
    """The last step of every episode of environment 1 is quarantined and shows `garbage`."""

    garbage = 0.0

    def step(self, state, action):
        state, result = super().step(state, action)
        bad = result.done & (jnp.arange(self.num_envs) == 1)
        reward = jnp.where(bad, self.garbage, result.steps.view)
        return state, result.replace(
            steps=result.steps.replace(view=reward),
            terminated=result.terminated & ~bad,
            quarantined=jnp.where(bad, 1, 0).astype(jnp.int32),
        )


def ones(shown, action, count):
    return jnp.ones_like(action)


def counts(shown, action, count):
    return count * 1.0


def iterate(env, algo, iterations=1, policy=None):
    context = Context(env, policy or known(), optax.identity(), num_steps=4, batch_size=N)

    def run(key):
        state = init(algo, context, key)
        out = []
        for _ in range(iterations):
            before = state
            state, metrics, incident = train_step(algo, context, state)
            out.append((before, state, metrics, incident))
        return out

    return jax.device_get(jax.jit(run)(jax.random.key(0)))


PLAIN = Shown(normalize_returns=False, gamma=0.5, lam=0.5)


def test_advantages_and_targets_by_hand():
    env = Probe(ones, 3, shows="step", num_envs=N)
    ((_, _, metrics, _),) = iterate(env, PLAIN)
    batch = metrics["batch"]
    # values 3, 5 | 1, 3 and after the rollout 5; the episode ends for good at the second step.
    # delta: 1 + .5*5 - 3 = .5;  1 + 0 - 5 = -4;  1 + .5*3 - 1 = 1.5;  1 + .5*5 - 3 = .5
    # A: .5 + .25*-4 = -.5;  -4;  1.5 + .25*.5 = 1.625;  .5
    assert batch.value[:, 0].tolist() == [3.0, 5.0, 1.0, 3.0]
    assert batch.advantage[:, 0].tolist() == [-0.5, -4.0, 1.625, 0.5]
    assert batch.target[:, 0].tolist() == [2.5, 1.0, 2.625, 3.5]
    assert batch.valid.all()
    assert batch.obs["actor"][:, 0, 0].tolist() == [1.0, 2.0, 0.0, 1.0]


def test_monte_carlo_targets_by_hand():
    env = Probe(ones, 3, shows="step", num_envs=N)
    algo = Shown(normalize_returns=False, gamma=0.5, lam=0.5, monte_carlo_returns=True)
    ((_, _, metrics, _),) = iterate(env, algo)
    # Discounted rewards to the end of the episode, or to the end of the rollout and its value 5:
    # 1 + .5;  1 |  1 + .5 + .25*5;  1 + .5*5. The advantages stay those of lam.
    assert metrics["batch"].target[:, 0].tolist() == [1.5, 1.0, 2.75, 3.5]
    assert metrics["batch"].advantage[:, 0].tolist() == [-0.5, -4.0, 1.625, 0.5]


def test_a_truncation_bootstraps_from_the_state_before_the_reset():
    env = Probe(ones, 3, truncates=True, shows="step", num_envs=N)
    ((_, _, metrics, _),) = iterate(env, PLAIN)
    # The second step leads to 3, which is worth 7: delta = 1 + .5*7 - 5 = -.5.
    # A: .5 + .25*-.5 = .375;  -.5;  1.625;  .5
    assert metrics["batch"].advantage[:, 0].tolist() == [0.375, -0.5, 1.625, 0.5]


@pytest.mark.parametrize("garbage", [0.0, 1e30, -jnp.inf, jnp.nan])
def test_a_quarantined_step_is_worth_its_value_whatever_it_holds(garbage):
    env = Bad(ones, 3, shows="step", num_envs=N)
    env.garbage = garbage
    ((_, _, metrics, incident),) = iterate(env, PLAIN)
    batch = metrics["batch"]
    # Its own advantage is 0 and the step before sees its value 5: .5 + .25*0 = .5.
    assert batch.advantage[:, 1].tolist() == [0.5, 0.0, 1.625, 0.5]
    assert batch.target[:, 1].tolist() == [3.5, 5.0, 2.625, 3.5]
    assert batch.valid.tolist() == [[True] * 3, [True, False, True], [True] * 3, [True] * 3]
    # The neighbours are as ever.
    assert batch.advantage[:, 0].tolist() == [-0.5, -4.0, 1.625, 0.5]
    assert metrics["quarantined"] == metrics["quarantined/physics"]
    assert metrics["quarantined"] == 1 and metrics["quarantined/action"] == 0
    # One of the twelve steps is quarantined and is paid nothing.
    np.testing.assert_allclose(metrics["reward"], 11 / 12, rtol=1e-6)
    assert (int(incident.step), int(incident.env)) == (1, 1)
    assert incident.suspects[incident.cause - 1] == "physics"
    # All its steps of the rollout.
    assert incident.obs["actor"].tolist() == [[1.0], [2.0], [0.0], [1.0]]
    assert incident.action.tolist() == [[0.0]] * 4


def test_a_reward_that_is_not_finite_quarantines_its_step_amid_an_episode():
    # Only rewards know of it, so the episode itself goes on; but nothing is handed across.
    env = Probe(
        lambda shown, action, count: jnp.where(count == 2, jnp.nan, 1.0),
        3,
        shows="step",
        num_envs=N,
    )
    ((_, _, metrics, incident),) = iterate(env, PLAIN)
    # 1 is worth nothing known | 2: 1 + 0 - 5 = -4 | 0: 1 + .5*3 - 1 = 1.5 | 1: nothing known
    assert metrics["batch"].advantage[:, 0].tolist() == [0.0, -4.0, 1.5, 0.0]
    assert metrics["batch"].target[:, 0].tolist() == [3.0, 1.0, 2.5, 3.0]
    assert metrics["batch"].valid[:, 0].tolist() == [False, True, True, False]
    assert metrics["quarantined/rewards.probe"] == 2 * N and metrics["reward"] == 0.5
    assert incident.suspects[incident.cause - 1] == "rewards.probe"


def test_statistics_see_what_was_acted_on_once_and_nothing_that_was_quarantined():
    env = Bad(ones, 3, shows="step", num_envs=N)
    ((before, after, metrics, _),) = iterate(env, PLAIN)
    # Burn-in: 0, 1, 2 | 0 in three environments, and 2 is quarantined in one of them.
    assert before.learner.variables.statistics.tolist() == [11.0, 3 * 3 - 2]
    # The update sees the statistics that the actions were taken with; then 1, 2 | 0, 1 are added.
    assert metrics["learner"].variables.statistics.tolist() == [11.0, 7.0]
    assert after.learner.variables.statistics.tolist() == [22.0, 7 + 3 * 4 - 2]


def test_rewards_are_divided_by_the_running_deviation_of_the_return():
    env = Probe(counts, 3, shows="step", num_envs=N)
    # With gamma 0 a return is a reward, and a target is a scaled reward.
    ((_, _, metrics, _),) = iterate(env, Shown(gamma=0.0, lam=0.5))
    # Seen so far are 1, 2, 3, 1 and 2, 3, 1, 2: mean 15/8, mean of squares 33/8,
    # variance 4.125 - 3.515625 = 0.609375, deviation 0.780625.
    wanted = np.array([2.0, 3.0, 1.0, 2.0]) / 0.780625
    np.testing.assert_allclose(metrics["batch"].target[:, 0], wanted, rtol=1e-5)
    assert metrics["reward"] == 2.0, "what is logged is not scaled"
    ((_, _, metrics, _),) = iterate(env, Shown(gamma=0.0, lam=0.5, normalize_returns=False))
    assert metrics["batch"].target[:, 0].tolist() == [2.0, 3.0, 1.0, 2.0]


def test_the_scale_goes_on_from_one_rollout_to_the_next():
    env = Probe(counts, 3, shows="step", num_envs=N)
    _, (_, _, metrics, _) = iterate(env, Shown(gamma=0.0), iterations=2)
    # 1, 2, 3 four times: mean 2, variance 2/3.
    wanted = np.array([3.0, 1.0, 2.0, 3.0]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(metrics["batch"].target[:, 0], wanted, rtol=1e-5)


# Says what its parameters say, so that a loss can be worked out by hand.
TOLD = known(
    evaluate=lambda weight, action: (weight["log_prob"], weight["value"], weight["entropy"])
)


LOG_PROB = np.log([1.5, 0.5, 1.05, 0.9, 1e6, 1.0])
OLD_VALUE = np.array([0.0, 0.0, 1.0, -1.0, 0.5, 3.0])
VALUE = np.array([0.5, 0.1, 0.3, -1.1, 0.5, 9.0])
TARGET = np.array([1.0, -1.0, 2.0, 0.0, 0.5, 7.0])
ADVANTAGE = np.array([1.0, -2.0, 0.5, 3.0, -1.0, 50.0])
ENTROPY = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 60.0])
VALID = np.array([True] * 5 + [False])


def loss_in_float64(algo, kl_coef):
    """The definition of every term, over the first five transitions."""
    log_ratio = np.clip(LOG_PROB, -algo.log_clip_value, algo.log_clip_value)[:5]
    ratio, advantage = np.exp(log_ratio), ADVANTAGE[:5]
    if algo.normalize_advantages:
        advantage = (advantage - advantage.mean()) / advantage.std()
    bounded = np.clip(ratio, 1 - algo.clip_param, 1 + algo.clip_param)
    policy = -np.minimum(ratio * advantage, bounded * advantage).mean()
    error = np.square(VALUE - TARGET)[:5]
    if algo.use_clipped_value_loss:
        moved = OLD_VALUE + np.clip(VALUE - OLD_VALUE, -algo.clip_param, algo.clip_param)
        error = np.maximum(error, np.square(moved - TARGET)[:5])
    value, kl = 0.5 * error.mean(), (ratio - 1 - log_ratio).mean()
    outside = ((ratio < 1 - algo.clip_param) | (ratio > 1 + algo.clip_param)).mean()
    return {
        "policy_loss": policy,
        "value_loss": value,
        "entropy": 3.0,
        "kl": kl,
        "clip_fraction": outside,
        "loss": policy + algo.value_loss_coef * value - algo.entropy_coef * 3.0 + kl_coef * kl,
    }


@pytest.mark.parametrize(
    "algo",
    [
        PPO(entropy_coef=0.01, value_loss_coef=0.25),
        PPO(normalize_advantages=False, clip_param=0.1),
        PPO(use_clipped_value_loss=False, log_clip_value=2.0, entropy_coef=1.0),
    ],
)
def test_the_loss_against_float64(algo):
    zeros = jnp.zeros(6)
    batch = Batch(
        obs={},
        action=zeros,
        carry=(),
        log_prob=zeros,
        value=jnp.asarray(OLD_VALUE),
        advantage=jnp.asarray(ADVANTAGE),
        target=jnp.asarray(TARGET),
        valid=jnp.asarray(VALID),
        done=zeros > 0,
    )
    context = Context(None, TOLD, None, num_steps=1, batch_size=6)
    params = {"log_prob": LOG_PROB, "value": VALUE, "entropy": ENTROPY}
    variables = Variables(params=jax.tree.map(jnp.asarray, params), statistics=())
    total, parts = loss(algo, context, variables, batch, jnp.float32(0.3))
    wanted = loss_in_float64(algo, 0.3)
    assert set(parts) == {*wanted, "action_std"} and np.isnan(parts["action_std"]), "not told"
    for name, number in wanted.items():
        np.testing.assert_allclose(parts[name], number, rtol=1e-5, err_msg=name)
    assert total == parts["loss"]


def steady(weight, action):
    """A parameter that is its own log density, value and entropy."""
    return (jnp.broadcast_to(weight, action.shape),) * 3


def test_the_kl_coefficient_moves_at_every_minibatch():
    algo = PPO(adaptive_kl=True, kl_coef=0.2, num_passes=2)
    context = Context(Probe(ones, num_envs=6), known(evaluate=steady), optax.sgd(0.0), 2, 2)
    zeros = jnp.zeros((2, 6))
    batch = Batch({}, zeros, (), zeros, zeros, zeros, zeros, jnp.ones((2, 6), bool), zeros > 0)
    opt_state = context.optimizer.init(zeros[0, 0])
    learner = PPOState(context.policy.init(None), opt_state, kl_coef=jnp.float32(0.2))
    after, metrics = minimize(algo, context, learner, batch, jax.random.key(0))
    # Nothing moves, so the KL is 0 and the coefficient falls at each of 3 minibatches, twice.
    np.testing.assert_allclose(after.kl_coef, 0.2 / 1.5**6, rtol=1e-5)
    assert metrics["kl"] == 0.0 and metrics["skipped_updates"] == 0.0
    after, _ = minimize(PPO(kl_coef=0.2), context, learner, batch, jax.random.key(0))
    assert after.kl_coef == learner.kl_coef


def test_an_update_moves_the_parameters_and_never_the_statistics():
    algo = PPO(normalize_advantages=False, num_passes=1, use_clipped_value_loss=False)
    context = Context(Probe(ones, num_envs=2), known(evaluate=steady), optax.sgd(0.1), 2, 2)
    zeros = jnp.zeros((2, 2))
    batch = Batch(
        {}, zeros, (), zeros, zeros, zeros + 2.0, zeros + 4.0, jnp.ones((2, 2), bool), zeros > 0
    )
    variables = Variables(params=jnp.zeros(()), statistics=jnp.array([5.0, 7.0]))
    opt_state = context.optimizer.init(zeros[0, 0])
    learner = PPOState(variables, opt_state, kl_coef=jnp.float32(0.0))
    after, metrics = minimize(algo, context, learner, batch, jax.random.key(0))
    # d/dp of -2 exp(p) + 0.5 * (p - 4)^2 / 2 at 0 is -2 - 2 = -4; the step is 0.1 of it.
    np.testing.assert_allclose(after.variables.params, 0.4, rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], 4.0, rtol=1e-6)
    assert after.variables.statistics.tolist() == [5.0, 7.0]


def test_the_model_acts_with_the_carry_of_its_episode():
    env = Probe(ones, 3, shows="step", num_envs=N)
    first, second = iterate(env, PLAIN, iterations=2, policy=known(counts=True))
    # The burn-in acted without a model: its carry starts at the first iteration, where it is
    # 0, 1 | 0, 1; the second goes on from there.
    assert first[2]["batch"].carry.tolist() == [0.0] * N
    assert second[2]["batch"].carry.tolist() == [2.0] * N


def next_values(env, policy, num_steps):
    """Values of the states of a rollout, and of those that its steps led to.

    Without rewards, undiscounted and with lam 0, an advantage is the one minus the other.
    """
    algo = PPO(normalize_returns=False, gamma=1.0, lam=0.0)
    context = Context(env, policy, optax.identity(), num_steps, env.num_envs)
    player = make_player(algo, context)

    def run(key):
        learner = algo.init(context, policy.init(key), key).learner
        state = PolicyState(learner.variables, (), jnp.ones(()))
        _, experience = play(player, state, player.start(key), key, num_steps)
        value = experience.record.value
        advantage, _ = algo.estimate(context, learner, experience, experience.scores.total)
        return value[:, 0], (advantage + value)[:, 0]

    return [x.tolist() for x in jax.jit(run)(jax.random.key(0))]


def nothing(shown, action, count):
    return jnp.zeros_like(action)


def test_the_next_value_is_that_of_the_state_each_step_led_to():
    # Observations count 0, 1, 2 and then anew; values are 1, 11, 21; the state after the third
    # step shows 3 and is worth 31.
    policy = known(lambda seen, carry: 10 * seen + 1)
    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    value, following = next_values(env, policy, 5)
    assert value == [1.0, 11.0, 21.0, 1.0, 11.0]
    assert following == [11.0, 21.0, 31.0, 11.0, 21.0]
    ended = Probe(nothing, 3, truncates=False, shows="step", num_envs=2)
    assert next_values(ended, policy, 5)[1] == [11.0, 21.0, 0.0, 11.0, 21.0]


def test_a_truncated_state_is_judged_with_the_carry_that_led_to_it():
    policy = known(lambda seen, carry: 10 * seen + carry, counts=True)
    env = Probe(nothing, 3, truncates=True, shows="step", num_envs=2)
    value, following = next_values(env, policy, 4)
    # The carry is 0, 1, 2 when acting; the state after the third step shows 3 and has carry 3.
    assert value == [0.0, 11.0, 22.0, 0.0]
    assert following == [11.0, 22.0, 33.0, 11.0]


def test_what_a_policy_leaves_out_of_its_sample_is_asked_of_it_while_acting():
    def bare(model, obs, carry, key, argmax):
        return ActionSample(action=obs["actor"] + 1.0, carry=carry)

    def judge(model, obs, action, carry):
        seen, done = obs["critic"][:, 0], action[:, 0]
        return PPOVariables(log_prob=10 * done, value=100 * done + seen, entropy=done)

    env = Probe(nothing, 3, shows="step", num_envs=2)
    context = Context(env, Policy(known().adapter, bare, judge), optax.identity(), 2, 2)
    player = make_player(PPO(), context)
    state = PolicyState(context.policy.init(None), (), jnp.ones(()))
    key = jax.random.key(0)
    _, experience = jax.jit(lambda: play(player, state, player.start(key), key, 2))()
    # It sees 0, 1 and does 1, 2.
    assert experience.record.log_prob[:, 0].tolist() == [10.0, 20.0]
    assert experience.record.value[:, 0].tolist() == [100.0, 201.0]
