"""Every registered command: its range, when it changes, what it measures and shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.commands.sampled import commanded
from ksim_cli.registry import COMMANDS
from tests.legged import bound, posed, step_of
from tests.motion.motions import of_motions

register_terms()
SECTIONS = {
    "float_vector": {"ranges": [[-1.0, 2.0], [3.0, 3.5]]},
    "int_vector": {"ranges": [[0, 2], [-1, -1]]},
    "linear_velocity": {"x_range": [-0.5, 1.0], "y_range": [-0.2, 0.2]},
    "angular_velocity": {"range": [-0.7, 0.3]},
    "heading": {"range": [-0.7, 0.3]},
    "base_height": {"range": [0.3, 0.6]},
    "cartesian_coordinate": {"x_range": [0, 1], "y_range": [-1, 0], "z_range": [0.2, 0.3]},
    "joint_position": {"share": 0.5},
    "start_position": {},
    "start_quaternion": {},
    "sinusoidal_gait": {"period": 0.8, "max_height": 0.1},
}
# Where each command's values may lie: [low, high] of every element.
RANGES = {
    "float_vector": [(-1, 2), (3, 3.5)],
    "int_vector": [(0, 2), (-1, -1)],
    "linear_velocity": [(-0.5, 1), (-0.2, 0.2)],
    "angular_velocity": [(-0.7, 0.3)],
    "heading": [(-0.7, 0.3)],
    "base_height": [(0.3, 0.6)],
    "cartesian_coordinate": [(0, 1), (-1, 0), (0.2, 0.3)],
    # Half of the way from home (0) to the ends of the ranges of hip and knee.
    "joint_position": [(-0.5, 0.5), (-0.25, 0.75)] * 2,
    "start_position": [(0.4, 0.4), (-0.3, -0.3), (0.5, 0.5)],
    "start_quaternion": [(0, 0), (0, 0), (0, 0), (1, 1)],
    "sinusoidal_gait": [(0, 0.1), (0, 0.1)],
}
FOLLOWING = {"start_position", "start_quaternion", "sinusoidal_gait", "heading"}
DRAWN = sorted(set(SECTIONS) - FOLLOWING)
N = 300


def build(kind, **changes):
    return bound(COMMANDS.build({"type": kind, **SECTIONS[kind], **changes}, "commands.x"))


def play(kind, steps=40, seed=0, level=1.0, **changes):
    """Values `[steps, N, D]` of N episodes, the base standing at (0.4, -0.3) and turned about z."""
    term, model = build(kind, **changes)
    data = posed(model, qpos=[0.4, -0.3, 0.5, 0, 0, 0, 1, 0, 0, 0, 0])
    step = step_of(data, level=jnp.float32(level))

    def episode(key):
        def body(carry, i):
            now = step.replace(time=i * 0.02)
            value, carry = term(now, carry, jax.random.fold_in(key, i))
            return carry, value

        return jax.lax.scan(body, term.init(key), jnp.arange(steps))[1]

    keys = jax.random.split(jax.random.key(seed), N)
    return np.asarray(jax.jit(jax.vmap(episode, out_axes=1))(keys))


def test_every_command_is_tried_here():
    assert set(COMMANDS.names()) - of_motions(COMMANDS) == set(SECTIONS) == set(RANGES)


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_values_fill_their_range_and_stay_in_it(kind):
    values = play(kind)
    assert values.shape == (40, N, len(RANGES[kind]))
    for i, (low, high) in enumerate(RANGES[kind]):
        x = values[..., i]
        assert low - 1e-6 <= x.min() and x.max() <= high + 1e-6
        if kind != "int_vector":
            assert x.min() <= low + 0.05 * (high - low) + 1e-6
            assert x.max() >= high - 0.05 * (high - low) - 1e-6
    if kind == "int_vector":
        assert set(np.unique(values[..., 0])) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_same_seed_same_values(kind):
    np.testing.assert_array_equal(play(kind), play(kind))
    if kind in DRAWN:
        assert (play(kind) != play(kind, seed=1)).any()


@pytest.mark.parametrize("kind", DRAWN)
def test_one_draw_per_episode_unless_it_switches(kind):
    held = play(kind)
    assert (held == held[:1]).all()
    assert len(np.unique(held[0], axis=0)) > 2, "each episode has its own"
    switched = play(kind, switch_seconds=0.2)
    changes = (switched[1:] != switched[:-1]).any(axis=-1)
    # Each step of 0.02 s draws with probability 0.1; a whole number may be drawn again.
    assert abs(changes.mean() - 0.1) < (0.06 if kind == "int_vector" else 0.01)


@pytest.mark.parametrize("kind", DRAWN)
def test_zeros_and_levels(kind):
    zeros = (play(kind, zero_probability=0.4)[0] == 0.0).all(axis=-1)
    assert abs(zeros.mean() - 0.4) < 0.15
    whole, half = play(kind, scale="linear"), play(kind, scale="linear", level=0.5)
    np.testing.assert_allclose(half, 0.5 * whole, atol=1e-6)


def test_an_unknown_command_lists_those_there_are():
    _, model = build("base_height")
    step = step_of(posed(model), commands={"height": [0.4]})
    assert commanded(step, "height").tolist() == pytest.approx([0.4])
    with pytest.raises(UserError, match=r"no command 'heigth'.*Did you mean 'height'"):
        commanded(step, "heigth")
    with pytest.raises(UserError, match="command 'height' has size 1, and 2 is needed here"):
        commanded(step, "height", 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"switch_seconds": 0.0}, "switch_seconds=0.0: must be positive"),
        ({"zero_probability": 1.5}, r"zero_probability=1.5: must be in \[0, 1\]"),
    ],
)
def test_wrong_parameters_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        build("base_height", **changes)
