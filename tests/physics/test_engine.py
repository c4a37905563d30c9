import jax
import jax.numpy as jnp
import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec, View, fields_read
from tests.helpers import SMALL


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SMALL)


def test_a_view_is_a_pytree_of_its_fields_in_name_order():
    view = View({"qvel": jnp.ones(3), "qpos": jnp.zeros(2)})
    assert [x.shape for x in jax.tree.leaves(view)] == [(2,), (3,)]
    doubled = jax.tree.map(lambda x: 2 * x, view)
    assert doubled.qvel.tolist() == [2.0, 2.0, 2.0]
    assert view.replace(qpos=jnp.ones(2)).qpos.tolist() == [1.0, 1.0]
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(view)]
    assert paths == ["['qpos']", "['qvel']"]


def test_a_field_that_is_not_viewed_is_named():
    with pytest.raises(AttributeError, match=r"no field 'xpos' in this view; it holds qpos"):
        _ = View({"qpos": jnp.zeros(2)}).xpos


def test_fields_read_finds_exactly_what_a_function_reads(model):
    def use(view):
        assert view.xpos.shape == (model.nbody, 3)
        assert view.time.shape == ()
        return view.qpos.sum() + view.sensordata[0]

    assert fields_read(model, use) == {"xpos", "time", "qpos", "sensordata"}


def test_a_field_mujoco_does_not_have_is_refused(model):
    with pytest.raises(UserError, match="Did you mean 'qpos'"):
        fields_read(model, lambda view: view.qpso)


def test_viewed_always_holds_what_bookkeeping_needs(model):
    spec = EngineSpec(model=model, num_envs=2, fields=frozenset({"xpos", "qpos"}))
    assert spec.viewed() == ("qpos", "qvel", "time", "xpos")
