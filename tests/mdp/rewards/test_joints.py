"""Rewards of joints, worked out by hand on the legged robot."""

import dataclasses

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.registry import REWARDS
from tests.legged import LEGGED, bound, posed, step_of

register_terms()
DRIVEN = LEGGED.replace(
    "<sensor>",
    """<actuator>
         <motor joint="right_knee"/><motor joint="left_hip"/>
       </actuator><sensor>""",
)


def value(section, joints=(0, 0, 0, 0), speeds=(0, 0, 0, 0), xml=LEGGED, ctrl=None):
    term, model = bound(REWARDS.build(section, "rewards.x"), xml)
    data = posed(model, [0, 0, 0.5, 1, 0, 0, 0, *joints], [0, 0, 0, 0, 0, 0, *speeds])
    if ctrl is not None:
        data.ctrl[:] = ctrl
        mujoco.mj_forward(model, data)
    return float(term(step_of(data), term.init(None))[0])


def test_torques_are_found_by_joint_whatever_the_actuators_order():
    # The first actuator drives the right knee: 4 N m; the second the left hip: -2 N m.
    both = value({"type": "torque"}, xml=DRIVEN, ctrl=[4.0, -2.0])
    np.testing.assert_allclose(both, (16 + 4) / 4, rtol=1e-5)
    hip = value({"type": "torque", "joints": ["left_hip"]}, xml=DRIVEN, ctrl=[4.0, -2.0])
    np.testing.assert_allclose(hip, 4.0, rtol=1e-5)


def test_energy_is_power_in_and_power_braked():
    # |4 * -3| + |-2 * 0.5| W; each torque meets its own joint's speed.
    watts = value({"type": "energy"}, speeds=(0.5, 9, 9, -3), xml=DRIVEN, ctrl=[4.0, -2.0])
    np.testing.assert_allclose(watts, 13.0, rtol=1e-5)


def test_deviation_from_home_with_weights():
    # (2 * 0.3^2 + 0.1^2) / 4.
    section = {"type": "joint_deviation", "joint_weights": {"*_hip": 2.0}}
    np.testing.assert_allclose(value(section, (0.3, 0.1, 0, 0)), 0.19 / 4, rtol=1e-4)
    keyed = LEGGED.replace("1 0 0 0 0 0 0 0", "1 0 0 0 0.3 0 0 0")
    np.testing.assert_allclose(
        value({"type": "joint_deviation"}, (0.3, 0.1, 0, 0), xml=keyed), 0.01 / 4, rtol=1e-4
    )


def test_limits_are_narrowed():
    # Hips in [-1, 1]: 80 % is [-0.8, 0.8]; knees in [-0.5, 1.5]: [-0.3, 1.3].
    section = {"type": "joint_limits", "factor": 0.8}
    np.testing.assert_allclose(value(section, (0.9, -0.4, -0.7, 1.2)), 0.1 + 0.1, rtol=1e-4)
    assert value(section, (0.79, -0.29, -0.79, 1.29)) == 0.0
    free = LEGGED.replace('range="-1 1"', "")
    assert value({**section, "joints": ["left_hip"]}, (9.0, 0, 0, 0), xml=free) == 0.0


def test_pairs_are_compared_at_once():
    section = {"type": "pairwise_symmetry", "pairs": [["left_hip", "right_hip"]]}
    np.testing.assert_allclose(value(section, (0.3, 0, 0.1, 0)), 0.04, rtol=1e-4)
    mirrored = {**section, "signs": [-1]}
    np.testing.assert_allclose(value(mirrored, (0.3, 0, 0.1, 0)), 0.16, rtol=1e-4)


def test_a_symmetric_gait_evens_out_and_a_limp_does_not():
    section = {"type": "symmetry", "pairs": [["left_hip", "right_hip"]], "seconds": 0.5}
    term, model = bound(REWARDS.build(section, "rewards.x"))

    def after(seconds, pose):
        carry, value = term.init(None), 0.0
        for i in range(round(seconds / 0.02)):
            joints = pose(0.02 * i)
            value, carry = term(step_of(posed(model, [0, 0, 0.5, 1, 0, 0, 0, *joints])), carry)
        return float(value)

    walk = after(3.0, lambda t: (0.3 * np.sin(40 * t), 0, -0.3 * np.sin(40 * t), 0))
    limp = after(3.0, lambda t: (0.3, 0, 0.1, 0))
    # The mean of the limp's difference, 0.2, is reached to 1 - exp(-6).
    np.testing.assert_allclose(limp, (0.2 * (1 - np.exp(-6))) ** 2, rtol=1e-3)
    assert walk < 0.1 * limp
    # The first step by hand: share 1 - exp(-0.02 / 0.5) of a difference of 0.2.
    first = (0.2 * (1 - np.exp(-0.04))) ** 2
    np.testing.assert_allclose(after(0.02, lambda t: (0.3, 0, 0.1, 0)), first, rtol=1e-3)


