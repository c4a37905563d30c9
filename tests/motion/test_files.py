import json

import h5py
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.hdf5 import write_arrays
from ksim_cli.io.datasets import EpisodeWriter
from ksim_cli.motion.files import read_motions, read_points, write_motion
from ksim_cli.motion.loading import load_clip, load_clips
from tests.motion.motions import NAMES, arrays_of, legged, walking


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
def test_what_was_written_is_read(tmp_path, suffix):
    model, clip, path = legged(), walking(turn=1.0), tmp_path / f"walk{suffix}"
    write_motion(path, [clip], model)
    (raw,) = read_motions(path)
    assert raw.joint_names == NAMES
    assert raw.joint_types == ("free", *["hinge"] * 4)
    read = load_clip(path, model)
    assert read.fps == clip.fps and read.notes == ()
    np.testing.assert_allclose(read.qpos, clip.qpos, atol=1e-15)
    np.testing.assert_array_equal(read.qvel, clip.qvel)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"is written as \.npz"):
        write_motion(tmp_path / "walk.bvh", [walking()], legged())
    (tmp_path / "walk.bvh").write_text("HIERARCHY")
    with pytest.raises(UserError, match=r"ends in '\.bvh', and motions in \.npz"):
        read_motions(tmp_path / "walk.bvh")
    with pytest.raises(UserError, match="no such file"):
        read_motions(tmp_path / "walk.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qpos": None}, "it has no qpos. It has: fps, joint_names"),
        ({"qpos": np.zeros(3)}, r"its qpos is float64 of shape \[3\]"),
        ({"qpos": np.full((3, 2), "x")}, "its qpos is <U1"),
        ({"fps": None}, "it has no fps. Type motion.fps="),
        ({"fps": np.ones(2)}, "its fps is float64 of shape"),
        ({"qvel": np.zeros((3, 10))}, "its qvel has 3 frames, and qpos 21"),
        ({"joint_names": np.arange(5)}, "its joint_names is int64 of shape"),
        ({"joint_types": np.array(["hinge"])}, "5 joint_names and 1 joint_types"),
        ({"joint_types": np.array(["screw"] * 5)}, "its joint_types hold 'screw'"),
        ({"qpos": np.array([[{}]], object)}, "allow_pickle=False"),
    ],
)
def test_files_that_are_wrong_are_refused(tmp_path, changes, message):
    arrays = {**arrays_of(walking()), **changes}
    np.savez(tmp_path / "x.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(UserError, match=rf"x\.npz: .*{message}"):
        read_motions(tmp_path / "x.npz")


def test_a_csv_counts_quaternions_x_first_and_its_columns_by_its_header(tmp_path):
    row = [0.1, 0.2, 0.5, 0.0, 0.0, np.sin(0.3), np.cos(0.3), 0.4, -0.2]
    lines = ["x,y,z,qx,qy,qz,qw,right_knee, left_hip", *[",".join(map(str, row))] * 3]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    (raw,) = read_motions(tmp_path / "x.csv", fps=30.0)
    assert raw.joint_names == ("root", "right_knee", "left_hip") and raw.fps == 30.0
    np.testing.assert_allclose(raw.qpos[2, 3:7], [np.cos(0.3), 0.0, 0.0, np.sin(0.3)])
    clip = load_clip(tmp_path / "x.csv", legged(), fps=30.0)
    np.testing.assert_allclose(clip.qpos[0, 7:], [-0.2, 0.0, 0.0, 0.4])
    assert clip.notes == ("not in it, held at home: left_knee, right_hip",)


def test_a_csv_without_a_header_has_the_models_joints_or_those_that_are_typed(tmp_path):
    values = walking().qpos[:, [0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10]]
    np.savetxt(tmp_path / "x.csv", values, delimiter=",")
    clip = load_clip(tmp_path / "x.csv", legged(), fps=50.0)
    np.testing.assert_allclose(clip.qpos, walking().qpos, atol=1e-12)
    joints = ["right_hip", "right_knee", "left_hip", "left_knee"]
    crossed = load_clip(tmp_path / "x.csv", legged(), fps=50.0, joints=joints)
    np.testing.assert_allclose(crossed.qpos[:, 7:], walking().qpos[:, [9, 10, 7, 8]], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "fps", "joints", "message"),
    [
        ("1,2,3,0,0,0,1", None, (), "Type motion.fps="),
        ("1,2,3", 30.0, (), "3 columns: the root's"),
        ("1,2,3,0,0,0,1,5", 30.0, ("a", "b"), "8 columns, and 7 of the root and 2 joints"),
        ("1,2,3,0,0,0,1\n1,2", 30.0, (), "column"),
        ("1,2,3,0,0,0,1\n1,2,3,0,0,0,x", 30.0, (), "'x'"),
        ("", 30.0, (), r"\S"),
    ],
)
def test_csvs_that_are_wrong_are_refused(tmp_path, text, fps, joints, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=rf"x\.csv: .*{message}"):
        read_motions(tmp_path / "x.csv", fps, joints)


