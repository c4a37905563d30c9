import dataclasses

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.motion.clip import (
    beyond_range,
    element_names,
    quaternion_addresses,
    refuse_unsound,
    with_unit_quaternions,
)
from tests.motion.motions import legged, walking


def test_a_sound_clip_passes():
    clip = walking(frames=21, fps=50.0)
    refuse_unsound(clip, legged())
    assert clip.num_frames == 21 and clip.seconds == pytest.approx(0.4)


def changed(clip, field, index, value):
    values = getattr(clip, field).copy()
    values[index] = value
    return dataclasses.replace(clip, **{field: values})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: changed(c, "qpos", (3, 8), np.nan),
            "qpos of joint 'left_knee' is nan in frame 3",
        ),
        (lambda c: changed(c, "qvel", (1, 5), np.inf), "qvel of joint 'root' is inf in frame 1"),
        (lambda c: changed(c, "qpos", (2, 0), 1e7), r"is 1e\+07 in frame 2"),
        (lambda c: changed(c, "qpos", (4, slice(3, 7)), 0.0), "'root' has length 0 in frame 4"),
        (lambda c: dataclasses.replace(c, fps=0.0), "fps=0: must be above 0"),
        (lambda c: dataclasses.replace(c, qpos=c.qpos[:1], qvel=c.qvel[:1]), r"1 frame\(s\)"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        refuse_unsound(change(walking()), legged())


def test_quaternions_become_one_long_and_do_not_jump():
    model = legged()
    qpos = walking(turn=3.0).qpos
    wild = qpos.copy()
    wild[5:9, 3:7] *= -1.0
    wild[:, 3:7] *= 1.05
    np.testing.assert_allclose(with_unit_quaternions(wild, model), qpos, atol=1e-12)
    assert quaternion_addresses(model) == [3]


def test_what_is_beyond_a_range_is_measured():
    qpos = walking().qpos
    qpos[4, 7], qpos[5, 8] = 1.25, -0.7
    beyond = beyond_range(qpos, legged())
    assert beyond == {"left_hip": pytest.approx(0.25), "left_knee": pytest.approx(0.2)}
    assert beyond_range(walking().qpos, legged()) == {}


def test_elements_have_their_joints_names():
    assert element_names(legged())[6:9] == ["root", "left_hip", "left_knee"]
    assert element_names(legged(), velocities=True)[5:7] == ["root", "left_hip"]
