import dataclasses

import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.motion.points import Frames, Points, conjugate, match, product, unmatched
from tests.motion.motions import legged


def test_what_matches_and_what_does_not():
    model = legged()
    points = Points("kp", 50.0, ("trunk", "left_sole", "nose"), Frames(np.zeros((2, 3, 3))))
    pairs = match(model, points, {"right_sole": "nose", "left_sole": None}, {"trunk": 2.0})
    assert [(p.marker.name, p.source, p.weight) for p in pairs] == [
        ("trunk", 0, 2.0),
        ("right_sole", 2, 1.0),
    ]
    ours, its = unmatched(model, points, pairs)
    assert "left_sole" in ours and "trunk" not in ours and its.endswith(": left_sole")
    nothing = dataclasses.replace(points, names=("a", "b", "c"))
    wrong = (
        (points, {"trunc": "nose"}, {}, "no body or site 'trunc'", "Did you mean 'trunk'"),
        (points, {"trunk": "noze"}, {}, "no point 'noze' in kp", "Did you mean 'nose'"),
        (points, {}, {"nose": 2.0}, "retarget.weights.nose: no point 'nose'", "trunk"),
        (points, {}, {"trunk": -1.0}, "retarget.weights.trunk=-1", "at least 0"),
        (nothing, {}, {}, "ours: imu, left_foot", "its: a, b, c"),
    )
    for given, listed, weights, *said in wrong:
        with pytest.raises(UserError) as error:
            match(model, given, listed, weights)
        for text in said:
            assert text in str(error.value)


def test_products_of_quaternions_are_mujocos():
    one, two = np.random.default_rng(0).normal(size=(2, 5, 4))
    for left, right, result in zip(one, two, product(one, two), strict=True):
        expected = np.zeros(4)
        mujoco.mju_mulQuat(expected, left, right)
        np.testing.assert_allclose(result, expected)
    np.testing.assert_array_equal(conjugate(np.arange(4.0)), [0.0, -1.0, -2.0, -3.0])
