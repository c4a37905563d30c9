import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.physics.engine import View
from ksim_cli.registry import EVENTS
from ksim_cli.types import Step
from tests.helpers import SMALL

register_terms()
DT = 0.1
N = 400
SECTIONS = {
    "linear_push": {"body": "ball", "interval": [0.5, 1.5], "speed": [0.2, 0.6], "vertical": 0.1},
    "angular_push": {"body": "ball", "interval": [0.5, 1.5], "speed": [0.2, 0.6]},
    "jump": {"body": "ball", "interval": [0.5, 1.5], "height": [0.1, 0.4]},
    "force_push": {
        "interval": [0.5, 1.5],
        "body": "ball",
        "force": [5.0, 9.0],
        "duration": [0.2, 0.2],
    },
}


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


def step(level=1.0):
    zero = jnp.zeros(())
    return Step(
        view=View({"time": zero}),
        action=jnp.zeros(2),
        commands={},
        time=zero,
        termination=jnp.int32(0),
        truncated=jnp.array(False),
        level=jnp.float32(level),
        ctrl_dt=DT,
    )


def play(model, kind, level=1.0, steps=60, seed=0):
    """Disturbances `[steps, N]`."""
    term = EVENTS.build({"type": kind, **SECTIONS[kind]}, "events.x").bind(model)

    def one(key):
        start, key = term.init(jax.random.fold_in(key, 0)), jax.random.fold_in(key, 1)

        def body(carry, i):
            effect, carry = term(step(level), carry, jax.random.fold_in(key, i))
            return carry, effect

        return jax.lax.scan(body, start, jnp.arange(steps))[1]

    return jax.device_get(
        jax.jit(jax.vmap(one, out_axes=1))(jax.random.split(jax.random.key(seed), N))
    )


def test_every_event_is_tried_here():
    assert set(EVENTS.names()) == set(SECTIONS)


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_events_recur_after_times_of_their_interval(model, kind):
    effect = play(model, kind)
    size = effect.velocity if effect.force is None else effect.force[..., 1, :]
    happens = np.abs(size).any(axis=-1)
    if effect.force is not None:  # the first step of each push
        happens = happens & ~np.roll(happens, 1, axis=0)
    for env in range(0, N, 10):
        (times,) = np.nonzero(happens[:, env])
        gaps = np.diff(times)
        # Between 0.5 and 1.5 s of 0.1 s, rounded up to steps.
        assert gaps.min() >= 5 and gaps.max() <= 16
        assert 4 <= times[0] <= 15
    assert len({int(np.argmax(happens[:, e])) for e in range(N)}) > 5, "each has its own times"


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_size_is_in_proportion_to_the_level_and_the_same_for_the_same_seed(model, kind):
    full, half, again, other = (
        jax.tree.leaves(play(model, kind, **k)) for k in ({}, {"level": 0.5}, {}, {"seed": 1})
    )
    for a, b, c in zip(full, half, again, strict=True):
        np.testing.assert_allclose(b, 0.5 * a, atol=1e-6)
        np.testing.assert_array_equal(a, c)
    assert any((a != b).any() for a, b in zip(full, other, strict=True))


def kicks(model, kind):
    velocity = play(model, kind).velocity
    # Only the free joint's six velocities move.
    assert not velocity[..., 6:].any()
    happened = velocity[np.abs(velocity).any(axis=-1)]
    assert len(happened) > 1000
    return happened


def test_a_linear_push_is_horizontal_with_a_little_of_the_vertical(model):
    change = kicks(model, "linear_push")
    speed = np.linalg.norm(change[:, :2], axis=1)
    assert 0.2 <= speed.min() < 0.21 and 0.59 < speed.max() <= 0.6
    assert np.abs(change[:, 2]).max() <= 0.1 and not change[:, 3:].any()
    assert np.abs(change[:, :2].mean(axis=0)).max() < 0.05, "from all sides"


def test_an_angular_push_turns_about_any_axis(model):
    change = kicks(model, "angular_push")
    speed = np.linalg.norm(change[:, 3:6], axis=1)
    assert 0.199 <= speed.min() < 0.21 and 0.59 < speed.max() <= 0.601
    assert not change[:, :3].any()
    assert np.abs(change[:, 3:6].mean(axis=0)).max() < 0.05


def test_a_jump_is_as_fast_as_its_height_takes(model):
    change = kicks(model, "jump")
    # v = sqrt(2 g h): 1.40 m/s for 0.1 m, 2.80 m/s for 0.4 m.
    assert 1.4 <= change[:, 2].min() < 1.42 and 2.78 < change[:, 2].max() <= 2.802
    assert not np.delete(change, 2, axis=1).any()


def test_a_force_acts_on_its_body_for_its_duration(model):
    force = play(model, "force_push").force
    assert not np.delete(force, 1, axis=2).any() and not force[..., 2:].any()
    push = np.linalg.norm(force[:, :, 1, :2], axis=-1)
    for env in range(20):
        (acting,) = np.nonzero(push[:, env])
        runs = np.split(acting, np.nonzero(np.diff(acting) > 1)[0] + 1)
        assert all(len(r) == 2 for r in runs[:-1]), "0.2 s of 0.1 s"
        for run in runs:
            assert len(np.unique(push[run, env])) == 1
    some = push[push > 0]
    assert 5.0 <= some.min() < 5.2 and 8.8 < some.max() <= 9.001


def test_a_force_may_lift_and_twist_as_well(model, monkeypatch):
    section = {**SECTIONS["force_push"], "vertical": 2.0, "torque": [0.5, 0.6]}
    plain = play(model, "force_push").force[:, :, 1]
    monkeypatch.setitem(SECTIONS, "force_push", section)
    force = play(model, "force_push").force[:, :, 1]
    np.testing.assert_array_equal(force[..., :2], plain[..., :2])
    acting = force[np.abs(plain).any(axis=-1)]
    assert 1.9 < np.abs(acting[:, 2]).max() <= 2.0 and abs(acting[:, 2].mean()) < 0.1
    twist = np.linalg.norm(acting[:, 3:], axis=1)
    assert 0.499 <= twist.min() < 0.51 and 0.59 < twist.max() <= 0.601
    assert np.abs(acting[:, 3:].mean(axis=0)).max() < 0.05, "about any axis"
    assert not force[~np.abs(plain).any(axis=-1)].any()


def test_a_model_without_a_free_joint_cannot_be_pushed():
    fixed = mujoco.MjModel.from_xml_string(SMALL.replace('<freejoint name="root"/>', ""))
    term = EVENTS.build({"type": "jump", **SECTIONS["jump"]}, "events.x")
    with pytest.raises(UserError, match="no free joint"):
        term.bind(fixed)
    with pytest.raises(UserError, match=r"interval=\[2.0, 1.0\]"):
        EVENTS.build({"type": "jump", "height": [0, 1], "interval": [2, 1]}, "events.x")
