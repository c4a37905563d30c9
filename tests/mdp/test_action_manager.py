"""What lies between an action and the torques; see `tests.point`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp.action_filters import IntegrateVelocity, LowPass
from ksim_cli.mdp.actuators import Position, Torque
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.observations.joints import JointPosition
from tests.point import DT, Damper, PlaceAt, Spring, WhenTold, make, play, positions

X = Torque(joints=("x",))


def speeds(results):
    return results.steps.view.qvel[:, :, 0].tolist()


def force(engine=None, substeps=4, actions=((1.0,), (2.0,), (3.0,)), **terms):
    """The mean force of each control step, from the change of the point's velocity (1 kg)."""
    env = make(substeps=substeps, engine=engine, actuators={"x": X}, **terms)
    results, _ = play(env, [list(a) for a in actions])
    velocity = np.array(speeds(results))[:, 0]
    return (np.diff(velocity, prepend=0.0) / (substeps * DT)).tolist()


def test_without_latency_an_action_acts_at_once():
    assert force() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("updates", "wanted"),
    [
        # An action that is L updates late leaves L of 4 updates to the one before; the first
        # action of an episode has none before but rest.
        (1.0, [0.75, 1.75, 2.75]),
        (4.0, [0.0, 1.0, 2.0]),
        (6.0, [0.0, 0.5, 1.5]),
        # Half an update late: one update is half and half.
        (0.5, [0.875, 1.875, 2.875]),
        (0.0, [1.0, 2.0, 3.0]),
    ],
)
def test_a_late_action_leaves_that_many_updates_to_the_one_before(updates, wanted):
    assert force(engine={"action_latency_range": [updates * DT] * 2}) == wanted


def test_latency_scales_with_the_level():
    late = {"action_latency_range": [2 * DT, 2 * DT]}
    assert force(engine=late, curriculum=Constant(level=0.5)) == [0.75, 1.75, 2.75]
    assert force(engine=late, curriculum=Constant(level=0.0)) == [1.0, 2.0, 3.0]


def test_latency_is_drawn_once_per_episode_from_its_range():
    env = make(
        num_envs=500,
        substeps=4,
        engine={"action_latency_range": [DT, 3 * DT]},
        actuators={"x": X},
    )
    results, _ = play(env, jnp.ones((3, 500, 1)) * jnp.array([0.0, 1.0, 2.0])[:, None, None])
    velocity = results.steps.view.qvel[:, :, 0] / DT
    # A latency of L updates delays each rise of the force by L updates: 4 - L, then 4 + 4 - L.
    late = 4.0 - velocity[1]
    np.testing.assert_allclose(velocity[2] - velocity[1], 8.0 - late, atol=1e-4)
    assert 1.0 <= late.min() < 1.1 and 2.9 < late.max() <= 3.0


def test_a_new_episode_does_not_remember_the_last_ones_actions():
    late = {"action_latency_range": [4 * DT, 4 * DT]}
    told = ((1.0,), (11.0,), (3.0,), (0.0,))
    env = make(substeps=4, engine=late, actuators={"x": X}, terminations={"end": WhenTold()})
    results, _ = play(env, [list(a) for a in told])
    # 0, then 1 N for 2 s; a new episode: 0, then 3 N for 2 s.
    assert speeds(results) == [[0.0], [2.0], [0.0], [6.0]]


def test_a_lost_action_leaves_the_last_one():
    env = make(num_envs=400, engine={"drop_action_prob": 0.25}, actuators={"x": X})
    results, _ = play(env, jnp.ones((20, 400, 1)) * jnp.arange(1.0, 21.0)[:, None, None])
    forces = np.diff(np.array(speeds(results)), axis=0, prepend=np.zeros((1, 400))) / DT
    sent = np.arange(1.0, 21.0)[:, None]
    lost = forces != sent
    assert abs(lost.mean() - 0.25) < 0.02  # five standard errors
    before = np.concatenate([np.zeros((1, 400)), forces[:-1]])
    np.testing.assert_array_equal(forces[lost], before[lost])
    quiet = make(
        num_envs=4,
        engine={"drop_action_prob": 0.9},
        actuators={"x": X},
        curriculum=Constant(level=0.0),
    )
    results, _ = play(quiet, jnp.ones((5, 4, 1)))
    assert (np.diff(np.array(speeds(results)), axis=0) == DT).all()


