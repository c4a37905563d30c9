"""Order of commands, and when they are drawn; by themselves and through environments."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.command_manager import CommandManager
from ksim_cli.mdp.commands.episode import SinusoidalGait
from ksim_cli.mdp.commands.sampled import FloatVector, commanded
from ksim_cli.mdp.observations.task import CommandObservation
from ksim_cli.mdp.term import Command, Latch, Observation, Reset
from tests.point import DT, CutWhenTold, make, play, steps_of

KEY = jax.random.key(0)
GOAL = FloatVector(ranges=((-1.0, 1.0), (2.0, 3.0)))


@dataclass(frozen=True, kw_only=True)
class Twice(Command):
    """Twice another command."""

    of: str

    def __call__(self, step, carry, key):
        return 2.0 * commanded(step, self.of), carry


@dataclass(frozen=True, kw_only=True)
class Where(Command):
    """Where the point was at the start of the episode: it reads the view."""

    def init(self, key):
        return Latch.empty(2)

    def __call__(self, step, carry, key):
        value = carry.get(step.view.qpos)
        return value, Latch.holding(value)


@dataclass(frozen=True, kw_only=True)
class AtCommand(Reset):
    """Places the point where a command says."""

    command: str = "goal"

    def __call__(self, pose, key, level):
        return pose.replace(qpos=commanded(pose, self.command, 2))


@dataclass(frozen=True, kw_only=True)
class See(Observation):
    command: str

    def __call__(self, step, carry, key):
        return commanded(step, self.command), carry


def test_each_sees_the_new_values_of_those_before_it():
    terms = {"twice": Twice(of="goal"), "goal": GOAL}
    manager = CommandManager(terms, {"goal": False, "twice": False}, 3)
    steps = steps_of(3, commands={"goal": jnp.full((3, 2), 9.0), "twice": jnp.zeros((3, 2))})
    values, carry = manager(steps, manager.init(KEY), KEY)
    np.testing.assert_array_equal(values["twice"], 2.0 * values["goal"])
    again, _ = manager(steps, carry, jax.random.key(1))
    np.testing.assert_array_equal(again["goal"], values["goal"])


def test_what_does_not_read_the_view_is_drawn_before_the_reset_and_kept():
    terms = {"goal": GOAL, "where": Where(), "twice": Twice(of="where")}
    manager = CommandManager(terms, {"goal": False, "where": True, "twice": True}, 2)
    before, carries = manager.before_reset(steps_of(2, view=None), manager.initial_shared(), KEY)
    assert before.keys() == carries.keys() == {"goal"}
    steps = steps_of(2, commands=before)
    at = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    steps = steps.replace(view=steps.view.replace(qpos=at))
    values, carry = manager.after_reset(
        steps, carries, manager.initial_shared(), KEY, jax.random.key(7)
    )
    np.testing.assert_array_equal(values["goal"], before["goal"])
    np.testing.assert_array_equal(values["twice"], 2.0 * at)
    assert carry.keys() == terms.keys() and carry["goal"].is_set.all()


def episodes(physics="mujoco", **terms):
    """Observed commands and positions over three episodes of two steps, after each step."""
    commands = {"goal": GOAL, **terms.pop("commands", {})}
    seen = {name: CommandObservation(command=name) for name in commands}
    env = make(
        num_envs=4,
        physics=physics,
        commands=commands,
        observations={**seen, **terms.pop("observations", {})},
        terminations={"cut": CutWhenTold()},
        **terms,
    )
    actions = jnp.zeros((6, 4, 2)).at[1::2, :, 0].set(11.0)

    def run(key):
        def rollout(state, actions):
            return jax.lax.scan(body, env.begin_rollout(state), actions)

        def body(state, action):
            after, result = env.step(state, action)
            return after, (after.obs["critic"], env.engine.view(after.physics).qpos, result)

        state = env.init(key)
        first = (state.obs["critic"], env.engine.view(state.physics).qpos)
        # Each episode ends with its rollout, whose reset was prepared at its beginning.
        state, parts = jax.lax.scan(rollout, state, actions.reshape(3, 2, 4, 2))
        return first, jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), parts)

    (obs, qpos), (later_obs, later_qpos, results) = jax.device_get(jax.jit(run)(KEY))
    assert results.truncated.tolist() == [[False] * 4, [True] * 4] * 3
    join = lambda a, b: np.concatenate([a[None], b])  # noqa: E731
    return join(obs, later_obs), join(qpos, later_qpos), results


@pytest.mark.parametrize("physics", ["mujoco", "mjx"])
def test_a_reset_that_reads_a_command_agrees_with_the_episodes_command(physics):
    obs, qpos, results = episodes(physics, resets={"at": AtCommand()})
    starts = [0, 2, 4, 6]
    for t in starts:
        np.testing.assert_array_equal(obs[t], qpos[t])
        assert len(np.unique(obs[t])) == 8, "every environment has a command of its own"
    assert len(np.unique(obs[starts])) == 32, "every episode has a command of its own"
    for t in (0, 2, 4):
        np.testing.assert_array_equal(obs[t], obs[t + 1])
        # What rewards see is the command that the episode began with.
        for step in (t, t + 1):
            np.testing.assert_array_equal(results.steps.commands["goal"][step], obs[t])


def test_a_command_that_reads_the_view_is_drawn_after_the_reset():
    commands = {"twice": Twice(of="where"), "where": Where()}
    obs, qpos, _ = episodes(commands=commands, resets={"at": AtCommand()})
    for t in (0, 2, 4, 6):
        goal, twice, where = np.split(obs[t], 3, axis=1)
        np.testing.assert_array_equal(where, qpos[t])
        np.testing.assert_array_equal(where, goal)
        np.testing.assert_array_equal(twice, 2.0 * goal)


@pytest.mark.parametrize("low", [0.0, 1.0])
def test_a_gait_stands_still_while_its_command_is_zero(low):
    # A quarter of the period per step: the foot is up after the first step, down at the start.
    gait = SinusoidalGait(period=4 * DT, max_height=0.5, offsets=(0.25,), standing_command="speed")
    env = make(
        commands={"gait": gait, "speed": FloatVector(ranges=((low, low),))},
        observations={"gait": CommandObservation(command="gait")},
        terminations={"cut": CutWhenTold()},
    )
    assert list(env.command_manager.terms) == ["speed", "gait"]
    _, obs = play(env, [[0.0, 0.0], [11.0, 0.0], [0.0, 0.0]])
    # sin(2 pi (t / period + 1/4)): 1, 0 | and the same in the next episode.
    wanted = np.array([1.0, 0.0, 1.0, 0.0]) * 0.5 * (low > 0)
    np.testing.assert_allclose(obs["critic"][:, 0, 0], wanted, atol=1e-6)


def test_a_new_episode_never_sees_the_command_of_the_last():
    commands = {"twice": Twice(of="goal")}
    obs, _, _ = episodes(commands=commands)
    goal, twice = np.split(obs, 2, axis=-1)
    np.testing.assert_array_equal(twice, 2.0 * goal)
