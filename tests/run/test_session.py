"""What is shown is what training computes, number for number; untouched, and steered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.steering import BY_HAND
from ksim_cli.rl.rollout import Player, PolicyState, play
from ksim_cli.run.build import make_task_model
from ksim_cli.run.session import Session, Wishes, make_steerable
from tests.helpers import run_config


def acting(task, *overrides):
    """A task, its untrained policy, and what that acts with."""
    config = run_config(f"task={task}", "engine=mujoco", *overrides)
    task_model = make_task_model(config)
    variables = task_model.policy.init(jax.random.key(3))
    state = PolicyState(variables=variables, reward_variables=(), level=jnp.ones(()))
    return task_model, state


def session_of(task_model, state, seed=0):
    return Session(Player(make_steerable(task_model), task_model.policy, argmax=True), state, seed)


@pytest.fixture(scope="module")
def quadruped():
    """A task with commands, pushes and noise; falls are let be, so that episodes are long."""
    return acting("quadruped", "terminations.tilted=null", "terminations.low=null")


@pytest.mark.slow
def test_two_hundred_steps_are_those_of_training():
    """The rollout of training on the task as it is, and the session, from one state."""
    task_model, state = acting("humanoid", "terminations.tilted=null", "terminations.low=null")
    shown, session = [], session_of(task_model, state)
    # Training's own environment, begun with the session's key.
    env = task_model.make_env(1, recorded=("actuator_force",))
    player = Player(env, task_model.policy, argmax=True)
    key, _ = jax.random.split(jax.random.key(0))
    playing = jax.jit(player.start)(key, state.level)
    assert BY_HAND not in playing.env.carries["events"]
    _, experience = jax.jit(lambda p: play(player, state, p, jax.random.key(9), 200))(playing)
    for _ in range(200):
        shown.append(session.step(Wishes()))
    together = jax.tree.map(lambda *x: np.stack(x), *shown)
    ends = np.flatnonzero(experience.was_reset[:, 0])
    assert len(ends) == 0, "one episode, so that no reset is drawn elsewhere"
    steps, scores = experience.results.steps, experience.scores
    # Sums of 200 steps at once and of one are fused otherwise; what is fed back is not.
    exact = ("qpos", "qvel", "action", "torque", *(f"obs {k}" for k in experience.obs))
    for name, got, wanted in (
        ("qpos", together.qpos, steps.view.qpos),
        ("qvel", together.qvel, steps.view.qvel),
        ("action", together.action, experience.action),
        ("torque", together.torque, steps.view.actuator_force),
        ("reward", together.reward, scores.total),
        *((f"obs {k}", together.obs[k], v) for k, v in experience.obs.items()),
        *((f"reward {k}", together.rewards[k], v) for k, v in scores.components.items()),
        *((f"command {k}", together.commands[k], v) for k, v in steps.commands.items()),
        *((f"error {k}", together.command_errors[k], v) for k, v in scores.command_errors.items()),
    ):
        limit = 0.0 if name in exact else 1e-6
        np.testing.assert_allclose(got, wanted[:, 0], rtol=limit, atol=limit, err_msg=name)
    assert np.abs(together.reward).max() > 0 and np.ptp(together.qpos, axis=0).max() > 0.01


def test_a_command_that_is_held_is_told_until_it_is_let_go(quadruped):
    task_model, state = quadruped
    session, held = session_of(task_model, state), np.array([0.77, -0.11], np.float32)
    drawn = session.step(Wishes()).commands["linear_velocity"]
    session.step(Wishes(held={"linear_velocity": held}))
    assert session.commands()["linear_velocity"].tolist() == held.tolist()
    shown = session.step(Wishes(held={"linear_velocity": held}))
    assert shown.commands["linear_velocity"].tolist() == held.tolist()
    sizes = session.env.observation_layout["actor"]
    names = [name for name, size in sizes.items() for _ in range(size)]
    told = shown.obs["actor"][[name == "command_velocity" for name in names]]
    np.testing.assert_allclose(told, held, atol=1e-6)
    session.step(Wishes())
    free = session.step(Wishes()).commands["linear_velocity"]
    assert free.tolist() == drawn.tolist()


def test_an_episode_that_begins_obeys_a_command_that_is_held():
    task_model, state = acting("quadruped", "terminations.time_limit.max_length_seconds=0.06")
    session, held = session_of(task_model, state), np.array([0.5, 0.25], np.float32)
    told = []
    for _ in range(8):
        session.step(Wishes(held={"linear_velocity": held}))
        told.append((bool(session.shown.ended), session.commands()["linear_velocity"].tolist()))
    assert any(ended for ended, _ in told)
    assert all(command == held.tolist() for _, command in told)


def test_a_push_moves_and_a_force_accelerates(quadruped):
    task_model, state = quadruped
    model = task_model.model
    velocity, force = np.zeros(model.nv), np.zeros((model.nbody, 6))
    velocity[1] = 0.8
    force[1, 2] = 50.0 + 9.81 * model.body_mass.sum()
    ends = {}
    for name, wishes in {
        "alone": Wishes(),
        "pushed": Wishes(velocity=velocity),
        "lifted": Wishes(force=force),
    }.items():
        session = session_of(task_model, state)
        session.step(wishes)
        ends[name] = session.step(Wishes())
    assert ends["pushed"].qvel[1] - ends["alone"].qvel[1] > 0.2
    assert ends["lifted"].qvel[2] - ends["alone"].qvel[2] > 0.05
    assert np.abs(ends["lifted"].qvel[1] - ends["alone"].qvel[1]) < 0.2


def test_other_episodes_differ_and_another_policy_acts(quadruped):
    task_model, state = quadruped
    session = session_of(task_model, state)
    first = session.state()[0]
    one = session.step(Wishes())
    session.restart()
    assert session.shown is None and not np.array_equal(session.state()[0], first)
    session = session_of(task_model, state)
    still = jax.tree.map(jnp.zeros_like, state.variables.params)
    session.take(state.replace(variables=state.variables.replace(params=still)))
    assert np.abs(one.action).max() > 0
    assert session.step(Wishes()).action.tolist() == [0.0] * task_model.action_size
