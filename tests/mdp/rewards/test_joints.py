"""Rewards of joints, worked out by hand on the legged robot."""

import mujoco
import numpy as np

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
