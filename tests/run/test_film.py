import jax
import jax.numpy as jnp
import numpy as np

from ksim_cli.rl.rollout import random_policy
from ksim_cli.run.film import Film, Frame
from ksim_cli.types import Marker
from tests.helpers import tiny_cartpole
from tests.run.test_evaluate import NOTHING, evaluator

T = 6


def film(length=4):
    marker = Marker(
        "sphere", np.arange(3.0 * T).reshape(T, 3), np.ones((T, 4)), np.ones((T, 3)), (1, 0, 0, 1)
    )
    arrays = {name: np.arange(float(T)) for name in ("time", "reward")}
    each = {name: np.zeros((T, 2)) for name in ("qpos", "qvel", "action")}
    empty = {name: {} for name in ("rewards", "command_errors", "commands", "obs", "terminations")}
    return Film(Frame(markers=(marker,), **arrays, **each, **empty), length)


def test_what_is_after_the_end_is_cut_off():
    assert film().frames.time.tolist() == [0, 1, 2, 3]
    assert film().frames.markers[0].position.shape == (4, 3)


def test_frames_are_chosen_by_the_rate_of_the_video():
    assert film().shown(1.0, 100).tolist() == [0, 1, 2, 3]
    assert film().shown(2.0, 100).tolist() == [0, 2]
    assert film().shown(0.5, 100).tolist() == [0, 0, 1, 1, 2, 2, 3, 3], "slower than it was"
    assert film().shown(1.0, 2).tolist() == [0, 1], "no longer than asked"
    assert film(1).shown(7.0, 100).tolist() == [0], "there is always one"
    assert film().markers(np.array([0, 3])).position[:, 0, 0].tolist() == [0, 9]


def test_an_evaluation_films_the_very_steps_it_counts(monkeypatch):
    typed = ("terminations.time_limit.max_length_seconds=0.2",)
    plain = evaluator(random_policy(1), 3, *typed)(NOTHING, 0)
    filmed = evaluator(random_policy(1), 3, *typed, filmed=True)(NOTHING, 0)
    np.testing.assert_array_equal(plain.returns, filmed.returns)
    assert plain.film is None and filmed.film.length == filmed.lengths[0] == 20
    frames = filmed.film.frames
    np.testing.assert_allclose(frames.reward.sum(), filmed.returns[0], rtol=1e-6)
    np.testing.assert_allclose(frames.rewards["balance"], frames.reward, rtol=1e-6)
    np.testing.assert_allclose(frames.time, 0.01 * np.arange(1, 21), rtol=1e-5)
    assert frames.qpos.shape == (20, 2) and frames.obs["actor"].shape[0] == 20
    # It moves as its velocity says.
    np.testing.assert_allclose(
        np.diff(frames.qpos[:, 0]) / 0.01, frames.qvel[1:, 0], rtol=0.2, atol=0.02
    )
    assert tiny_cartpole().valid_pictures and jax.tree.leaves(frames.markers) == []
    assert jnp.asarray(frames.terminations["time_limit"]).tolist() == [False] * 19 + [True]
