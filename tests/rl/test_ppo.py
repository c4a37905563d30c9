import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.gru import GRU
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import Policy
from ksim_cli.rl.algorithm import Context, init, train_step
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO
from ksim_cli.rl.rollout import replay
from ksim_cli.run.compile import assert_fixed_point, without_weak_types
from tests.envs import Probe
from tests.rl.updates import loss, minimize

MODEL = MLP(hidden_size=16, num_hidden_layers=1, normalize_observations=False)


def make_context(env, num_steps=8, learning_rate=3e-3, model=MODEL):
    make = lambda key: model.build(env.observation_sizes, env.action_size, key)  # noqa: E731
    return Context(
        env=env,
        policy=Policy(NNXAdapter(make)),
        optimizer=optax.adam(learning_rate),
        num_steps=num_steps,
        batch_size=env.num_envs // 4,
    )


def solve(env, algo, iterations, **keywords):
    context = make_context(env, **keywords)

    @jax.jit
    def run(key):
        def body(state, _):
            state, metrics, _ = train_step(algo, context, state)
            return state, metrics

        return jax.lax.scan(body, init(algo, context, key), None, length=iterations)

    state, metrics = run(jax.random.key(0))
    return context, state, metrics


def value_of(context, state, *seen):
    obs = jnp.array(seen, jnp.float32)[:, None]
    both = {"actor": obs, "critic": obs}
    return np.asarray(context.policy.value(state.learner.variables, both, (), 1))


def action_of(context, state, *seen):
    obs = jnp.array(seen, jnp.float32)[:, None]
    both = {"actor": obs, "critic": obs}
    sample = context.policy.mode(state.learner.variables, both, ())
    return np.asarray(sample.action[:, 0])


PLAIN = PPO(normalize_returns=False, gamma=0.9, lam=0.95, use_clipped_value_loss=False)


def test_probe_one_step_and_always_the_same_reward():
    env = Probe(lambda shown, action, count: jnp.ones_like(action))
    context, state, _ = solve(env, PLAIN, 60)
    np.testing.assert_allclose(value_of(context, state, 0.0), 1.0, atol=0.05)


def test_probe_the_reward_depends_on_what_is_seen():
    env = Probe(lambda shown, action, count: shown, shows="coin")
    context, state, _ = solve(env, PLAIN, 100)
    np.testing.assert_allclose(value_of(context, state, -1.0, 1.0), [-1.0, 1.0], atol=0.1)


def test_probe_discount_of_a_reward_one_step_later():
    env = Probe(lambda shown, action, count: jnp.where(count == 2, 1.0, 0.0), 2, shows="step")
    context, state, _ = solve(env, PLAIN, 120)
    np.testing.assert_allclose(value_of(context, state, 0.0, 1.0), [0.9, 1.0], atol=0.05)


def test_probe_the_best_action():
    env = Probe(lambda shown, action, count: -jnp.square(action - 0.5))
    context, state, _ = solve(env, PLAIN, 150)
    np.testing.assert_allclose(action_of(context, state, 0.0), 0.5, atol=0.1)


def test_probe_the_best_action_depends_on_what_is_seen():
    env = Probe(lambda shown, action, count: -jnp.square(action - shown), shows="coin")
    context, state, _ = solve(env, PLAIN, 300)
    np.testing.assert_allclose(action_of(context, state, -1.0, 1.0), [-1.0, 1.0], atol=0.2)


def test_probe_credit_over_two_steps():
    # What is done at the first step is paid at the second, which shows it no more: the state
    # holds the first action only through the reward.
    class Delayed(Probe):
        def step(self, state, action):
            state = state.replace(shown=jnp.where(state.count == 0, action[:, 0], state.shown))
            return super().step(state, action)

    env = Delayed(
        lambda shown, action, count: jnp.where(count == 2, -jnp.square(shown - 0.5), 0.0),
        2,
        shows="step",
    )
    context, state, _ = solve(env, PLAIN, 250)
    np.testing.assert_allclose(action_of(context, state, 0.0), 0.5, atol=0.15)


@pytest.mark.parametrize(("truncates", "wanted"), [(True, 1 / (1 - 0.9)), (False, 1.0)])
def test_probe_a_truncation_goes_on_and_a_termination_ends(truncates, wanted):
    # One reward of 1 per step, and every episode is one step long. Cut for lack of time it is
    # worth 1 + 0.9 + 0.81 + ... = 10; ended for good it is worth 1.
    env = Probe(lambda shown, action, count: jnp.ones_like(action), 1, truncates)
    context, state, _ = solve(env, PLAIN, 400, learning_rate=1e-2)
    np.testing.assert_allclose(value_of(context, state, 0.0), wanted, rtol=0.06)


