"""What a backend keeps of MJX's data between steps; Warp's own is tested in test_warp_engine.py."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.mjx_backends import PUBLIC, JaxBackend, make_backend
from ksim_cli.physics.mjx_import import mjx
from tests.helpers import SMALL

N = 3


@pytest.fixture(scope="module")
def backend():
    model = mujoco.MjModel.from_xml_string(SMALL)
    return make_backend("jax", EngineSpec(model, N, frozenset({"sensordata", "cinert"})))


def test_only_what_is_viewed_is_kept_of_the_private_fields(backend):
    assert isinstance(backend, JaxBackend) and dict(backend.buffer_sizes) == {}
    assert "sensordata" in PUBLIC and "cinert" not in PUBLIC
    packed = backend.packed()
    assert set(packed._impl) == {"cinert"}
    assert backend.field(packed, "cinert") is packed._impl["cinert"]
    assert backend.field(packed, "sensordata") is packed.sensordata


def test_every_leaf_of_what_is_kept_can_be_given_per_environment(backend):
    packed = jax.tree.map(lambda x: jnp.broadcast_to(x, (N, *jnp.shape(x))), backend.packed())
    again = backend.pack(backend.unpack(packed))
    for a, b in zip(jax.tree.leaves(packed), jax.tree.leaves(again), strict=True):
        assert a.shape[0] == N
        np.testing.assert_array_equal(a, b)
    assert not backend.overflows(packed).any() and backend.overflows(packed).shape == (N,)
    assert jax.tree.structure(backend.unpack(packed)) == jax.tree.structure(
        mjx.make_data(mujoco.MjModel.from_xml_string(SMALL), impl="jax")
    )


def test_a_field_that_mjx_does_not_have_is_refused():
    model = mujoco.MjModel.from_xml_string(SMALL)
    with pytest.raises(
        UserError, match=r"a term reads view\.efc_fancy, which MJX does not compute"
    ):
        make_backend("jax", EngineSpec(model, N, frozenset({"efc_fancy"})))
