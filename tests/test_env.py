"""The environments of the cart-pole, and terms that show what the batching does."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.env import Limits
from ksim_cli.load_task import load_task
from ksim_cli.mdp.noise import AdditiveGaussian
from ksim_cli.mdp.reward_manager import RewardManager
from ksim_cli.mdp.term import Command, Disturbance, Event, Observation, Reward, Termination
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole
from tests.point import at_fault

N = 16


@dataclass(frozen=True, kw_only=True)
class CountSteps(Reward):
    """1, 2, 3, ... within an episode: a reward with a carry."""

    def init(self, key):
        return jnp.zeros(())

    def __call__(self, step, carry):
        return carry + 1.0, carry + 1.0


@dataclass(frozen=True, kw_only=True)
class After(Termination):
    """Fires when an episode is old enough, with a code."""

    seconds: float
    code: int = -1

    def __call__(self, step, carry):
        return jnp.where(step.time >= self.seconds - 1e-4, self.code, 0), carry


@dataclass(frozen=True, kw_only=True)
class Limit(After):
    truncates: ClassVar[bool] = True
    code: int = 1


@dataclass(frozen=True, kw_only=True)
class Dice(Command):
    """A number drawn at the start of an episode, which stays."""

    def init(self, key):
        return jax.random.uniform(key, (1,))

    def __call__(self, step, carry, key):
        return carry, carry


@dataclass(frozen=True, kw_only=True)
class SeeCommand(Observation):
    def __call__(self, step, carry, key):
        return step.commands["dice"], carry


@dataclass(frozen=True, kw_only=True)
class Kick(Event):
    """Adds 1 m/s to the cart once, at its third step."""

    def __call__(self, step, carry, key):
        change = jnp.zeros(2).at[0].set(jnp.where(step.time > 0.025, 1.0, 0.0))
        return Disturbance(velocity=change), carry


def make_env(engine="mujoco", num_envs=N, **terms):
    config = tiny_cartpole(num_envs=num_envs)
    config = dataclasses.replace(config, engine=dataclasses.replace(config.engine, type=engine))
    task = load_task("cartpole")(config)
    for name, value in terms.items():
        if value is not None:
            setattr(task, f"get_{name}", lambda value=value: value)
    return TaskModel(task).make_env(num_envs)


def rollout(env, actions, key=0, begin=True):
    def run():
        state = env.init(jax.random.key(key))
        if begin:
            state = env.begin_rollout(state)
        return jax.lax.scan(env.step, state, actions)

    return jax.device_get(jax.jit(run)())


def test_sizes_and_layout_follow_the_observations():
    env = make_env()
    assert env.observation_layout["actor"] == {"cart_position": 1, "pole_angle": 2, "velocity": 2}
    assert env.observation_sizes == {"actor": 5, "critic": 5}
    assert env.action_size == 1


def test_observations_are_those_of_the_state_in_declared_order():
    env = make_env()
    state = jax.jit(env.init)(jax.random.key(3))
    qpos, qvel = np.asarray(state.physics.view.qpos), np.asarray(state.physics.view.qvel)
    wanted = np.stack(
        [qpos[:, 0], np.cos(qpos[:, 1]), np.sin(qpos[:, 1]), qvel[:, 0], qvel[:, 1]], axis=1
    )
    np.testing.assert_allclose(state.obs["actor"], wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(state.obs["actor"], state.obs["critic"])
    assert np.abs(qpos[:, 0]).max() <= 0.1 and np.abs(qpos[:, 1]).max() <= 0.034
    assert len(set(qpos[:, 0].tolist())) == N, "every environment draws for itself"


def test_an_action_becomes_its_torque():
    # At rest and upright the cart's acceleration is force / (mass of cart and pole), to first
    # order: 10 N at action 1, so 2 at action 2 is clipped to the same.
    env = make_env(resets={})
    actions = jnp.zeros((1, N, 1)).at[0, 1].set(0.5).at[0, 2].set(1.0).at[0, 3].set(2.0)
    state, _ = rollout(env, actions)
    speed = state.physics.view.qvel[:, 0]
    assert speed[0] == 0.0
    np.testing.assert_allclose(speed[1], 0.5 * speed[2], rtol=1e-3)
    assert speed[2] == speed[3]
    # The pole is free to lag behind, so at most 1.1 kg and at least 1 kg are pushed for 10 ms.
    assert 10 / 1.1 * 0.01 <= speed[2] <= 10 / 1.0 * 0.01


def test_a_truncation_keeps_the_observation_before_the_reset_and_is_no_termination():
    env = make_env(terminations={"limit": Limit(seconds=0.03)})
    state, results = rollout(env, jnp.ones((5, N, 1)))
    assert results.truncated.tolist() == [[False] * N, [False] * N, [True] * N, *[[False] * N] * 2]
    assert not results.terminated.any()
    # Three pushes of 10 N on 1 kg: the final observation still moves, the next one starts anew.
    assert (results.final_obs["actor"][2, :, 3] > 0.25).all()
    assert (results.final_obs["actor"][3, :, 3] < 0.15).all()
    assert state.count.tolist() == [2] * N


def test_failure_wins_over_success_and_over_a_time_limit():
    terms = {
        "success": After(seconds=0.02, code=1),
        "failure": After(seconds=0.02, code=-1),
        "limit": Limit(seconds=0.02),
    }
    _, results = rollout(make_env(terminations=terms), jnp.zeros((2, N, 1)))
    assert results.steps.termination[1].tolist() == [-1] * N
    assert results.terminated[1].all() and not results.truncated.any()
    assert all(results.causes[name][1].all() for name in terms)
    swapped = {"failure": terms["failure"], "success": terms["success"]}
    _, results = rollout(make_env(terminations=swapped), jnp.zeros((2, N, 1)))
    assert results.steps.termination[1].tolist() == [-1] * N


def test_a_success_is_a_termination():
    env = make_env(terminations={"success": After(seconds=0.02, code=1)})
    _, results = rollout(env, jnp.zeros((2, N, 1)))
    assert results.steps.termination[1].tolist() == [1] * N
    assert results.terminated[1].all()


def test_resets_differ_from_rollout_to_rollout():
    env = make_env(terminations={"limit": Limit(seconds=0.01)})

    def run():
        state = env.init(jax.random.key(0))
        first, _ = env.step(env.begin_rollout(state), jnp.zeros((N, 1)))
        second, _ = env.step(env.begin_rollout(first), jnp.zeros((N, 1)))
        return state.obs["actor"], first.obs["actor"], second.obs["actor"]

    obs = jax.jit(run)()
    assert not np.array_equal(obs[0], obs[1]) and not np.array_equal(obs[1], obs[2])


def test_same_key_same_numbers():
    actions = jax.random.normal(jax.random.key(1), (20, N, 1))
    one, two, three = (rollout(make_env(), actions, key) for key in (0, 0, 1))
    for a, b in zip(jax.tree.leaves(one[1]), jax.tree.leaves(two[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[1].final_obs["actor"], three[1].final_obs["actor"])


def test_a_term_draws_the_same_whatever_stands_beside_it():
    config = tiny_cartpole(num_envs=N)
    resets = config.resets
    fewer = {name: resets[name] for name in ("pole_angle", "velocity")}
    task = load_task("cartpole")
    many = TaskModel(task(config)).make_env(N)
    few = TaskModel(task(dataclasses.replace(config, resets=fewer))).make_env(N)
    a, b = (jax.jit(e.init)(jax.random.key(0)).physics.view for e in (many, few))
    np.testing.assert_array_equal(a.qpos[:, 1], b.qpos[:, 1])
    np.testing.assert_array_equal(a.qvel, b.qvel)
    assert not np.array_equal(a.qpos[:, 0], b.qpos[:, 0])


def test_noise_disturbs_the_actor_and_never_the_critic():
    noisy = dataclasses.replace(
        load_task("cartpole")(tiny_cartpole()).get_observations()["cart_position"],
        noise=AdditiveGaussian(std=0.5),
    )
    env = make_env(num_envs=2000, observations={"cart_position": noisy})
    state = jax.jit(env.init)(jax.random.key(0))
    difference = np.asarray(state.obs["actor"] - state.obs["critic"])
    # Standard errors of mean and deviation of 2000 draws are 0.011 and 0.008.
    assert abs(difference.mean()) < 0.05 and abs(difference.std() - 0.5) < 0.04


def test_the_level_scales_noise():
    noise = AdditiveGaussian(std=1.0)
    value, key = jnp.zeros(4), jax.random.key(0)
    np.testing.assert_allclose(
        noise.disturb(value, key, 0.25), 0.25 * noise.disturb(value, key, 1.0), rtol=1e-6
    )
    assert (noise.disturb(value, key, 0.0) == value).all()


def test_commands_last_an_episode_and_are_drawn_anew_after_it():
    env = make_env(
        commands={"dice": Dice()},
        observations={"command": SeeCommand()},
        terminations={"limit": Limit(seconds=0.03)},
    )
    _, results = rollout(env, jnp.zeros((7, N, 1)))
    seen = results.steps.commands["dice"][..., 0]
    assert (seen[0] == seen[1]).all() and (seen[1] == seen[2]).all()
    assert (seen[2] != seen[3]).all() and (seen[3] == seen[5]).all()
    assert len(set(seen[0].tolist())) == N


def test_events_push():
    env = make_env(resets={}, events={"kick": Kick()})
    _, results = rollout(env, jnp.zeros((3, N, 1)))
    speed = results.steps.view.qvel[..., 0]
    assert (speed[:2] == 0.0).all()
    np.testing.assert_allclose(speed[2], 1.0, atol=0.01)


def test_rewards_of_a_trajectory_are_those_of_any_cut_of_it():
    env = make_env(
        rewards={"count": CountSteps(weight=2.0), "balance": balance()},
        terminations={"limit": Limit(seconds=0.05), "fail": After(seconds=0.11)},
    )
    _, results = rollout(env, jax.random.normal(jax.random.key(0), (23, N, 1)))
    score = jax.jit(env.rewards)
    whole = score(env.init_rewards(), results)[1]
    assert whole.components["count"][:7, 0].tolist() == [2.0, 4.0, 6.0, 8.0, 10.0, 2.0, 4.0]
    for cuts in ([10, 13], [1] * 23, [5, 5, 13], [22, 1]):
        carry, start, pieces = env.init_rewards(), 0, []
        for length in cuts:
            piece = jax.tree.map(lambda x, s=start, n=length: x[s : s + n], results)
            carry, scores = score(carry, piece)
            pieces.append(scores)
            start += length
        for name in whole.components:
            joined = np.concatenate([p.components[name] for p in pieces])
            np.testing.assert_array_equal(joined, whole.components[name])


def balance():
    return load_task("cartpole")(tiny_cartpole()).get_rewards()["balance"]


def test_the_total_is_the_clipped_sum():
    rewards = {"count": CountSteps(weight=1.0), "less": CountSteps(weight=-0.25)}
    env = make_env(rewards=rewards)
    manager = RewardManager(rewards, {}, N, clip=(None, 2.0))
    _, results = rollout(env, jnp.zeros((4, N, 1)))
    _, scores = manager(manager.fresh(), results)
    assert scores.total[:, 0].tolist() == [0.75, 1.5, 2.0, 2.0]


@pytest.mark.parametrize("engine", ["mujoco", pytest.param("mjx", marks=pytest.mark.slow)])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, 1e30])
@pytest.mark.parametrize("field", ["qpos", "qvel"])
def test_one_bad_environment_is_quarantined_and_the_others_are_bitwise_unchanged(
    engine, field, value, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    env = quarantine_env(engine)
    clean_state, clean = play(env, engine)
    state, results = play(env, engine, field, value)
    hit = np.arange(N) == 3
    assert at_fault(env, results)[0] == ["physics" if each else "" for each in hit]
    assert not results.quarantined[1:].any() and not clean.quarantined.any()
    assert not results.terminated[0].any() and not results.truncated[0].any()
    assert np.isfinite(state.obs["actor"]).all()
    assert state.count[3] == clean_state.count[3] - 1, "it was reset in that very step"
    np.testing.assert_array_equal(state.obs["actor"][~hit], clean_state.obs["actor"][~hit])
    for name, values in clean.final_obs.items():
        np.testing.assert_array_equal(results.final_obs[name][:, ~hit], values[:, ~hit])
    assert not list(tmp_path.iterdir()), "MuJoCo writes no log"


@pytest.mark.parametrize("engine", ["mujoco", "mjx"])
def test_a_bad_action_changes_nothing_in_the_others(engine):
    env = quarantine_env(engine)
    clean_state, clean = play(env, engine)
    state, results = play(env, engine, "action", jnp.nan)
    hit = np.arange(N) == 3
    assert at_fault(env, results)[0] == ["action" if each else "" for each in hit]
    assert not results.quarantined[1:].any()
    assert np.isfinite(state.obs["actor"]).all()
    np.testing.assert_array_equal(state.obs["actor"][~hit], clean_state.obs["actor"][~hit])
    np.testing.assert_array_equal(results.steps.view.qpos[:, ~hit], clean.steps.view.qpos[:, ~hit])


_ENVS = {}


def quarantine_env(engine):
    if engine not in _ENVS:
        _ENVS[engine] = make_env(engine)
        env = _ENVS[engine]
        _ENVS[engine].programs = (
            jax.jit(lambda: env.begin_rollout(env.init(jax.random.key(0)))),
            jax.jit(env.step),
        )
    return _ENVS[engine]


def play(env, engine, field="", value=0.0):
    """Three steps; before the first, `value` is put into environment 3."""
    init, step = env.programs
    state = init()
    jax.block_until_ready(state)
    actions = jnp.full((3, N, 1), 0.1)
    if field == "action":
        actions = actions.at[0, 3].set(value)
    elif field and engine == "mujoco":
        env.engine._host.batch.bind(field)[3, 1] = float(value)
    elif field:
        data = state.physics.data
        spoilt = {field: getattr(data, field).at[3, 1].set(value)}
        state = state.replace(physics=state.physics.replace(data=data.replace(**spoilt)))
    results = []
    for action in actions:
        state, result = step(state, action)
        results.append(result)
    stacked = jax.tree.map(lambda *x: np.stack(x), *results)
    return jax.device_get(state), stacked


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_bad_action_is_quarantined(value):
    env = make_env()
    actions = jnp.zeros((2, N, 1)).at[0, 7].set(value)
    _, results = rollout(env, actions)
    assert at_fault(env, results)[0] == ["action" if i == 7 else "" for i in range(N)]
    assert not results.quarantined[1].any()
    assert np.isfinite(results.steps.action).all()


def test_first_episodes_begin_at_random_times_when_staggered():
    env = make_env(num_envs=500)
    assert jax.jit(env.init)(jax.random.key(0)).count.tolist() == [0] * 500
    env.limits = Limits(stagger_steps=1000)
    count = np.asarray(jax.jit(lambda k: env.init(k))(jax.random.key(0)).count)
    assert count.min() >= 0 and count.max() < 1000
    assert abs(count.mean() - 500) < 60  # five standard errors