def dataset(folder, episodes=2, names=True):
    """Episodes of the walk as `ksim collect` writes them."""
    clip, steps = walking(), 21
    ends = np.zeros((steps, episodes), bool)
    ends[-1] = True
    qpos, qvel = (
        np.repeat(x[:, None], episodes, 1).astype(np.float32) for x in (clip.qpos, clip.qvel)
    )
    qpos[:, 1, 1] = 7.0
    rows = {
        "observations": np.zeros((steps, episodes, 3), np.float32),
        "actions": np.zeros((steps, episodes, 4), np.float32),
        "rewards": np.zeros((steps, episodes), np.float32),
        "terminations": ends,
        "truncations": np.zeros_like(ends),
        "infos/qpos": qpos,
        "infos/qvel": qvel,
    }
    info = {"task": "legged", "ctrl_dt": 0.02, **({"joint_names": list(NAMES)} if names else {})}
    with EpisodeWriter(folder, 3, 4, "legged/x-v0", info) as writer:
        writer.add_rollout(rows, np.zeros((steps, episodes, 3), np.float32))


@pytest.mark.parametrize("names", [True, False])
def test_every_episode_of_a_dataset_is_a_motion(tmp_path, names):
    dataset(tmp_path / "walks", names=names)
    first, second = read_motions(tmp_path / "walks")
    assert (first.fps, first.name, second.name) == (50.0, "walks/episode_0", "walks/episode_1")
    assert first.joint_names == (NAMES if names else ())
    np.testing.assert_array_equal(first.qpos, walking().qpos.astype(np.float32))
    np.testing.assert_array_equal(first.qvel, walking().qvel.astype(np.float32))
    assert (second.qpos[:, 1] == 7.0).all()
    (tmp_path / "walks" / "data" / "metadata.json").unlink()
    with pytest.raises(UserError, match=r"no ctrl_dt\. Type motion\.fps="):
        read_motions(tmp_path / "walks")
    file = tmp_path / "walks" / "data" / "main_data.hdf5"
    assert len(read_motions(file, fps=25.0)) == 2


def test_datasets_that_are_wrong_are_refused(tmp_path):
    with pytest.raises(UserError, match="no dataset of ksim collect"):
        read_motions(tmp_path)
    dataset(tmp_path / "walks")
    with h5py.File(tmp_path / "walks" / "data" / "main_data.hdf5", "r+") as file:
        del file["episode_1/infos/qpos"]
    with pytest.raises(UserError, match="it has no qpos"):
        read_motions(tmp_path / "walks")
    metadata = tmp_path / "walks" / "data" / "metadata.json"
    metadata.write_text(json.dumps({"ksim": {"ctrl_dt": "fast"}}))
    with pytest.raises(UserError, match="its fps is"):
        read_motions(tmp_path / "walks")