@pytest.mark.parametrize("per_joint", [False, True])
def test_all_joints_lose_an_action_together_unless_each_by_itself(per_joint):
    config = {"drop_action_prob": 0.5, "drop_action_per_joint": per_joint}
    results, _ = play(make(num_envs=300, engine=config), jnp.ones((1, 300, 2)))
    moved = results.steps.view.qvel[0] > 0
    assert abs(moved[:, 0].mean() - 0.5) < 0.15
    assert (moved[:, 0] == moved[:, 1]).all() != per_joint


def test_a_zero_offset_moves_what_actuators_and_encoders_see():
    env = make(
        num_envs=2000,
        engine={"zero_offset_std": 0.1, "zero_offset_mag": 0.3},
        actuators={"all": Spring()},
        observations={"x": JointPosition()},
    )
    results, obs = play(env, jnp.zeros((1, 2000, 2)))
    seen = obs["critic"][0]  # the point is at 0: what is seen is minus the offset
    np.testing.assert_allclose(seen.std(axis=0), np.sqrt(0.1**2 + 0.3**2 / 3), rtol=0.1)
    assert abs(np.corrcoef(seen.T)[0, 1]) < 0.1
    # The spring pulls to where its encoder reads 0: force = -seen, v = 0.5 s * force.
    np.testing.assert_allclose(results.steps.view.qvel[0], -0.5 * seen, atol=1e-6)
    again = play(env, jnp.zeros((1, 2000, 2)), key=1)[1]["critic"][0]
    assert not np.array_equal(seen, again)


def test_torques_are_held_between_two_updates():
    # v += 0.5 (1 - v) each 0.5 s: 0.5, 0.75, ...; held for two physics steps: 1, then 1.
    every = make(substeps=4, actuators={"x": Damper(joints=("x",))})
    held = make(
        substeps=4, engine={"actuator_update_dt": 1.0}, actuators={"x": Damper(joints=("x",))}
    )
    assert speeds(play(every, [[1.0]])[0]) == [[0.9375]]
    assert speeds(play(held, [[1.0]])[0]) == [[1.0]]


def test_filters_work_on_their_actuators_part_in_order():
    slow = Torque(
        joints=("x",),
        filters=(IntegrateVelocity(scale=2.0), LowPass(cutoff_frequency=1e6)),
    )
    env = make(actuators={"slow": slow, "y": Torque(joints=("y",))})
    results, _ = play(env, [[1.0, 8.0], [1.0, 8.0]])
    # x: targets 2 * 1 * 0.5 = 1, then 2: v = 0.5, 1.5. y: 8 N throughout.
    np.testing.assert_allclose(results.steps.view.qvel[:, 0], [[0.5, 4.0], [1.5, 8.0]], rtol=1e-6)


def test_latency_and_filters_start_where_the_joints_are():
    # A spring at rest where it is: an episode begins without a jerk towards zero.
    term = Position(kp=10.0, kd=0.0, joints=("x",))
    late = {"action_latency_range": [DT, DT]}
    place = {"at": PlaceAt(at=(2.0, 0.0))}
    env = make(substeps=2, engine=late, actuators={"x": term}, resets=place)
    results, _ = play(env, [[2.0]])
    assert positions(results)[0][0] == 2.0


def test_carries_keep_their_structure():
    config = {"action_latency_range": [0.0, DT], "drop_action_prob": 0.1, "zero_offset_std": 0.1}
    env = make(engine=config)
    state = jax.eval_shape(env.init, jax.random.key(0))
    after, _ = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct((1, 2), jnp.float32))
    assert jax.tree.structure(state) == jax.tree.structure(after)
