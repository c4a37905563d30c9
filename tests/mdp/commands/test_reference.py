import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.commands.reference import MotionCommand
from ksim_cli.mdp.moments import Outcomes
from ksim_cli.registry import COMMANDS
from ksim_cli.types import EpisodeStatistics
from tests.motion.motions import following, on_the_motion, swaying, walking
from tests.robot import make_env, rollout


def drawn(term, shared=None, count=500):
    """First moments of episodes, `[count, 2]`."""
    keys = jax.random.split(jax.random.key(0), count)
    shared = term.initial_shared() if shared is None else shared

    def first(key):
        return term(None, term.begin(key, shared), key)[0]

    return np.asarray(jax.jit(jax.vmap(first))(keys), int)


def test_it_starts_anywhere_and_goes_on_a_frame_a_step():
    term, _ = following(MotionCommand(), [walking(), walking(frames=31)])
    moments = drawn(term)
    assert {*moments[:, 0]} == {0, 1}
    assert {*moments[moments[:, 0] == 0, 1]} == {*range(20)}
    carry, told = term.init(jax.random.key(1)), []
    for _ in range(4):
        value, carry = term(None, carry, jax.random.key(0))
        told.append(value.tolist())
    assert [b - a for (_, a), (_, b) in itertools.pairwise(told)] == [1.0] * 3
    assert {clip for clip, _ in told} == {told[0][0]}


def test_it_may_start_at_the_beginning():
    term, _ = following(MotionCommand(start="beginning"), [walking()])
    assert not drawn(term, count=20).any()


def test_hard_moments_are_drawn_more_often():
    term, _ = following(MotionCommand(bin_seconds=0.1, spread=1, uniform_share=0.2), [walking()])
    hard = Outcomes(jnp.zeros(4).at[2].set(5.0), jnp.full(4, 10.0))
    share = (drawn(term, hard)[:, 1] // 5 == 2).mean()
    assert share == pytest.approx(0.8 + 0.2 / 4, abs=0.05)
    even = dataclasses.replace(term, adaptive=False)
    assert (drawn(even, hard)[:, 1] // 5 == 2).mean() == pytest.approx(0.25, abs=0.06)


def test_its_error_is_the_mean_over_joints():
    term, model = following(MotionCommand(), [walking()])

    def off(qpos):
        qpos[7:11] += [0.4, -0.2, 0.0, 0.0]

    value = jnp.array([0.0, 3.0])
    assert float(term.error(on_the_motion(term, model, 3), value)) == pytest.approx(0, abs=1e-6)
    step = on_the_motion(term, model, 3, off=off)
    assert float(term.error(step, value)) == pytest.approx(0.15, abs=1e-6)


def test_it_shows_where_the_motion_has_the_bodies():
    term, model = following(MotionCommand(), [walking(turn=2.0)])
    step = on_the_motion(term, model, 6)
    shown = term.markers(step, jnp.array([0.0, 6.0]))
    assert len(shown) == model.nbody - 1
    for marker, body in zip(shown, term.bodies, strict=True):
        np.testing.assert_allclose(marker.position, step.view.xpos[body], atol=5e-3)


def test_failures_of_episodes_move_what_is_drawn():
    """In an environment whose episodes fail at once: all fail where they start."""
    env = make_env(
        num_envs=8,
        motions=swaying,
        commands={"motion": {"type": "motion", "bin_seconds": 0.1}},
        resets={"motion": {"type": "motion"}},
        terminations={"far": {"type": "motion_base", "max_distance": 1e-9}},
    )
    _, results, _ = rollout(env, steps=3)
    state = env.init(jax.random.key(0))
    ended = EpisodeStatistics(*(jnp.float32(x) for x in (24, 1.0, 0.0, 1.0, 0.0)))
    state = env.end_rollout(state, results, ended)
    after = state.shared.commands["motion"]
    assert float(after.failures.sum()) == results.terminated.sum() == 24
    assert float(after.passes.sum()) == pytest.approx(24 / 10)


@pytest.mark.parametrize(
    "given",
    [
        {"bin_seconds": 0.0},
        {"spread": 0},
        {"uniform_share": 0.0},
        {"decay": 1.0},
        {"discount": 2.0},
    ],
)
def test_what_cannot_be_is_refused(given):
    with pytest.raises(UserError, match=next(iter(given))):
        COMMANDS.build({"type": "motion", **given}, "commands.x")