def test_a_file_may_hold_several_motions_of_one_rate(tmp_path):
    model, clips = legged(), [walking(), walking(frames=31, turn=1.0)]
    write_motion(tmp_path / "two.npz", clips, model)
    read = load_clips(tmp_path / "two.npz", model)
    assert [clip.name for clip in read] == ["two.npz/0", "two.npz/1"]
    for one, other in zip(read, clips, strict=True):
        np.testing.assert_array_equal(one.qpos, other.qpos)
        np.testing.assert_array_equal(one.qvel, other.qvel)
    with pytest.raises(UserError, match="2 motions, and one is needed here"):
        load_clip(tmp_path / "two.npz", model)


@pytest.mark.parametrize("starts", [[1, 5], [0, 5, 5], [0, 21], [], [0.0, 5.0], [[0]], [0, -3]])
def test_starts_that_cannot_be_are_refused(tmp_path, starts):
    np.savez(tmp_path / "x.npz", **arrays_of(walking()), starts=np.array(starts))
    with pytest.raises(UserError, match=r"x\.npz: its starts are"):
        read_motions(tmp_path / "x.npz")


def keypoints():
    turns = np.zeros((3, 2, 4))
    turns[..., 0] = 1.05  # a quaternion that is nearly of length 1 is made so
    points = np.arange(18.0).reshape(3, 2, 3)
    names = np.array(["head", "toe"])
    return {"points": points, "point_names": names, "fps": 30, "quaternions": turns}


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_keypoints_are_read(tmp_path, suffix):
    path, arrays = tmp_path / f"kp{suffix}", keypoints()
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        write_arrays(path, {name: np.asarray(values) for name, values in arrays.items()})
    read = read_points(path)
    assert read is not None and read.names == ("head", "toe") and read.fps == 30.0
    assert read.name == path.name and read.rest is None and read.frames.quaternions is not None
    np.testing.assert_array_equal(read.frames.positions, arrays["points"])
    np.testing.assert_allclose(read.frames.quaternions[..., 0], 1.0)
    again = read_points(path, fps=25.0)
    assert again is not None and again.fps == 25.0
    write_motion(tmp_path / f"walk{suffix}", [walking()], legged())
    assert read_points(tmp_path / f"walk{suffix}") is None, "no keypoints"
    assert read_points(tmp_path / "gone.npz") is None


def spoilt(name, where, value):
    arrays = keypoints()
    arrays[name][where] = value
    return {name: arrays[name]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": np.zeros((3, 2))}, r"points is float64 of shape \[3, 2\], not \[F, 2, 3\]"),
        ({"points": np.zeros((3, 5, 3))}, "the 2 of point_names"),
        ({"points": np.zeros((1, 2, 3)), "quaternions": None}, r"1 frame\(s\) of points"),
        ({"point_names": None}, "it needs point_names"),
        ({"point_names": np.array(["toe", "toe"])}, "each once"),
        ({"fps": None}, "Type motion.fps="),
        ({"fps": 0}, "fps=0: must be above 0"),
        ({"quaternions": np.zeros((2, 2, 4))}, r"shape \[2, 2, 4\], not \[3, 2, 4\]"),
        (spoilt("points", (1, 1, 2), np.nan), r"points of 'toe' are \[9.0, 10.0, nan\] in frame 1"),
        (spoilt("points", (2, 0, 0), np.inf), "'head' .* in frame 2: must be finite"),
        (spoilt("quaternions", (2, 0), 0.0), "quaternions of 'head' .* frame 2: must be of length"),
        (spoilt("quaternions", (0, 1, 0), np.nan), "quaternions of 'toe' .* frame 0"),
    ],
)
def test_keypoints_that_are_wrong_are_refused(tmp_path, changes, message):
    arrays = {**keypoints(), **changes}
    np.savez(tmp_path / "x.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(UserError, match=rf"motion=.*x\.npz: .*{message}"):
        read_points(tmp_path / "x.npz")
