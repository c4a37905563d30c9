import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.motion.motion_set import make_motion_set
from tests.motion.motions import about_z, legged, walking


def states(motions, clip, frames):
    """The moments of some frames of a clip, compiled."""
    each = jax.jit(jax.vmap(motions.state, in_axes=(None, 0)))
    return jax.device_get(each(jnp.int32(clip), jnp.asarray(frames, jnp.int32)))


def test_frames_are_those_of_the_clips():
    model, first, second = legged(), walking(), walking(frames=31, speed=-1.0)
    motions = make_motion_set(model, [first, second], 0.02)
    assert motions.lengths.tolist() == [21, 31] and motions.starts.tolist() == [0, 21]
    for i, clip in enumerate((first, second)):
        qpos, qvel = states(motions, i, range(clip.num_frames - 1))
        np.testing.assert_array_equal(qpos, clip.qpos[:-1].astype(np.float32))
        np.testing.assert_array_equal(qvel, clip.qvel[:-1].astype(np.float32))


def test_a_loop_carries_the_base_on():
    clip = walking(speed=0.5)
    motions = make_motion_set(legged(), [clip], 0.02)
    qpos, qvel = states(motions, 0, [0, 20, 45, 205])
    np.testing.assert_allclose(qpos[:, 0], 0.5 * 0.02 * np.array([0, 20, 45, 205]), rtol=1e-5)
    np.testing.assert_allclose(qpos[1, 7:], clip.qpos[0, 7:], atol=1e-6)
    np.testing.assert_allclose(qpos[3, 7:], clip.qpos[5, 7:], atol=1e-6)
    np.testing.assert_allclose(qvel[:, 0], 0.5, rtol=1e-5)


@pytest.mark.parametrize("turn", [1e-7, 0.3, 4.0, -9.0])
def test_a_loop_that_turns_goes_on_turning(turn):
    """Round by round in float64: x goes to R x + d."""
    clip = walking(turn=turn)
    clip.qpos[:, :2] += [0.3, -0.2]
    motions = make_motion_set(legged(), [clip], 0.02)
    angle = turn * 0.4
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = clip.qpos[-1, :2] - rotation @ clip.qpos[0, :2]
    where, velocity = clip.qpos[7, :2], clip.qvel[7, :2]
    for rounds in range(4):
        (qpos,), (qvel,) = states(motions, 0, [7 + 20 * rounds])
        np.testing.assert_allclose(qpos[:2], where, atol=1e-5)
        np.testing.assert_allclose(qvel[:2], velocity, atol=1e-5)
        expected = about_z(np.array(turn * 0.02 * 7 + angle * rounds))
        assert abs(qpos[3:7] @ expected) == pytest.approx(1.0, abs=1e-6)
        where, velocity = rotation @ where + offset, rotation @ velocity


def test_without_a_loop_the_last_frame_stays():
    clip = walking()
    motions = make_motion_set(legged(), [clip], 0.02, loop=False)
    qpos, _ = states(motions, 0, [19, 20, 21, 500])
    np.testing.assert_array_equal(qpos[1:], np.tile(clip.qpos[-1].astype(np.float32), (3, 1)))
    frames = jnp.array([19, 20, 21])
    assert motions.ended(jnp.zeros(3, jnp.int32), frames).tolist() == [False, True, True]
    looping = make_motion_set(legged(), [clip], 0.02)
    assert not looping.ended(jnp.zeros(3, jnp.int32), frames).any()


def test_moments_are_drawn_by_weight():
    motions = make_motion_set(legged(), [walking(), walking(frames=31)], 0.02, weights=(3.0, 1.0))
    assert motions.weights.tolist() == [0.75, 0.25]
    clips, frames = jax.vmap(motions.draw)(jax.random.split(jax.random.key(0), 4000))
    assert float((clips == 0).mean()) == pytest.approx(0.75, abs=0.03)
    assert int(frames[clips == 0].max()) == 19 and int(frames[clips == 1].max()) == 29
    assert int(frames.min()) == 0
    by_length = make_motion_set(legged(), [walking(), walking(frames=31)], 0.02)
    np.testing.assert_allclose(by_length.weights, [21 / 52, 31 / 52], rtol=1e-6)


def test_a_clip_of_one_step_is_refused():
    with pytest.raises(UserError, match=r"walk: 0\.02 s long; at least two control steps"):
        make_motion_set(legged(), [walking(frames=2)], 0.02)
