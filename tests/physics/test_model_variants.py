import jax
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.model_variants import MAX_EACH, MAX_VARIANTS, randomized_models
from ksim_cli.physics.mujoco_engine import MujocoEngine
from tests.helpers import SMALL


class Edit:
    """A function of a model and random numbers as a randomizer."""

    def __init__(self, function, mode="startup"):
        self.function, self.mode = function, mode

    def without_effect(self, model):
        return ""

    def __call__(self, model, rng):
        self.function(model, rng)


def _scale(model, rng):
    model.body_mass[:] *= rng.uniform(0.5, 2.0)


def _add(model, rng):
    model.body_mass[2] += rng.uniform(0.0, 1.0)


scale_mass, add_mass = Edit(_scale), Edit(_add)


def test_variants_compose_in_order_from_the_nominal_model_which_stays_as_it_was():
    model = mujoco.MjModel.from_xml_string(SMALL)
    nominal = model.body_mass.copy()
    both = randomized_models(model, {"scale": scale_mass, "add": add_mass}, 3, seed=0)
    scaled = randomized_models(model, {"scale": scale_mass}, 3, seed=0)
    np.testing.assert_array_equal(model.body_mass, nominal)
    a, b = both.values("body_mass"), scaled.values("body_mass")
    # The first randomizer draws the same whatever stands beside it; the second adds to it.
    np.testing.assert_array_equal(np.delete(a, 2, axis=1), np.delete(b, 2, axis=1))
    assert (a[:, 2] > b[:, 2]).all()
    assert not np.array_equal(a[0], a[1])


def test_each_randomizer_draws_numbers_of_its_own():
    model = mujoco.MjModel.from_xml_string(SMALL)
    drawn = {}

    def draw(name):
        return Edit(lambda model, rng: drawn.setdefault(name, rng.uniform()))

    randomized_models(model, {name: draw(name) for name in ("one", "two")}, 1, seed=0)
    randomized_models(model, {"other_seed": draw("other_seed")}, 1, seed=1)
    randomized_models(model, {"other_seed": draw("same_name")}, 1, seed=0)
    assert len(set(drawn.values())) == 4


def test_derived_constants_follow():
    model = mujoco.MjModel.from_xml_string(SMALL)

    def double(model, rng):
        model.body_mass[2:] *= 2.0

    variant = next(randomized_models(model, {"double": Edit(double)}, 1, seed=0).models())
    compiled = mujoco.MjSpec.from_string(SMALL)
    for name in ("upper", "lower"):
        compiled.body(name).first_geom().mass *= 2.0
    wanted = compiled.compile()
    np.testing.assert_allclose(variant.body_subtreemass, wanted.body_subtreemass, rtol=1e-12)


def test_same_seed_same_models_and_no_more_than_the_cap():
    model = mujoco.MjModel.from_xml_string(SMALL)
    one = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    two = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    np.testing.assert_array_equal(one.values("body_mass"), two.values("body_mass"))
    many = randomized_models(model, {"scale": scale_mass}, 1000, seed=0)
    assert len(many) == MAX_VARIANTS


def test_an_environment_keeps_its_startup_draw_and_changes_its_reset_draw():
    model = mujoco.MjModel.from_xml_string(SMALL)
    edits = {"scale": scale_mass, "add": Edit(_add, mode="reset")}
    variants = randomized_models(model, edits, 100, seed=0)
    assert (variants.num_startup, variants.num_reset) == (MAX_EACH, MAX_EACH)
    one, two = (np.asarray(variants.draw(jax.random.key(k), 100)) for k in (0, 1))
    assert (one // MAX_EACH).tolist() == [i % MAX_EACH for i in range(100)]
    np.testing.assert_array_equal(one // MAX_EACH, two // MAX_EACH)
    assert not np.array_equal(one % MAX_EACH, two % MAX_EACH)
    assert set(one % MAX_EACH) == set(range(MAX_EACH))
    # The same start-up draw scales body 1 alike, whatever the reset draw does to body 2.
    masses = variants.values("body_mass").reshape(MAX_EACH, MAX_EACH, -1)
    assert (masses[:, :, 1] == masses[:, :1, 1]).all()
    assert len(np.unique(masses[0, :, 2])) == MAX_EACH


def test_only_the_fields_that_differ_are_tabled():
    model = mujoco.MjModel.from_xml_string(SMALL)
    variants = randomized_models(model, {"scale": scale_mass}, 3, seed=0)
    assert {"body_mass", "body_subtreemass", "dof_M0"} <= set(variants.tables)
    assert not {"geom_size", "opt.gravity"} & set(variants.tables)
    assert variants.tables["body_mass"].shape == (3, model.nbody)


TETRAHEDRON = """<mujoco><asset>
  <mesh name="shell" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset>
  <worldbody><body name="one"><freejoint/>
    <geom type="mesh" mesh="shell" density="10"/><geom size="0.1" pos="0 0 0.5"/>
  </body></worldbody></mujoco>"""


def test_a_model_with_meshes_is_varied_without_them():
    model = mujoco.MjModel.from_xml_string(TETRAHEDRON)

    def larger(model, rng):
        model.geom_size[1] *= 2.0
        model.geom_aabb[1] *= 2.0
        model.body_mass[1] *= rng.uniform(1.0, 2.0)

    variants = randomized_models(model, {"larger": Edit(larger)}, 4, seed=0)
    assert not any("mesh" in name for name in variants.tables)
    # Boxes of the bodies come before those of the meshes, which are shared.
    bodies = int(model.body_bvhnum.sum())
    assert bodies < model.nbvh and variants.tables["bvh_aabb"].shape == (4, bodies, 6)
    engine = MujocoEngine(EngineSpec(model, 4, variants=variants))
    engine._host.choose(np.arange(4), np.arange(4))
    for i, variant in enumerate(variants.models()):
        whole = engine._host.batch.get_model(i)
        for name in ("bvh_aabb", "geom_size", "body_mass", "mesh_vert"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(variant, name))
        assert whole.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET
    assert not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET


def test_meshes_cannot_be_randomised():
    model = mujoco.MjModel.from_xml_string(TETRAHEDRON)

    def stretch(model, rng):
        model.mesh_vert[0, 0] += rng.uniform()

    with pytest.raises(UserError, match="changes 'mesh_vert', which all environments share"):
        randomized_models(model, {"stretch": Edit(stretch)}, 2, seed=0)


def test_what_mujoco_cannot_move_is_refused_with_the_randomizer_that_made_it():
    model = mujoco.MjModel.from_xml_string(SMALL)

    def spoil(model, rng):
        model.body_mass[1] *= np.nan

    edits = {"good": scale_mass, "bad": Edit(spoil), "add": add_mass}
    message = r"^randomization\.bad: body_mass of body 'ball' becomes nan$"
    with pytest.raises(UserError, match=message):
        randomized_models(model, edits, 2, seed=0)
