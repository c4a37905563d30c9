"""Learning with a memory: what the update replays is what acted."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ksim_cli.models.adapters import NNXAdapter
from ksim_cli.models.gru import GRU
from ksim_cli.models.mlp import MLP
from ksim_cli.models.policy import Policy
from ksim_cli.rl.algorithm import Context, init, make_player, train_step
from ksim_cli.rl.minibatches import Batch
from ksim_cli.rl.ppo import PPO
from ksim_cli.rl.rollout import Player, PolicyState, play, replay
from tests.envs import Probe
from tests.rl.updates import loss, minimize

SMALL = GRU(hidden_size=8, num_layers=2)


def make_policy(model):
    return Policy(NNXAdapter(lambda key: model.build({"actor": 1, "critic": 1}, 1, key)))


def make_context(env, model=SMALL, num_steps=7, learning_rate=3e-3, batch_size=None):
    return Context(
        env=env,
        policy=make_policy(model),
        optimizer=optax.adam(learning_rate),
        num_steps=num_steps,
        batch_size=batch_size or env.num_envs // 4,
    )


def nothing(shown, action, count):
    return jnp.zeros_like(action)


@pytest.fixture(scope="module", params=["normal", "tanh_normal", "mixture"])
def played(request):
    """A policy, its variables and two rollouts of 7 steps, of episodes of 3, one after another."""
    env = Probe(nothing, 3, truncates=True, shows="first", num_envs=6)
    context = make_context(env, dataclasses.replace(SMALL, distribution=request.param))
    player = make_player(PPO(), context)

    def run(key):
        variables = context.policy.init(key)
        state = PolicyState(variables, (), jnp.ones(()))
        playing, rollouts = player.start(key), []
        for i in range(2):
            playing, rollout = play(player, state, playing, jax.random.key(i), 7)
            rollouts.append((playing.carry, rollout))
        return variables, rollouts

    return context.policy, *jax.jit(run)(jax.random.key(0))


def replayed(policy, variables, rollout, **changes):
    @jax.jit
    def run(r):
        stored = (r.obs, r.action, r.carry, r.was_reset, r.raw_action)
        return replay(policy, variables, *stored)

    return run(rollout.replace(**changes))


def test_the_replay_is_what_acted_through_ends_of_episodes_and_from_rollout_to_rollout(played):
    policy, variables, rollouts = played
    for _, rollout in rollouts:
        assert rollout.was_reset[:, 0].sum() >= 2
        now = replayed(policy, variables, rollout)
        np.testing.assert_allclose(now.log_prob, rollout.record.log_prob, atol=1e-5)
        np.testing.assert_allclose(now.value, rollout.record.value, atol=1e-5)
        assert now.entropy.shape == (7, 6) and now.carry == ()
    if rollout.raw_action is not None:  # what was drawn, whatever rounding made of the action
        now = replayed(policy, variables, rollout, action=jnp.zeros_like(rollout.action))
        np.testing.assert_allclose(now.log_prob, rollout.record.log_prob, atol=1e-5)
    # 7 steps of episodes of 3: the second rollout starts amid an episode.
    second = rollouts[1][1]
    anew = jax.tree.map(jnp.zeros_like, second.carry)
    forgetful = replayed(policy, variables, second, carry=anew)
    assert np.abs(forgetful.value - second.record.value)[0].max() > 1e-3
    np.testing.assert_allclose(forgetful.value[2:], second.record.value[2:], atol=1e-5)


def test_a_replay_that_ignored_ends_of_episodes_would_not_be_what_acted(played):
    policy, variables, ((_, rollout), _) = played
    now = replayed(policy, variables, rollout, was_reset=jnp.zeros((7, 6), bool))
    np.testing.assert_allclose(now.value[:3], rollout.record.value[:3], atol=1e-5)
    assert np.abs(now.value - rollout.record.value)[3:].max() > 1e-3


def test_a_policy_that_gives_back_no_carry_is_refused(played):
    policy, variables, ((_, rollout), _) = played

    class Forgetful(Policy):
        def ppo_variables(self, *arguments):
            return super().ppo_variables(*arguments).replace(carry=())

    with pytest.raises(TypeError, match="gives back no carry"):
        replayed(Forgetful(policy.adapter), variables, rollout)


def test_the_carry_goes_from_rollout_to_rollout_and_anew_with_each_episode(played):
    policy, variables, ((after, first), (_, second)) = played
    for network in ("actor", "critic"):
        for layer in range(2):
            assert not first.carry[network][layer].any()
            kept = second.carry[network][layer]
            np.testing.assert_array_equal(kept, after[network][layer])
            assert np.abs(kept).max() > 1e-3, "the rollout ended amid an episode"
    # By hand: after the 7th step the memory holds the third episode's first step alone.
    obs = jax.tree.map(lambda x: x[6], first.obs)
    sample = policy.mode(variables, obs, policy.initial_carry(6))
    for kept, wanted in zip(*map(jax.tree.leaves, (second.carry, sample.carry)), strict=True):
        np.testing.assert_allclose(kept, wanted, atol=1e-6)


def test_the_critic_judges_the_state_before_a_reset_with_the_memory_that_led_to_it(played):
    policy, variables, ((_, rollout), _) = played
    carry = policy.initial_carry(6)
    for t in range(3):
        obs = jax.tree.map(lambda x: x[t], rollout.obs)  # noqa: B023
        carry = policy.mode(variables, obs, carry).carry
    blank = {"actor": jnp.zeros((6, 1)), "critic": jnp.zeros((6, 1))}
    wanted = policy.value(variables, blank, carry, 1)
    np.testing.assert_allclose(rollout.record.final_value[2], wanted, atol=1e-5)


def train(env, algo, iterations, **keywords):
    context = make_context(env, **keywords)

    @jax.jit
    def run(key):
        def body(state, _):
            state, metrics, _ = train_step(algo, context, state)
            return state, metrics

        return jax.lax.scan(body, init(algo, context, key), None, length=iterations)

    return context, *run(jax.random.key(0))


def test_the_first_gradient_step_after_a_rollout_sees_no_change_of_policy():
    # One minibatch, one pass: the replay with the very variables that acted, in training itself.
    env = Probe(nothing, 3, truncates=True, shows="first", num_envs=6)
    _, _, metrics = train(env, PPO(num_passes=1), 4, batch_size=6)
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-6)
    np.testing.assert_array_equal(metrics["clip_fraction"], 0.0)
    assert (metrics["grad_norm"] > 0).all() and not metrics["skipped_updates"].any()


@pytest.mark.slow
def test_a_reward_that_is_not_finite_does_not_end_the_replayed_episode():
    # Only rewards know of it; the episode and its carry go on.
    def spoilt(shown, action, count):
        return jnp.where(count == 2, jnp.nan, shown)

    env = Probe(spoilt, 5, truncates=True, shows="first", num_envs=6)
    _, _, metrics = train(env, PPO(num_passes=1), 4, batch_size=6)
    assert (metrics["quarantined/rewards.probe"] > 0).all()
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-6)


def make_batch(num_steps, num_envs, carry):
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    shape = (num_steps, num_envs)
    return Batch(
        obs={"actor": draw(*shape, 1), "critic": draw(*shape, 1)},
        action=draw(*shape, 1),
        carry=carry,
        log_prob=draw(*shape) - 1.0,
        value=draw(*shape),
        advantage=draw(*shape),
        target=draw(*shape),
        valid=jnp.asarray(rng.random(shape) < 0.8),
        done=jnp.asarray(rng.random(shape) < 0.2),
    )


@pytest.mark.parametrize("model", [MLP(hidden_size=8), SMALL])
def test_no_term_of_the_loss_reaches_what_only_the_other_network_sees(model):
    algo = PPO(entropy_coef=0.01)
    context = make_context(Probe(nothing, num_envs=6), model)
    variables = context.policy.init(jax.random.key(0))
    batch = make_batch(5, 6, context.policy.initial_carry(6))

    def terms(obs, params):
        new = variables.replace(params=params)
        _, parts = loss(algo, context, new, batch.replace(obs=obs), jnp.float32(0.1))
        return {name: parts[name] for name in ("policy_loss", "kl", "entropy", "value_loss")}

    slopes = jax.jacobian(terms, argnums=(0, 1))(batch.obs, variables.params)
    of_obs, of_params = ({name: x[i] for name, x in slopes.items()} for i in (0, 1))
    for name in ("policy_loss", "kl", "entropy", "value_loss"):
        own, other = ("critic", "actor") if name == "value_loss" else ("actor", "critic")
        assert not of_obs[name][other].any(), name
        assert not any(x.any() for x in jax.tree.leaves(of_params[name][other])), name
        if name != "entropy":  # that of a normal does not depend on what is seen
            assert of_obs[name][own].any(), name
    assert any(x.any() for x in jax.tree.leaves(of_params["entropy"]["head"]))


def test_what_an_environment_saw_moves_the_loss_of_its_later_steps_only():
    context = make_context(Probe(nothing, num_envs=6))
    variables = context.policy.init(jax.random.key(0))
    batch = make_batch(5, 6, context.policy.initial_carry(6))
    done = jnp.zeros((5, 6), bool).at[2, 1].set(True)

    def values(critic):
        obs = {**batch.obs, "critic": critic}
        return replay(context.policy, variables, obs, batch.action, batch.carry, done).value

    # [value's step, value's environment, observation's step, observation's environment]
    slope = np.asarray(jax.jacobian(values)(batch.obs["critic"]))[..., 0] != 0
    for n in range(6):
        for m in range(6):
            wanted = np.tril(np.ones((5, 5), bool)) & (n == m)
            if n == 1:
                wanted[3:, :3] = False
            np.testing.assert_array_equal(slope[:, n, :, m], wanted)


def test_the_loss_is_a_mean_over_all_valid_steps_of_all_environments():
    algo = PPO(entropy_coef=0.01)
    context = make_context(Probe(nothing, num_envs=6))
    variables = context.policy.init(jax.random.key(0))
    batch = make_batch(5, 6, context.policy.initial_carry(6))
    now = replay(context.policy, variables, batch.obs, batch.action, batch.carry, batch.done)
    _, parts = loss(algo, context, variables, batch, jnp.float32(0.1))
    valid = np.asarray(batch.valid)
    ratio = np.exp(np.clip(now.log_prob - batch.log_prob, -5, 5), dtype=np.float64)[valid]
    advantage = np.asarray(batch.advantage, np.float64)[valid]
    advantage = (advantage - advantage.mean()) / advantage.std()
    policy = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
    np.testing.assert_allclose(parts["policy_loss"], policy, rtol=1e-4)
    np.testing.assert_allclose(parts["entropy"], np.asarray(now.entropy)[valid].mean(), rtol=1e-5)
    np.testing.assert_allclose(parts["kl"], (ratio - 1 - np.log(ratio)).mean(), rtol=1e-4)


def test_a_pass_takes_each_environment_once_with_its_steps_in_order_and_its_own_carry():
    context = make_context(Probe(nothing, num_envs=12), num_steps=5)
    carry = {"actor": jnp.arange(12.0), "critic": -jnp.arange(12.0)}
    steps, envs = jnp.meshgrid(jnp.arange(5.0), jnp.arange(12.0), indexing="ij")
    batch = make_batch(5, 12, carry).replace(value=envs, target=steps)
    seen = []

    def record(self, context, learner, batch):
        jax.debug.callback(
            lambda *x: seen.append([np.asarray(y) for y in x]),
            *(batch.value, batch.target, batch.carry["actor"], batch.carry["critic"]),
            ordered=True,
        )
        return learner, {"loss": jnp.zeros(())}

    spy = type("Spy", (PPO,), {"gradient_step": record})(num_passes=2)
    jax.block_until_ready(minimize(spy, context, jnp.zeros(()), batch, jax.random.key(0)))
    jax.effects_barrier()
    assert len(seen) == 8, "two passes of 12 environments by three"
    for value, target, actor, critic in seen:
        assert value.shape == (5, 3)
        np.testing.assert_array_equal(value, np.broadcast_to(actor, (5, 3)))
        np.testing.assert_array_equal(target, np.arange(5.0)[:, None] * np.ones(3))
        np.testing.assert_array_equal(critic, -actor)
    first, second = (np.concatenate([x[2] for x in seen[i : i + 4]]) for i in (0, 4))
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(12))


RECALL = 4


def recalled(shown, action, count):
    """The coin of the first step is to be named at the last."""
    return jnp.where(count == RECALL, -jnp.square(action - shown), 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "solves"), [(GRU, True), (MLP, False)])
def test_probe_what_was_seen_must_be_recalled(model, solves):
    # Without a memory the best answer is 0, which costs 1. Rollouts end amid episodes.
    env = Probe(recalled, RECALL, shows="first")
    algo = PPO(normalize_returns=False, gamma=0.95, lam=0.95, use_clipped_value_loss=False)
    network = model(hidden_size=16, normalize_observations=False, init_std=0.5)
    context, state, _ = train(env, algo, 150, model=network, learning_rate=1e-3)
    player = Player(env, context.policy, argmax=True)
    _, rollout = jax.jit(
        lambda s: play(player, s, player.start(jax.random.key(5)), jax.random.key(6), RECALL)
    )(state.policy)
    reward = np.asarray(rollout.results.steps.view[-1])
    if solves:
        assert reward.mean() > -0.1
    else:
        assert reward.mean() < -0.9
