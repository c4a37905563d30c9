"""`ksim retarget`, typed."""

import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import MotionConfig
from ksim_cli.motion.chosen import load_motions
from ksim_cli.motion.clip import Clip
from ksim_cli.motion.files import write_motion
from ksim_cli.motion.loading import load_clip
from ksim_cli.motion.points import frames_of, markers
from ksim_cli.paths import builtin_root
from ksim_cli.run import retarget
from tests.motion.motions import legged, walking
from tests.run.commands import ksim

POINTS = ("trunk", "left_shank", "right_shank", "left_foot", "right_foot", "left_hand")


@pytest.fixture
def folder(tmp_path):
    """A project whose task `model` is the legged robot; a motion of it, and its points."""
    model, clip = legged(), walking(turn=1.0)
    mujoco.mj_saveLastXML(str(tmp_path / "legged.xml"), model)
    write_motion(tmp_path / "walk.npz", [clip, walking(frames=9)], model)
    known = markers(model)
    frames = frames_of(model, [known[name] for name in POINTS[:-1]], clip.qpos)
    hand = frames.positions[:, :1] + 0.5
    turns = np.concatenate([frames.quaternions, frames.quaternions[:, :1]], axis=1)
    arrays = {"points": np.concatenate([frames.positions, hand], axis=1), "quaternions": turns}
    np.savez(tmp_path / "kp.npz", **arrays, point_names=np.array(POINTS), fps=50.0)
    return tmp_path


TASK = ("retarget", "task=model", "task.model=legged.xml")


def test_keypoints_become_a_motion_and_how_to_view_it_is_said(folder):
    typed = (*TASK, "motion=kp.npz", "out=clip.npz")
    done = ksim(*typed, "retarget.ground=false", cwd=folder, check=0)
    assert "scale 1, found" in done.stdout and "followed by nothing: left_hand" in done.stdout
    assert "following nothing: imu, left_sole" in done.stdout
    assert "largest rad" in done.stdout and "left_shank" in done.stdout
    assert "written: clip.npz, 0.4 s in 1 motion(s)" in done.stdout
    assert f"ksim view task=model task.model={folder}/legged.xml motion=clip.npz" in done.stdout
    read = load_clip(folder / "clip.npz", legged())
    np.testing.assert_allclose(read.qpos, walking(turn=1.0).qpos, atol=1e-3)
    assert read.fps == 50.0 and read.notes == ()
    with np.load(folder / "clip.npz") as arrays:
        assert arrays["joint_types"].tolist() == ["free", *["hinge"] * 4] and "qvel" in arrays
    assert not [*folder.glob(".clip*")]
    before = (folder / "clip.npz").read_bytes()
    again = ksim(*typed, cwd=folder, check=2)
    assert "out=clip.npz: is there already" in again.stderr
    assert (folder / "clip.npz").read_bytes() == before
    more = ("retarget.points={left_sole:left_hand,trunk:null}", "retarget.overwrite=true")
    more += ("retarget.weights.left_sole=0.5", "retarget.scale=1.5", "retarget.points.imu=trunk")
    done = ksim(*typed, *more, cwd=folder, check=0)
    assert "scale" not in done.stdout and "put onto the ground" in done.stdout
    assert (folder / "clip.npz").read_bytes() != before


def test_another_robots_motion_of_several_clips(folder):
    typed = ("motion=walk.npz", "motion_model=legged.xml", "out=clip.h5")
    done = ksim(*TASK, *typed, cwd=folder, check=0)
    assert "in 2 motion(s)" in done.stdout
    files = MotionConfig(files=[str(folder / "clip.h5")])
    motions = load_motions(files, legged(), 0.02)  # as ksim view motion= does
    assert motions is not None and [clip.num_frames for clip in motions.clips] == [21, 9]
    np.testing.assert_allclose(motions.clips[0].qpos, walking(turn=1.0).qpos, atol=0.05)


def test_onto_a_built_in_robot(folder):
    """The same robot stands for another; its joints come back."""
    file = builtin_root() / "tasks" / "quadruped" / "quadruped.xml"
    model = mujoco.MjModel.from_xml_path(str(file))
    qpos = np.repeat(model.key_qpos[:1], 5, axis=0)
    qpos[:, 7:] += 0.05 * np.arange(5)[:, None]
    clip = Clip("trot", 50.0, qpos, np.zeros((5, model.nv)))
    write_motion(folder / "trot.npz", [clip], model)
    typed = ("motion=trot.npz", f"motion_model={file}", "out=clip.npz")
    ksim("retarget", "task=quadruped", *typed, cwd=folder, check=0)
    read = load_clip(folder / "clip.npz", model)
    np.testing.assert_allclose(read.qpos[:, 7:], clip.qpos[:, 7:], atol=1e-3)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("motion=kp.npz", "out=: the file to write is not given. Type out=clip.npz"),
        ("motion=kp.npz out=clip.csv", "out=clip.csv: a motion is written as .npz, .h5, .hdf5"),
        ("motion=kp.npz out=none/clip.npz", "there is no folder none"),
        ("out=clip.npz", "ksim retarget takes one file. Type motion=FILE"),
        ("motion=[kp.npz,kp.npz] out=clip.npz", "ksim retarget takes one file"),
        ("motion=gone.npz out=clip.npz", "motion=gone.npz: no such file"),
        ("motion=walk.npz out=clip.npz", "holds no points. Type motion_model=FILE.xml"),
        ("motion=kp.npz motion_model=legged.xml out=clip.npz", "kp.npz holds keypoints"),
        ("motion=walk.npz motion_model=leged.xml out=clip.npz", "Did you mean 'legged.xml'"),
        ("motion=gone.npz motion_model=legged.xml out=clip.npz", "motion=gone.npz: no such file"),
        ("motion=kp.npz out=clip.npz retarget.points.trunc=trunk", "Did you mean 'trunk'"),
        ("motion=kp.npz out=clip.npz retarget.points.trunk=3", "retarget.points.trunk=3"),
        ("motion=kp.npz out=clip.npz retarget.scale=0", "retarget.scale=0.0: must be above 0"),
        ("motion=kp.npz out=clip.npz retarget.offset=[1]", "retarget.offset=[1.0]: needs three"),
        ("motion=kp.npz out=clip.npz retarget.weight.trunk=1", "retarget.weight"),
        ("motion=kp.npz out=clip.npz checkpoint=latest", "ksim retarget takes no run"),
    ],
)
def test_what_is_wrong_is_one_message_before_any_work(folder, monkeypatch, typed, message):
    monkeypatch.setattr(retarget, "solve", None)
    done = ksim(*TASK, *typed.split(), cwd=folder)
    assert done.returncode == 2 and message in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and not (folder / "clip.npz").exists()
    assert sum(line.startswith("ksim ") for line in done.stderr.splitlines()) == 1


def test_nothing_is_half_written(folder, monkeypatch):
    def fail(path, clips, model):
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(retarget, "write_motion", fail)
    done = ksim(*TASK, "motion=kp.npz", "out=clip.npz", cwd=folder, check=2)
    assert "No space left" in done.stderr
    assert not [*folder.glob("*clip*"), *folder.glob(".*clip*")]
