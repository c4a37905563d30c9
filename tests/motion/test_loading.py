import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.motion.files import RawClip
from ksim_cli.motion.interpolation import differences
from ksim_cli.motion.loading import fit, load_clip, load_clips
from tests.motion.motions import NAMES, arrays_of, legged, walking


def raw(**changes):
    """The walk as a file holds it."""
    clip = walking()
    given = {"qpos": clip.qpos, "joint_names": NAMES, **changes}
    return RawClip("walk.npz", 50.0, **given)


def test_joints_are_ordered_by_name():
    clip = walking(turn=1.0)
    order = [0, 3, 1, 4, 2]
    columns = [*range(7), 9, 7, 10, 8]
    shuffled = raw(
        qpos=clip.qpos[:, columns],
        qvel=clip.qvel[:, [*range(6), 8, 6, 9, 7]],
        joint_names=tuple(NAMES[i] for i in order),
    )
    fitted = fit(shuffled, legged())
    np.testing.assert_allclose(fitted.qpos, clip.qpos, atol=1e-15)
    np.testing.assert_array_equal(fitted.qvel, clip.qvel)


def test_the_base_need_not_come_first_nor_have_the_models_name():
    clip = walking()
    last = raw(
        qpos=clip.qpos[:, [*range(7, 11), *range(7)]],
        joint_names=(*NAMES[1:], "floating_base"),
        joint_types=(*["hinge"] * 4, "free"),
    )
    np.testing.assert_allclose(fit(last, legged()).qpos, clip.qpos, atol=1e-15)
    unnamed = raw(joint_names=("pelvis", *NAMES[1:]))
    np.testing.assert_allclose(fit(unnamed, legged()).qpos, clip.qpos, atol=1e-15)


def test_velocities_that_are_not_given_are_differences():
    fitted = fit(raw(), legged())
    np.testing.assert_allclose(fitted.qvel, differences(legged(), fitted.qpos, 50.0))


def test_what_is_missing_is_at_home_and_what_is_surplus_left_out():
    clip = walking()
    fewer = raw(qpos=clip.qpos[:, :10], joint_names=NAMES[:4])
    fitted = fit(fewer, legged())
    assert fitted.notes == ("not in it, held at home: right_knee",)
    assert (fitted.qpos[:, 10] == 0.0).all() and (fitted.qvel[:, 9] == 0.0).all()
    more = raw(qpos=np.hstack([clip.qpos, clip.qpos[:, 7:8]]), joint_names=(*NAMES, "tail"))
    assert fit(more, legged()).notes == ("not in the model, left out: tail",)
    np.testing.assert_allclose(fit(more, legged()).qpos, clip.qpos, atol=1e-15)


def test_joints_beyond_their_range_are_said():
    wild = walking().qpos
    wild[3, 7] = 1.5
    fitted = fit(raw(qpos=wild), legged())
    assert fitted.beyond == {"left_hip": pytest.approx(0.5)}
    assert fitted.notes == ("beyond the joints' ranges (rad or m): left_hip by 0.5",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joint_names": NAMES[:4]}, "11 columns of qpos, and its 4 joints have 10"),
        ({"qpos": np.zeros((5, 3)), "joint_names": ()}, "and the model's 5 joints have 11"),
        ({"qvel": np.zeros((21, 9))}, "9 columns of qvel, and its 5 joints have 10"),
        ({"joint_names": ("root", "a", "a", "b", "c")}, "joint 'a' is named twice"),
        (
            {"qpos": np.zeros((5, 4)), "joint_names": NAMES[1:]},
            "has no motion of joint 'root'",
        ),
        ({"joint_names": ("root", *"abcd")}, "has no motion of joint 'left_hip'.*ksim retarget"),
        (
            {
                "qpos": np.zeros((5, 14)),
                "joint_types": ("free", "ball", "hinge", "hinge", "hinge"),
            },
            "joint 'left_hip' is a ball joint in it, and a hinge in the model",
        ),
        ({"qpos": np.full((5, 11), np.nan)}, "must be finite"),
    ],
)
def test_another_robots_motion_is_refused(changes, message):
    with pytest.raises(UserError, match=rf"motion=walk\.npz: .*{message}"):
        fit(raw(**changes), legged())


def test_a_file_is_loaded(tmp_path):
    np.savez(tmp_path / "walk.npz", **arrays_of(walking()))
    clip = load_clip(tmp_path / "walk.npz", legged())
    np.testing.assert_allclose(clip.qpos, walking().qpos, atol=1e-15)
    assert load_clip(tmp_path / "walk.npz", legged(), fps=25.0).fps == 25.0
    assert len(load_clips(tmp_path / "walk.npz", legged())) == 1
