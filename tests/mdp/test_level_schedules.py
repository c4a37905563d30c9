import jax.numpy as jnp
import numpy as np
import pytest

from ksim_cli.mdp import register_terms
from ksim_cli.registry import EVENTS, NOISES, REWARDS, SCALES

register_terms()
LEVELS = jnp.array([0.0, 0.25, 1.0])
WANTED = {
    "constant": [1.0, 1.0, 1.0],
    "linear": [0.0, 0.25, 1.0],
    "quadratic": [0.0, 0.0625, 1.0],
    "square_root": [0.0, 0.5, 1.0],
    "non_zero": [0.0, 1.0, 1.0],
}


def test_every_scale_by_hand():
    assert set(SCALES.names()) == set(WANTED)
    for name, wanted in WANTED.items():
        scale = SCALES.build({"type": name}, "scale")
        np.testing.assert_allclose(scale(LEVELS), wanted)


@pytest.mark.parametrize("name", [n for n in WANTED if n != "constant"])
def test_ramps_go_from_one_factor_to_another(name):
    scale = SCALES.build({"type": name, "at_zero": 4.0, "at_one": 2.0}, "scale")
    np.testing.assert_allclose(scale(LEVELS), 4.0 - 2.0 * np.array(WANTED[name]))


def test_scales_stand_in_sections_by_name_or_with_parameters():
    reward = REWARDS.build({"type": "stay_alive", "scale": "quadratic"}, "rewards.x")
    np.testing.assert_allclose(reward.scale(LEVELS), WANTED["quadratic"])
    noise = NOISES.build(
        {"type": "additive_gaussian", "std": 1.0, "scale": {"type": "constant", "value": 3.0}}, "n"
    )
    np.testing.assert_allclose(noise.scale(LEVELS), [3.0, 3.0, 3.0])
    push = {"type": "linear_push", "interval": [1, 2], "speed": [0, 1], "scale": "non_zero"}
    assert EVENTS.build(push, "events.x").scale is not None