def test_probe_the_end_of_a_rollout_goes_on():
    # Episodes of 40 steps in rollouts of 8, cut by time: every state is worth 10.
    env = Probe(lambda shown, action, count: jnp.ones_like(action), 40, True)
    context, state, _ = solve(env, PLAIN, 250, learning_rate=1e-2)
    np.testing.assert_allclose(value_of(context, state, 0.0), 10.0, rtol=0.06)


@pytest.fixture(scope="module")
def small():
    env = Probe(lambda shown, action, count: shown, 3, shows="coin", num_envs=8)
    algo = PPO(num_passes=2, kl_coef=0.1, entropy_coef=0.01)
    context = make_context(
        env, num_steps=4, model=dataclasses.replace(MODEL, normalize_observations=True)
    )
    state = jax.jit(lambda k: without_weak_types(init(algo, context, k)))(jax.random.key(0))
    return algo, context, state


def test_the_burn_in_seeds_the_statistics_with_zero_actions(small):
    _, _, state = small
    statistics = state.learner.variables.statistics["actor_input"]["statistics"]
    assert statistics.count == 4 * 8
    assert abs(float(statistics.mean[0])) <= 1.0 and 0.0 < float(statistics.variance[0]) <= 1.0
    assert state.learner.returns.count == 4 * 8


def test_the_optimizer_sees_parameters_only(small):
    _, _, state = small
    shapes = sorted(x.shape for x in jax.tree.leaves(state.learner.variables.params))
    adam = state.learner.opt_state[0]
    assert sorted(x.shape for x in jax.tree.leaves(adam.mu)) == shapes
    assert sorted(x.shape for x in jax.tree.leaves(adam.nu)) == shapes


def test_an_iteration_compiles_once(small):
    algo, context, state = small
    compilations = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration)

    step = jax.jit(lambda s: train_step(algo, context, s))
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        state, _, _ = step(state)
        first = len(compilations)
        for _ in range(3):
            state, _, _ = step(state)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert step._cache_size() == 1
    assert len(compilations) == first


def test_the_state_keeps_its_types_and_a_change_is_named(small):
    algo, context, state = small
    after = jax.eval_shape(lambda s: train_step(algo, context, s)[0], state)
    assert_fixed_point(state, after)
    changed = after.replace(carry=(), tracker=after.tracker.replace(steps=after.own))
    with pytest.raises(TypeError, match=r"tracker\.steps is int32\[8\] before and float32"):
        assert_fixed_point(state, changed)
    longer = after.replace(tracker=after.tracker.replace(steps=jnp.zeros(9, jnp.int32)))
    with pytest.raises(TypeError, match=r"tracker\.steps is int32\[8\] before and int32\[9\]"):
        assert_fixed_point(state, longer)


def make_batch(seed=0, size=32):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    obs = {"actor": draw(size, 1), "critic": draw(size, 1)}
    return Batch(
        obs=obs,
        action=draw(size, 1),
        carry=(),
        log_prob=draw(size) - 1.0,
        value=draw(size),
        advantage=draw(size),
        target=draw(size),
        valid=jnp.ones(size, bool),
        done=jnp.zeros(size, bool),
    )


def test_what_is_quarantined_does_not_touch_the_gradient(small):
    algo, context, state = small
    batch = make_batch()
    valid = batch.valid.at[5].set(False)

    @jax.jit
    def gradient(batch):
        variables = state.learner.variables

        def of(params):
            return loss(algo, context, variables.replace(params=params), batch, jnp.float32(0.1))[0]

        return jax.grad(of)(variables.params)

    one = gradient(batch.replace(valid=valid))
    other = batch.replace(
        valid=valid,
        action=batch.action.at[5].set(7.0),
        advantage=batch.advantage.at[5].set(1e6),
        target=batch.target.at[5].set(-1e6),
        log_prob=batch.log_prob.at[5].set(-50.0),
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(gradient(other)), strict=True):
        np.testing.assert_array_equal(a, b)
    full = gradient(batch)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(full), strict=True)
    )


def test_a_quarantined_step_has_no_advantage_and_hands_none_on():
    reward = lambda shown, action, count: jnp.where(count == 2, jnp.nan, 1.0)  # noqa: E731
    env = Probe(reward, 4, num_envs=4)
    context = make_context(env, num_steps=4)
    state = jax.jit(lambda k: init(PLAIN, context, k))(jax.random.key(0))
    state, metrics, incident = jax.jit(lambda s: train_step(PLAIN, context, s))(state)
    assert metrics["quarantined"] == 4 and metrics["quarantined/rewards.probe"] == 4
    assert incident.suspects[incident.cause - 1] == "rewards.probe"
    assert int(incident.step) == 1, "the second step of the rollout"
    for leaf in jax.tree.leaves(state.learner.variables):
        assert np.isfinite(leaf).all()
    assert float(metrics["reward"]) == 0.75, "three of four steps are paid"


