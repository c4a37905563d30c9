"""Every registered termination fires where it should and nowhere else."""

import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.curricula import Constant
from ksim_cli.registry import TERMINATIONS
from tests.legged import MASS, bound, posed, stand, step_of
from tests.motion.motions import of_motions
from tests.point import CutWhenTold, make, play

register_terms()
STILL = [0] * 10


def fires(section, qpos=None, qvel=None, data=None, **changes):
    term, model = bound(TERMINATIONS.build(section, "terminations.x"))
    data = posed(model, qpos, qvel) if data is None else data(model)
    return int(term(step_of(data, **changes), term.init(None))[0])


def tilted(angle, axis=1):
    half = np.zeros(3)
    half[axis] = np.sin(angle / 2)
    return [0, 0, 0.5, np.cos(angle / 2), *half, 0, 0, 0, 0]


def moving(linear=(0, 0, 0), angular=(0, 0, 0)):
    return [*linear, *angular, 0, 0, 0, 0]


# Section, and states on either side of its boundary: (qpos, qvel).
BOUNDARIES = {
    "not_upright": (
        {"max_tilt": 0.7},
        [(tilted(0.699), STILL), (tilted(-0.699, 0), STILL), (tilted(3.0, 2), STILL)],
        [(tilted(0.701), STILL), (tilted(-0.701, 0), STILL), (tilted(3.1), STILL)],
    ),
    "minimum_height": (
        {"height": 0.4},
        [([0, 0, 0.401, 1, *[0] * 7], STILL)],
        [([0, 0, 0.399, 1, *[0] * 7], STILL), ([0, 0, -1.0, 1, *[0] * 7], STILL)],
    ),
    "bad_z": (
        {"low": 0.4, "high": 0.6},
        [([0, 0, 0.401, 1, *[0] * 7], STILL), ([0, 0, 0.599, 1, *[0] * 7], STILL)],
        [([0, 0, 0.399, 1, *[0] * 7], STILL), ([0, 0, 0.601, 1, *[0] * 7], STILL)],
    ),
    "bad_velocity": (
        {"max_linear": 2.0, "max_angular": 5.0},
        [(tilted(0), moving((-1.99, 0, 0), (0, 0, -4.99)))],
        [
            (tilted(0), moving((-2.01, 0, 0))),
            (tilted(0), moving((0, 0, 2.01))),
            (tilted(0), moving((0, 0, 0), (0, 0, -5.01))),
        ],
    ),
    "far_from_origin": (
        {"max_distance": 5.0},
        [([3.0, -3.99, 9.0, 1, *[0] * 7], STILL)],
        [([3.0, -4.01, 0.5, 1, *[0] * 7], STILL)],
    ),
    "illegal_contact": (
        {"feet": ["trunk"]},
        [([0, 0, 0.051, 1, *[0] * 7], STILL)],
        [([0, 0, 0.049, 1, *[0] * 7], STILL)],
    ),
}


def test_every_termination_is_tried_here():
    tried = {*BOUNDARIES, "episode_length"}
    assert set(TERMINATIONS.names()) - of_motions(TERMINATIONS) == tried


@pytest.mark.parametrize("kind", sorted(BOUNDARIES))
def test_it_fires_beyond_its_boundary_and_not_before(kind):
    section, sound, bad = BOUNDARIES[kind]
    for qpos, qvel in sound:
        assert fires({"type": kind, **section}, qpos, qvel) == 0
    for qpos, qvel in bad:
        assert fires({"type": kind, **section}, qpos, qvel) == -1


@pytest.mark.parametrize(("level", "height", "wanted"), [(0, 0.31, 0), (0.5, 0.31, -1)])
def test_heights_allowed_by_level(level, height, wanted):
    # From [0.3, 0.8] to [0.4, 0.6]: [0.35, 0.7] half-way.
    section = {"type": "bad_z", "low": 0.3, "high": 0.8, "low_final": 0.4, "high_final": 0.6}
    qpos = [0, 0, height, 1, *[0] * 7]
    assert fires(section, qpos, level=jnp.float32(level)) == wanted
    qpos[2] = 0.75
    assert fires(section, qpos, level=jnp.float32(level)) == wanted
    qpos[2] = 0.5
    assert fires(section, qpos, level=jnp.float32(1.0)) == 0


