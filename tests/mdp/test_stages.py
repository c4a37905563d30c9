"""Terms in stages: by hand, in environments, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.motion_term import MotionTerm
from ksim_cli.mdp.stages import Staged, StagedTruncation, fill_in, first_stage, staged
from ksim_cli.mdp.term import ActionTerm
from ksim_cli.registry import COMMANDS, EVENTS, REWARDS, TERMINATIONS
from ksim_cli.types import EpisodeStatistics
from tests.legged import bound, posed, step_of
from tests.robot import make_env

register_terms()
NOBODY = EpisodeStatistics(jnp.float32(0), *[jnp.float32(jnp.nan)] * 4)
STAGES = [
    {"iteration": 2, "weight": -3.0},
    {"iteration": 5, "height": 0.3},
    {"iteration": 6, "weight": 2.0, "scale": "quadratic"},
]


def after(iteration, **changes):
    return {"iteration": jnp.int32(iteration), **changes}


def test_a_weight_and_a_parameter_by_iteration():
    section = {"type": "base_height", "height": 0.5, "sigma": 0.2, "stages": STAGES}
    term, model = bound(staged(REWARDS.build(section, "rewards.x"), "rewards.x"))
    assert term.weight == 1.0 and term.scale is None
    data = posed(model)
    lower = np.exp(-1)  # 0.5 m against 0.3
    wanted = {
        0: 1.0,
        1: 1.0,
        2: -3.0,
        4: -3.0,
        5: -3 * lower,
        6: 2 * 0.25 * lower,
        999: 0.5 * lower,
    }
    for iteration, value in wanted.items():
        got = term(step_of(data, **after(iteration, level=jnp.float32(0.5))), ())[0]
        np.testing.assert_allclose(got, value, rtol=1e-4, err_msg=str(iteration))
    assert term(step_of(data), ())[0] == pytest.approx(1.0), "who knows of no iteration begins"


def test_terms_without_stages_are_themselves():
    plain = REWARDS.build({"type": "upright"}, "rewards.x")
    assert staged(plain, "rewards.x") is plain and first_stage(plain) is plain


def test_a_carry_goes_on_through_the_stages():
    section = {"type": "action_velocity", "stages": [{"iteration": 1, "norm": "l1"}]}
    term, model = bound(staged(REWARDS.build(section, "rewards.x"), "rewards.x"))
    term, data = fill_in(term, ActionTerm, action_size=4), posed(model)
    carry, values = term.init(None), []
    for iteration, action in ((0, 0.0), (0, 3.0), (1, 0.0)):
        step = step_of(data, action=jnp.full(4, action), **after(iteration))
        value, carry = term(step, carry)
        values.append(float(value))
    assert values == [0.0, 9.0, 3.0]


def test_terminations_and_time_limits():
    section = {"type": "minimum_height", "height": 0.4, "stages": [{"iteration": 3, "height": 0.6}]}
    term, model = bound(staged(TERMINATIONS.build(section, "t"), "t"))
    given = [int(term(step_of(posed(model), **after(i)), ())[0]) for i in (2, 3)]
    assert given == [0, -1]
    off = [{"iteration": 3, "disable_at_curriculum_level": 0.5}]
    section = {"type": "minimum_height", "height": 0.6, "stages": off}
    term, model = bound(staged(TERMINATIONS.build(section, "t"), "t"))
    assert [int(term(step_of(posed(model), **after(i)), ())[0]) for i in (2, 3)] == [-1, 0]
    longer = [{"iteration": 1, "max_length_seconds": 9.0}]
    section = {"type": "episode_length", "max_length_seconds": 2.0, "stages": longer}
    term = staged(TERMINATIONS.build(section, "t"), "t")
    assert isinstance(term, StagedTruncation) and term.truncates and term.longest_episode() == 9.0


def test_commands_and_events():
    key = jax.random.key(0)
    stages = [{"iteration": 1, "x_range": [2.0, 2.0]}]
    section = {"type": "linear_velocity", "x_range": [1.0, 1.0], "stages": stages}
    term, model = bound(staged(COMMANDS.build(section, "c"), "c"))
    step = step_of(posed(model))
    assert term.is_measured and len(term.markers(step, jnp.ones(2))) == 1
    assert term.error(step, jnp.array([3.0, 4.0])) == 5.0
    drawn = [term(step.replace(iteration=jnp.int32(i)), term.init(key), key)[0] for i in (0, 1)]
    assert [value[0] for value in drawn] == [1.0, 2.0]
    stages = [{"iteration": 1, "speed": [3.0, 3.0]}]
    section = {"type": "linear_push", "interval": [0.001, 0.001], "speed": [1.0, 1.0]}
    term, _ = bound(staged(EVENTS.build({**section, "stages": stages}, "e"), "e"))
    for iteration, speed in ((0, 1.0), (1, 3.0)):
        effect, _ = term(step.replace(iteration=jnp.int32(iteration)), term.init(key), key)
        np.testing.assert_allclose(jnp.linalg.norm(effect.velocity), speed, rtol=1e-5)


def test_environments_count_their_iterations_and_begin_where_they_are_told():
    stages = [{"iteration": 2, "weight": 10.0}]
    alive = {"type": "stay_alive", "stages": stages}
    env = make_env(rewards={"alive": alive})
    assert isinstance(env.mdp.rewards["alive"], Staged)

    def rollout(state):
        state, result = env.step(env.begin_rollout(state), jnp.zeros((2, env.action_size)))
        results = jax.tree.map(lambda x: x[None], result)
        _, scores = env.rewards(env.init_rewards(), results)
        return env.end_rollout(state, results, NOBODY), scores.total[0, 0]

    state, run, paid = jax.jit(env.init)(jax.random.key(0)), jax.jit(rollout), []
    for _ in range(4):
        state, value = run(state)
        paid.append(float(value))
    assert paid == [1.0, 1.0, 10.0, 10.0] and int(state.iteration) == 4
    late = jax.jit(env.init)(jax.random.key(0), None, jnp.int32(7))
    assert run(late)[1] == 10.0


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"weight": 1.0}], r"rewards\.x\.stages\[0\]\.iteration=null: must be a whole number"),
        ([{"iteration": 0, "weight": 1.0}], r"iteration=0: must be a whole number above 0"),
        ([{"iteration": 1.5, "weight": 1.0}], r"iteration=1\.5: must be a whole number"),
        (
            [{"iteration": 9, "weight": 1.0}, {"iteration": 9, "weight": 2.0}],
            r"stages\[1\]\.iteration=9: must be a whole number above 9, that of the stage before",
        ),
        ([{"iteration": 9}], r"stages\[0\]: changes no parameter"),
        ([{"iteration": 9, "wieght": 1.0}], r"stages\[0\]: no parameter 'wieght'.*'weight'"),
        ([{"iteration": 9, "weight": "big"}], r"stages\[0\]\.weight=big: expected float"),
        ([{"iteration": 9, "sigma": -1.0}], r"stages\[0\]: sigma=-1\.0: must be positive"),
        ([{"iteration": 9, "stages": []}], r"stages\[0\]\.stages: a stage has none"),
    ],
)
def test_wrong_stages_are_refused(stages, message):
    section = {"type": "base_height", "stages": stages}
    with pytest.raises(UserError, match=message):
        staged(REWARDS.build(section, "rewards.x"), "rewards.x")


def test_what_changes_the_size_of_a_term_is_refused():
    stages = [{"iteration": 1, "joints": ["left_*"]}]
    rewards = {"x": {"type": "joint_acceleration", "stages": stages}}
    with pytest.raises(UserError, match=r"rewards\.x: stages: change the size"):
        make_env(rewards=rewards)


def test_every_stage_of_a_term_is_filled_in():
    section = {"type": "motion_joint_position", "stages": [{"iteration": 1, "sigma": 9.0}]}
    term = staged(REWARDS.build(section, "rewards.x"), "rewards.x")
    filled = fill_in(term, MotionTerm, motions="the motions")
    assert [(v.motions, v.sigma) for v in filled.variants] == [
        ("the motions", term.first.sigma),
        ("the motions", 9.0),
    ]
    assert fill_in(term, ActionTerm, action_size=4) == term, "it remembers no actions"


def test_a_command_that_goes_by_earlier_episodes_has_no_stages():
    section = {"type": "motion", "stages": [{"iteration": 1, "start": "beginning"}]}
    with pytest.raises(UserError, match=r"commands\.m\.stages: this command goes by earlier"):
        staged(COMMANDS.build(section, "commands.m"), "commands.m")
