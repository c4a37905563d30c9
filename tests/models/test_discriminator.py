import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ksim_cli.config.components import AMPConfig
from ksim_cli.errors import UserError
from ksim_cli.models.discriminator import Discriminator

CONFIG = AMPConfig(disc_groups=["gait", "base"], disc_hidden=[6, 5], disc_observation_clip=2.0)
SIZES = {"actor": 7, "base": 1, "gait": 2}


@pytest.fixture
def discriminator():
    return Discriminator(CONFIG, SIZES, nnx.Rngs(0))


def seen(gait, base):
    return {"actor": None, "gait": jnp.asarray(gait), "base": jnp.asarray(base)}


def test_it_sees_its_groups_before_and_after_a_step_normalised_and_clipped(discriminator):
    # Mean 1 and 0 and 3, deviation 1 and 2 and 0: of that no more than 1 / sqrt(1e-8) is made.
    both = seen([[0.0, -2.0], [2.0, 2.0]], [[3.0], [3.0]])
    discriminator.update_statistics(both, jnp.ones(2, bool))
    before, after = seen([1.0, 1.0], [3.0]), seen([9.0, -2.0], [2.9])
    got = discriminator.features(before, after)
    np.testing.assert_allclose(got, [0.0, 0.5, 0.0, 2.0, -1.0, -2.0], atol=1e-5)


def test_a_score_for_every_step(discriminator):
    features = jnp.ones((4, 3, 6))
    assert discriminator(features).shape == (4, 3)
    assert [layer.kernel.shape for layer in discriminator.network.layers] == [
        (6, 6),
        (6, 5),
        (5, 1),
    ]


def test_its_statistics_are_not_trained(discriminator):
    _, params, others = nnx.split(discriminator, nnx.Param, ...)
    assert len(jax.tree.leaves(params)) == 6 and len(jax.tree.leaves(others)) == 3


def test_a_group_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"algo.disc_groups: no observation is in the group 'gait'"):
        Discriminator(CONFIG, {"base": 1}, nnx.Rngs(0))
