"""The environments, step by step and number by number; see `tests.point`."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.env import EnvState
from ksim_cli.mdp.actuators import Torque
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.observations.task import CommandObservation
from ksim_cli.mdp.resets import RandomJointPosition
from ksim_cli.mdp.term import Command, Observation
from tests.point import (
    NOISE,
    Broken,
    Calls,
    CutWhenTold,
    Damper,
    Draw,
    Growing,
    Height,
    LevelPlace,
    PlaceAt,
    Push,
    Random,
    SeeAction,
    SeeCommand,
    Spring,
    Third,
    Upwards,
    WhenTold,
    at_fault,
    make,
    play,
    positions,
)


def test_an_action_holds_over_all_physics_steps():
    # Force (2, 0): v = 1, 2, 3, 4 and x = 0.5, 1.5, 3, 5 after each physics step of 0.5 s.
    results, _ = play(make(substeps=2), [[2.0, 0.0]] * 2)
    assert positions(results) == [[1.5, 0.0], [5.0, 0.0]]
    assert results.steps.time[:, 0].tolist() == [1.0, 2.0]


def test_a_spring_is_renewed_at_each_physics_step():
    # From x = 1 at rest to 0, dt = 0.5:  v = -0.5, x = 0.75;  v = -0.875, x = 0.3125;
    # v = -1.03125, x = -0.203125. Held over three steps the first force would lead elsewhere.
    env = make(substeps=3, actuators={"all": Spring()}, resets={"place": PlaceAt()})
    results, _ = play(env, [[0.0, 0.0]])
    assert positions(results) == [[-0.203125, 0.0]]
    assert results.steps.view.qvel[0, 0].tolist() == [-1.03125, 0.0]


def test_an_actuator_is_given_positions_and_velocities_in_this_order():
    # Force 2 - v: v = 1, x = 0.5;  v = 1.5, x = 1.25;  the position does not matter.
    env = make(substeps=2, actuators={"all": Damper()}, resets={"place": PlaceAt()})
    results, _ = play(env, [[2.0, 0.0]])
    assert positions(results) == [[2.25, 0.0]]


def test_an_actuators_carry_runs_through_the_physics_steps_and_ends_with_the_episode():
    # Forces 1, 2 | 3, 4: v = 0.5, 1.5 | 3, 5; x = 0.25, 1 | 2.5, 5. Then anew.
    env = make(
        substeps=2, actuators={"all": Growing(joints=("x",))}, terminations={"end": WhenTold()}
    )
    results, _ = play(env, [[0.0], [11.0], [0.0], [0.0]])
    assert [x for x, _ in positions(results)] == [1.0, 5.0, 1.0, 5.0]


def test_actuators_share_the_action_in_their_order():
    env = make(actuators={"first": Torque(joints=("y",)), "second": Torque(joints=("x",))})
    assert env.action_size == 2
    # v = 0.5 * force, x = 0.5 * v: the first element goes to y.
    results, _ = play(env, [[4.0, 8.0]])
    assert positions(results) == [[2.0, 1.0]]


def test_actions_are_clipped_before_anything_sees_them():
    env = make(limits={"action_clip": 4.0}, observations={"action": SeeAction()})
    results, obs = play(env, [[100.0, -100.0]])
    assert positions(results) == [[1.0, -1.0]]
    assert results.steps.action[0, 0].tolist() == [4.0, -4.0]
    assert obs["actor"][1, 0].tolist() == [4.0, -4.0]


def test_events_come_before_the_physics_of_their_step_and_start_anew():
    # y: pushed to v = 1, x = 0.5;  v = 3, x = 2;  the episode ends;  v = 1, x = 0.5.
    env = make(events={"push": Push()}, terminations={"end": WhenTold()}, actuators=x_only())
    results, _ = play(env, [[0.0], [11.0], [0.0]])
    assert [y for _, y in positions(results)] == [0.5, 2.0, 0.5]


def x_only():
    return {"all": Torque(joints=("x",))}


def test_a_terminations_carry_starts_anew_with_the_episode():
    results, _ = play(make(terminations={"third": Third()}), [[0.0, 0.0]] * 7)
    assert np.flatnonzero(results.terminated[:, 0]).tolist() == [2, 5]


def test_the_action_before_an_episode_is_zero():
    env = make(observations={"action": SeeAction()}, terminations={"end": WhenTold()})
    results, obs = play(env, [[3.0, 1.0], [11.0, 2.0], [4.0, 1.0]])
    assert obs["actor"][:, 0].tolist() == [[0.0, 0.0], [3.0, 1.0], [0.0, 0.0], [4.0, 1.0]]
    assert results.final_obs["actor"][1, 0].tolist() == [11.0, 2.0]


def test_an_episode_starts_where_the_resets_put_it_and_ends_where_it_got_to():
    env = make(resets={"place": PlaceAt(at=(3.0, -2.0))}, terminations={"end": WhenTold()})
    results, obs = play(env, [[0.0, 4.0], [12.0, 0.0], [0.0, 0.0]])
    # y: v = 2, x = -1;  then x: v = 6, x = 6 and y = 0;  then it is back, at rest.
    wanted = [[3.0, -2.0], [3.0, -1.0], [3.0, -2.0], [3.0, -2.0]]
    assert obs["actor"][:, 0].tolist() == wanted
    assert results.final_obs["actor"][1, 0].tolist() == [6.0, 0.0]
    assert positions(results)[1] == [6.0, 0.0], "rewards see the step that ended the episode"


def test_resets_compose_in_order():
    two = {"one": PlaceAt(at=(3.0, -2.0)), "two": LevelPlace()}
    _, obs = play(make(resets=two, curriculum=Constant(level=0.5)), [[0.0, 0.0]])
    assert obs["actor"][0, 0].tolist() == [0.5, -2.0]
    _, obs = play(make(resets={"two": two["two"], "one": two["one"]}), [[0.0, 0.0]])
    assert obs["actor"][0, 0].tolist() == [3.0, -2.0]


def test_two_terms_of_a_kind_draw_numbers_of_their_own():
    resets = {name: RandomJointPosition(joints=(name,), scale=1.0) for name in ("x", "y")}
    _, obs = play(make(num_envs=8, resets=resets), jnp.zeros((1, 8, 2)))
    assert (obs["actor"][0, :, 0] != obs["actor"][0, :, 1]).all()
    noisy = {name: JointPosition(joints=(name,), noise=NOISE) for name in ("x", "y")}
    random = {"one": Random(), "two": Random()}
    _, obs = play(make(num_envs=8, observations={**noisy, **random}), jnp.zeros((1, 8, 2)))
    drawn = np.stack([obs["actor"][..., i] for i in range(4)])
    assert len(np.unique(drawn)) == drawn.size


def test_noises_of_one_observation_add_up_independently():
    twice = {"x": JointPosition(joints=("x",), noise=(NOISE, NOISE))}
    _, obs = play(make(num_envs=5000, observations=twice), jnp.zeros((1, 5000, 2)))
    # Variance 1 + 1; drawn from one key it would be 4. The standard error is 0.04.
    assert abs(obs["actor"][0].var() - 2.0) < 0.2
    assert not obs["critic"].any()


def test_an_observation_draws_the_same_noise_whatever_stands_beside_it():
    alone = {"x": JointPosition(joints=("x",), noise=NOISE)}
    more = {"y": JointPosition(joints=("y",), noise=NOISE), "action": SeeAction(), **alone}
    actions = jnp.zeros((5, 4, 2))
    one = play(make(num_envs=4, observations=alone), actions)[1]["actor"]
    two = play(make(num_envs=4, observations=more, commands={"draw": Draw()}), actions)[1]["actor"]
    np.testing.assert_array_equal(one[..., 0], two[..., -1])
    assert len(np.unique(one)) == one.size, "every step and environment draws anew"


@pytest.mark.slow
@pytest.mark.parametrize("ends", [WhenTold(), CutWhenTold()])
def test_the_end_of_one_episode_changes_nothing_in_the_others(ends):
    terms = {
        "commands": {"draw": Draw()},
        "observations": {
            "x": JointPosition(noise=NOISE),
            "calls": Calls(),
            "command": SeeCommand(),
            "action": SeeAction(),
        },
        "resets": {"x": RandomJointPosition(scale=1.0)},
        "events": {"push": Push()},
        "terminations": {"end": ends},
    }
    env = make(num_envs=4, **terms)
    quiet = jnp.ones((6, 4, 2))
    told = quiet.at[2, 1].set(11.0)
    (results, obs), (plain, wanted) = play(env, told), play(env, quiet)
    others = [0, 2, 3]
    assert results.done[2].tolist() == [False, True, False, False]
    for got, want in ((results, plain), (obs, wanted)):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_array_equal(a[:, others], b[:, others])
    np.testing.assert_array_equal(obs["critic"][:3, 1], wanted["critic"][:3, 1])
    # How often the observation was asked: once at the start of an episode, then at each step.
    assert obs["critic"][:, 1, 2].tolist() == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0]
    assert obs["critic"][:, 0, 2].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@pytest.mark.parametrize("ends", [WhenTold(code=1), WhenTold(), CutWhenTold()])
@pytest.mark.parametrize("cause", ["action", "observation", "view"])
def test_what_is_quarantined_neither_ended_nor_ran_out_of_time(cause, ends, monkeypatch):
    observed = {"x": Broken() if cause == "observation" else JointPosition(joints=("x",))}
    env = make(num_envs=3, observations=observed, terminations={"end": ends})
    actions = jnp.zeros((2, 3, 2)).at[0, 1].set(11.0)  # to x = 2.75
    if cause == "action":
        actions = actions.at[0, 1, 1].set(jnp.nan)
    if cause == "view":
        # A field that fails right of x = 1, while the state itself is sound.
        whole = env.engine.view

        def view(state):
            seen = whole(state)
            return seen.replace(time=jnp.where(seen.qpos[:, 0] > 1.0, jnp.nan, seen.time))

        monkeypatch.setattr(env.engine, "view", view)
    results, obs = play(env, actions)
    named = {"observation": "observations.x"}.get(cause, cause)
    assert at_fault(env, results) == [["", named, ""], ["", "", ""]]
    assert not results.terminated.any() and not results.truncated.any()
    assert results.done.tolist() == [[False, True, False], [False] * 3]
    assert np.isfinite(obs["actor"]).all()
    assert obs["actor"][1, 1].tolist() == [0.0], "it starts anew"


def test_the_curriculum_moves_once_per_rollout_and_reaches_resets_noise_and_rewards():
    noisy = {"x": JointPosition(joints=("x",), noise=NOISE)}
    terms = {"observations": noisy, "resets": {"place": LevelPlace()}, "rewards": {"h": Height()}}
    env = make(num_envs=2000, curriculum=Upwards(), **terms)

    @jax.jit
    def run(key):
        state = env.init(key)
        found = []
        for _ in range(3):
            state = env.begin_rollout(state)
            state, result = env.step(state, jnp.zeros((2000, 2)))
            _, scores = env.rewards(env.init_rewards(), jax.tree.map(lambda x: x[None], result))
            noise = state.obs["actor"] - state.obs["critic"]
            prepared = state.prepared.physics[0][:, 0]
            found.append((state.level, noise.std(), scores.total.mean(), prepared.mean()))
            state = env.end_rollout(state, result, None)
        return found

    # 0.25, + 0.5, + 0.625 and no more than 1; noise of deviation 1 scales with the level.
    for (level, noise, reward, place), wanted in zip(
        run(jax.random.key(0)), [0.25, 0.75, 1.0], strict=True
    ):
        assert float(level) == wanted
        np.testing.assert_allclose(noise, wanted, rtol=0.08)
        np.testing.assert_allclose(reward, wanted, rtol=1e-6)
        np.testing.assert_allclose(place, wanted, rtol=1e-6)


def test_events_add_up():
    pushes = {"x": Push(axis=0), "y": Push(axis=1), "again": Push(axis=1)}
    results, _ = play(make(events=pushes), [[0.0, 0.0]])
    assert positions(results) == [[0.5, 1.0]]


def test_results_keep_only_the_fields_that_rewards_read():
    @dataclass(frozen=True, kw_only=True)
    class Axes(Observation):
        def __call__(self, step, carry, key):
            return step.view.xmat[1], carry

    env = make(observations={"axes": Axes()}, rewards={"height": Height()})
    results, _ = play(env, [[0.0, 0.0]])
    assert set(results.steps.view.fields()) == {"qpos", "qvel", "xpos"}
    assert set(env.engine.spec.viewed()) == {"qpos", "qvel", "time", "xmat", "xpos"}


def test_every_reward_is_a_component_and_the_clip_is_of_the_total_only():
    rewards = {"a": Height(weight=3.0), "b": Height(weight=-0.5)}
    env = make(rewards=rewards, limits={"reward_clip": (-1.0, 2.0)})
    results, _ = play(env, [[0.0, 0.0]])
    _, scores = env.rewards(env.init_rewards(), results)
    # The point is at height 0 and the level is 1: 3 - 0.5 = 2.5, clipped to 2.
    assert scores.components["a"].tolist() == [[3.0]]
    assert scores.components["b"].tolist() == [[-0.5]]
    assert scores.total.tolist() == [[2.0]]


def test_the_state_says_which_fields_belong_to_environments_and_which_are_shared():
    marks = {f.name: f.metadata["per_env"] for f in dataclasses.fields(EnvState)}
    assert {name for name, per_env in marks.items() if not per_env} == {"key", "shared"}
    env = make(num_envs=3, commands={"draw": Draw()}, events={"push": Push()})
    state = jax.eval_shape(env.init, jax.random.key(0))
    for name in marks.keys() - {"key", "shared"}:
        assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(getattr(state, name))), name
    assert state.level is state.shared.level


@dataclass(frozen=True, kw_only=True)
class Clock(Command):
    """The time of the episode."""

    def __call__(self, step, carry, key):
        return step.time[None], carry


def test_commands_of_a_staggered_first_episode_are_of_its_time():
    env = make(
        num_envs=50,
        limits={"stagger_steps": 100},
        commands={"clock": Clock()},
        observations={"clock": CommandObservation(command="clock")},
    )
    state = jax.jit(env.init)(jax.random.key(0))
    assert len(np.unique(state.count)) > 20
    np.testing.assert_array_equal(state.obs["actor"][:, 0], state.count * 0.5)
