import numpy as np
import pytest

from ksim_cli.config.components import MotionConfig
from ksim_cli.errors import UserError
from ksim_cli.motion.chosen import load_motions
from ksim_cli.motion.files import write_motion
from tests.motion.motions import legged, walking


@pytest.fixture
def files(tmp_path):
    """A file of one motion, and one of two."""
    write_motion(tmp_path / "one.npz", [walking()], legged())
    write_motion(tmp_path / "two.npz", [walking(frames=31), walking(frames=11)], legged())
    return [str(tmp_path / "one.npz"), str(tmp_path / "two.npz")]


def test_files_are_loaded_in_their_order_and_weighed(files):
    motions = load_motions(MotionConfig(files=files, weights=[1.0, 3.0]), legged(), 0.02)
    assert [len(clips) for clips in motions.files] == [1, 2] and len(motions.clips) == 3
    np.testing.assert_allclose(motions.arrays.weights, [0.25, 0.75 * 0.75, 0.75 * 0.25], rtol=1e-6)
    assert motions.arrays.loop and motions.notes == []
    even = load_motions(MotionConfig(files=files), legged(), 0.02)
    np.testing.assert_allclose(even.arrays.weights, np.array([21, 31, 11]) / 63, rtol=1e-6)


def test_how_they_are_read_is_configured(files, tmp_path):
    given = MotionConfig(files=files[:1], fps=25.0, loop=False)
    motions = load_motions(given, legged(), 0.02)
    assert int(motions.arrays.lengths[0]) == 41 and not motions.arrays.loop
    values = walking().qpos[:, [0, 1, 2, 4, 5, 6, 3, 8, 7]]
    np.savetxt(tmp_path / "x.csv", values, delimiter=",")
    csv = MotionConfig(files=[str(tmp_path / "x.csv")], fps=50.0, joints=["left_knee", "left_hip"])
    motions = load_motions(csv, legged(), 0.02)
    np.testing.assert_allclose(motions.clips[0].qpos[:, 7:9], walking().qpos[:, 7:9], atol=1e-6)
    assert motions.notes == ["motion x.csv: not in it, held at home: right_hip, right_knee"]


def test_copies_are_read_in_place_of_files_and_give_the_same_to_the_bit(files, tmp_path):
    config = MotionConfig(files=files[:1], fps=30.0)
    motions = load_motions(config, legged(), 0.02)
    write_motion(tmp_path / "copy.npz", motions.files[0], legged())
    gone = MotionConfig(files=["gone.npz"], fps=30.0)
    again = load_motions(gone, legged(), 0.02, [tmp_path / "copy.npz"])
    np.testing.assert_array_equal(again.arrays.qpos, motions.arrays.qpos)
    np.testing.assert_array_equal(again.arrays.qvel, motions.arrays.qvel)
    with pytest.raises(UserError, match=r"motion=gone\.npz: no such file"):
        load_motions(gone, legged(), 0.02)


def test_none_is_none():
    assert load_motions(MotionConfig(), legged(), 0.02) is None