def test_weights_and_norms_of_torques():
    # 4 at the right knee and -2 at the left hip, which weighs 0.25 (the reference's scale 2).
    section = {"type": "torque", "joint_weights": {"left_hip": 0.25}}
    np.testing.assert_allclose(value(section, xml=DRIVEN, ctrl=[4.0, -2.0]), (16 + 1) / 4)
    absolute = {**section, "norm": "l1"}
    np.testing.assert_allclose(value(absolute, xml=DRIVEN, ctrl=[4.0, -2.0]), (4 + 0.5) / 4)
    section = {"type": "joint_deviation", "norm": "l1"}
    np.testing.assert_allclose(value(section, (0.3, -0.1, 0, 0)), 0.1, rtol=1e-5)


def test_only_what_goes_in_is_paid_for():
    # 4 * -3 W are braked away; -2 * -0.5 = 1 W goes in, and weighs 3.
    section = {"type": "energy", "positive_only": True, "joint_weights": {"left_hip": 3.0}}
    watts = value(section, speeds=(-0.5, 9, 9, -3), xml=DRIVEN, ctrl=[4.0, -2.0])
    np.testing.assert_allclose(watts, 3.0, rtol=1e-5)


def test_beyond_the_limits_of_velocity_and_torque():
    section = {"type": "joint_velocity_limits", "limit": {"*_hip": 1.0, "right_knee": 2.0}}
    # 0.5 and 0.3 beyond; the left knee has no limit.
    np.testing.assert_allclose(value(section, speeds=(1.5, 99, -0.9, -2.3)), 0.8, rtol=1e-5)
    torques = value({"type": "torque_limits", "limit": 1.5}, xml=DRIVEN, ctrl=[4.0, -2.0])
    np.testing.assert_allclose(torques, 2.5 + 0.5, rtol=1e-5)


def at_speed(section, linear, angular, joints):
    term, model = bound(REWARDS.build(section, "rewards.x"))
    told = {"linear_velocity": linear, "angular_velocity": angular}
    step = step_of(posed(model, [0, 0, 0.5, 1, 0, 0, 0, *joints]), told)
    return float(term(step, term.init(None))[0])


def test_standing_still_is_at_home():
    section, joints = {"type": "stand_still"}, (0.3, -0.1, 0, 0)
    np.testing.assert_allclose(at_speed(section, [0, 0], [0], joints), 0.1, rtol=1e-5)
    assert at_speed(section, [0, 0.1], [0], joints) == 0.0
    squared = {**section, "norm": "l2", "threshold": 0.5}
    np.testing.assert_allclose(at_speed(squared, [0, 0.1], [0], joints), 0.025, rtol=1e-5)


@pytest.mark.parametrize(
    ("linear", "angular", "stds"),
    [
        ([0.0, 0.0], [0.0], (0.1, 0.2)),
        ([0.3, 0.4], [0.0], (0.5, 0.2)),
        ([0.3, 0.4], [-1.5], (1.0, 1.0)),
    ],
)
def test_posture_is_freer_the_faster(linear, angular, stds):
    # At 0, 0.5 and 2 (m/s and rad/s); the knee walks as it stands, for no table says otherwise.
    section = {
        "type": "posture",
        "joints": ["left_*"],
        "std": {"*_hip": 0.1, "*_knee": 0.2},
        "std_walking": {"left_hip": 0.5},
        "std_running": 1.0,
    }
    wanted = np.exp(-((0.1 / stds[0]) ** 2 + (0.3 / stds[1]) ** 2) / 2)
    got = at_speed(section, linear, angular, (0.1, -0.3, 9, 9))
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_a_joint_without_a_deviation_is_free():
    section = {"type": "posture", "std": {"*_hip": 0.1}}
    got = at_speed(section, [9, 0], [0], (0.1, 5, 0, 5))
    np.testing.assert_allclose(got, np.exp(-1 / 4), rtol=1e-5)


def test_targets_beyond_what_a_joint_reaches():
    section = {"type": "action_reach", "max_velocity": 5.0, "max_acceleration": 100.0}
    term, model = bound(REWARDS.build({**section, "scale_of_action": 0.5}, "rewards.x"))
    term = dataclasses.replace(term, action_size=4)
    carry, values = term.init(None), []
    for hip in (0.2, 0.3):
        data = posed(model, [0, 0, 0.5, 1, 0, 0, 0, hip, 0, 0, 0])
        step = step_of(data, action=jnp.array([1.0, -0.5, 0.2, 0.0]))
        value, carry = term(step, carry)
        values.append(float(value))
    # Reach 5 * 0.02 + 100 * 0.02^2 / 2 = 0.12. Targets 0.5, -0.25, 0.1, 0 from 0.2, 0, 0, 0: 0.18
    # and 0.13 beyond. The position before the first step is not known.
    np.testing.assert_allclose(values, [0.0, 0.18**2 + 0.13**2], rtol=1e-4)
    with pytest.raises(UserError, match="4 joints and 0 elements of the action"):
        dataclasses.replace(term, action_size=0)(step, carry)