def test_an_update_that_is_not_finite_is_not_applied_and_is_counted(small):
    algo, context, state = small
    batch = make_batch()
    spoilt = batch.replace(target=batch.target.at[0].set(jnp.inf))
    flat = jax.tree.map(lambda x: x.reshape(4, 8, *x.shape[1:]), spoilt)
    learner, metrics = jax.jit(
        lambda learner, b: minimize(algo, context, learner, b, jax.random.key(0))
    )(state.learner, flat)
    assert 0.0 < metrics["skipped_updates"] < 1.0, "only the minibatches that hold it"
    for leaf in jax.tree.leaves(learner):
        assert np.isfinite(leaf).all()


def test_the_loss_is_its_terms(small):
    algo, context, state = small
    batch = make_batch()
    compiled = jax.jit(partial(loss, algo, context))
    total, parts = compiled(state.learner.variables, batch, jnp.float32(0.3))
    wanted = (
        parts["policy_loss"]
        + algo.value_loss_coef * parts["value_loss"]
        - algo.entropy_coef * parts["entropy"]
        + 0.3 * parts["kl"]
    )
    np.testing.assert_allclose(total, wanted, rtol=1e-6)


@pytest.mark.parametrize("model", [MLP(), GRU()], ids=["mlp", "gru"])
def test_the_loss_evaluates_what_was_drawn(model):
    network = dataclasses.replace(model, hidden_size=8, distribution="tanh_normal")
    context = make_context(Probe(lambda shown, action, count: shown, num_envs=8), model=network)
    variables, carry = context.policy.init(jax.random.key(0)), context.policy.initial_carry(8)
    flat = make_batch().replace(action=jnp.ones((32, 1)))
    raw = 9.0 + flat.obs["actor"]  # of which all actions are 1
    batch = flat.replace(raw_action=raw)
    if context.policy.recurrent:
        batch = jax.tree.map(lambda x: x.reshape(4, 8, *x.shape[1:]), batch).replace(carry=carry)
        stored = (batch.obs, batch.action, carry, batch.done, batch.raw_action)
        now = replay(context.policy, variables, *stored)
    else:
        now = context.policy.ppo_variables(variables, batch.obs, batch.action, (), raw)
    batch = batch.replace(log_prob=now.log_prob)
    _, parts = loss(PPO(), context, variables, batch, jnp.float32(0.0))
    assert parts["kl"] == 0.0 and parts["clip_fraction"] == 0.0
    _, parts = loss(PPO(), context, variables, batch.replace(raw_action=None), jnp.float32(0.0))
    assert parts["kl"] > 1.0


@pytest.mark.parametrize("normalize", [True, False])
def test_one_environment_and_one_step_are_learned_from(normalize):
    env = Probe(lambda shown, action, count: -jnp.square(action - 0.5), num_envs=1)
    context = dataclasses.replace(make_context(env, num_steps=1), batch_size=1)
    algo = PPO(normalize_returns=normalize, num_passes=1)
    state = jax.jit(lambda k: init(algo, context, k))(jax.random.key(0))
    step = jax.jit(lambda s: train_step(algo, context, s))
    for _ in range(4):
        state, metrics, _ = step(state)
        for name in ("policy_loss", "value_loss", "grad_norm"):
            assert np.isfinite(metrics[name]) and 1e-6 < abs(float(metrics[name])) < 1e3, name
        assert metrics["skipped_updates"] == 0.0
    assert context.policy.recurrent is False and state.learner.returns.count == 5


def test_shuffling_differs_from_pass_to_pass_and_uses_every_transition_once(small):
    _, context, state = small
    seen = []

    def record(self, context, learner, batch):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch.value, ordered=True)
        return learner, {"loss": jnp.zeros(())}

    batch = make_batch().replace(value=jnp.arange(32.0))
    flat = jax.tree.map(lambda x: x.reshape(4, 8, *x.shape[1:]), batch)
    spy = type("Spy", (PPO,), {"gradient_step": record})(num_passes=2)
    update = jax.jit(partial(minimize, spy, context))
    jax.block_until_ready(update(state.learner, flat, jax.random.key(0)))
    jax.effects_barrier()
    assert [len(x) for x in seen] == [8] * 8, "a minibatch is batch_size 2 times 4 steps"
    first, second = np.concatenate(seen[:4]), np.concatenate(seen[4:])
    assert sorted(first) == sorted(second) == list(range(32))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(32))
