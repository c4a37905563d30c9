import numpy as np
import pytest

from ksim_cli.mdp.rewards import reference
from tests.motion.motions import about_z, following, on_the_motion, walking

ALL = [
    cls for cls in vars(reference).values() if getattr(cls, "__module__", "") == reference.__name__
]
ALL = [cls for cls in ALL if isinstance(cls, type)]


@pytest.mark.parametrize("kind", ALL, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("loop", [True, False])
def test_on_the_motion_each_is_one(kind, loop):
    term, model = following(kind(), [walking(turn=2.0), walking(frames=31)], loop)
    for clip, frame in ((0, 0), (0, 18), (1, 29), *([(0, 53)] if loop else [])):
        value, carry = term(on_the_motion(term, model, frame, clip), ())
        assert float(value) == pytest.approx(1.0, abs=1e-5) and carry == ()


def moved(kind, off, **given):
    """The reward where the positions are off, and its logarithm times sigma squared."""
    term, model = following(kind(**given), [walking()])
    value = float(term(on_the_motion(term, model, 3, off=off), ())[0])
    return -np.log(value) * term.sigma**2


def test_joints_are_off_by_their_root_mean_square():
    def off(qpos):
        qpos[7:11] += [0.3, 0.0, -0.1, 0.0]

    error = moved(reference.MotionJointPosition, off)
    assert error == pytest.approx((0.09 + 0.01) / 4, rel=1e-3)
    left = moved(reference.MotionJointPosition, off, joints=("left_*",))
    assert left == pytest.approx(0.09 / 2, rel=1e-3)


def test_the_base_is_off_in_the_world():
    def off(qpos):
        qpos[:3] += [0.3, 0.0, 0.1]
        qpos[3:7] = about_z(0.5)

    assert moved(reference.MotionBasePosition, off) == pytest.approx(0.1, rel=1e-3)
    height = moved(reference.MotionBasePosition, off, horizontal=False)
    assert height == pytest.approx(0.01, rel=1e-3)
    assert moved(reference.MotionBaseOrientation, off) == pytest.approx(0.25, rel=1e-3)


def test_bodies_are_seen_from_the_base():
    def carried(qpos):
        qpos[:3] += [3.0, 1.0, 0.2]
        qpos[3:7] = about_z(2.0)

    assert moved(reference.MotionBodyPosition, carried) == pytest.approx(0.0, abs=1e-6)

    def bent(qpos):
        qpos[8] += 0.1  # the foot moves on an arc about the knee, 0.24 m away

    chord = 2 * 0.24 * np.sin(0.05)
    error = moved(reference.MotionBodyPosition, bent, bodies=("left_foot", "right_foot"))
    assert error == pytest.approx(chord**2 / 2, rel=1e-2)