def test_heights_over_the_feet():
    # The left knee is bent; the trunk is 0.48 above the right foot, 3 m up.
    lifted = [0, 0, 3.0, 1, 0, 0, 0, 0, 1.0, 0, 0]
    above = {"above": ["*_foot"]}
    assert fires({"type": "minimum_height", "height": 0.47, **above}, lifted) == 0
    assert fires({"type": "minimum_height", "height": 0.49, **above}, lifted) == -1
    assert fires({"type": "bad_z", "low": 0.0, "high": 0.49, **above}, lifted) == 0


def test_far_away_may_be_a_success():
    section = {"type": "far_from_origin", "max_distance": 5.0, "pos_termination": True}
    assert fires(section, [3.0, 4.1, 0.5, 1, *[0] * 7]) == 1
    assert fires(section, [3.0, 3.9, 0.5, 1, *[0] * 7]) == 0


def test_only_some_contacts_are_illegal():
    section = {"type": "illegal_contact", "feet": ["left_foot"]}
    assert fires({**section, "against": ["floor"]}, data=stand) == -1
    assert fires({**section, "against": ["trunk"]}, data=stand) == 0


def test_a_limit_that_is_not_given_does_not_fire():
    fast = moving((9, 9, 9), (9, 9, 9))
    assert fires({"type": "bad_velocity"}, None, fast) == 0
    assert fires({"type": "bad_velocity", "max_angular": 99.0}, None, fast) == 0


def test_a_contact_may_be_as_strong_as_allowed():
    half = MASS * 9.81 / 2
    section = {"type": "illegal_contact", "feet": ["left_foot"]}
    assert fires({**section, "threshold": 0.9 * half}, data=stand) == -1
    assert fires({**section, "threshold": 1.1 * half}, data=stand) == 0
    assert fires({"type": "illegal_contact", "feet": ["trunk"]}, data=stand) == 0


def test_an_episode_is_cut_at_its_first_step_at_or_after_the_limit():
    section = {"type": "episode_length", "max_length_seconds": 10.0}
    term = TERMINATIONS.build(section, "t")
    assert term.truncates and term.longest_episode() == 10.0
    times = jnp.array([999, 1000, 1001]) * jnp.float32(0.01)
    assert [fires(section, time=t) for t in times] == [0, 1, 1]
    with pytest.raises(UserError, match=r"must be positive"):
        TERMINATIONS.build({"type": "episode_length", "max_length_seconds": 0.0}, "t")


@pytest.mark.parametrize("ctrl_dt", [0.002, 0.01, 0.02, 1 / 30])
def test_an_episode_has_as_many_steps_as_fit(ctrl_dt):
    # Times are multiples of the step in float32, as the environments count them.
    times = jnp.arange(1, 20_001) * jnp.float32(ctrl_dt)
    _, model = bound(TERMINATIONS.build({"type": "far_from_origin", "max_distance": 1.0}, "t"))
    step = step_of(posed(model), time=times)
    for steps in (1, 3, 7, 500, 3000, 20_000):
        section = {"type": "episode_length", "max_length_seconds": steps * ctrl_dt}
        fired = TERMINATIONS.build(section, "t")(step, ())[0]
        assert int(jnp.argmax(fired)) + 1 == steps


@pytest.mark.parametrize(("level", "ends"), [(0.4, True), (0.5, False), (1.0, False)])
def test_a_termination_can_be_off_from_a_level_on(level, ends):
    off = CutWhenTold(disable_at_curriculum_level=0.5)
    env = make(terminations={"end": off}, curriculum=Constant(level=level))
    results, _ = play(env, [[11.0, 0.0]])
    assert bool(results.truncated[0, 0]) is ends
    assert bool(results.causes["end"][0, 0]) is ends
