import jax
import mujoco
import numpy as np

from ksim_cli.physics.model_variants import MAX_EACH, MAX_VARIANTS, randomized_models
from tests.helpers import SMALL


class Edit:
    """A function of a model and random numbers as a randomizer."""

    def __init__(self, function, mode="startup"):
        self.function, self.mode = function, mode

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
    for a, b in zip(both.models, scaled.models, strict=True):
        # The first randomizer draws the same whatever stands beside it; the second adds to it.
        np.testing.assert_array_equal(np.delete(a.body_mass, 2), np.delete(b.body_mass, 2))
        assert a.body_mass[2] > b.body_mass[2]
    assert not np.array_equal(both.models[0].body_mass, both.models[1].body_mass)


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

    variant = randomized_models(model, {"double": Edit(double)}, 1, seed=0).models[0]
    compiled = mujoco.MjSpec.from_string(SMALL)
    for name in ("upper", "lower"):
        compiled.body(name).first_geom().mass *= 2.0
    wanted = compiled.compile()
    np.testing.assert_allclose(variant.body_subtreemass, wanted.body_subtreemass, rtol=1e-12)


def test_same_seed_same_models_and_no_more_than_the_cap():
    model = mujoco.MjModel.from_xml_string(SMALL)
    one = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    two = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    np.testing.assert_array_equal(one.models[1].body_mass, two.models[1].body_mass)
    many = randomized_models(model, {"scale": scale_mass}, 1000, seed=0)
    assert len(many.models) == MAX_VARIANTS


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
    masses = np.array([m.body_mass for m in variants.models]).reshape(MAX_EACH, MAX_EACH, -1)
    assert (masses[:, :, 1] == masses[:, :1, 1]).all()
    assert len(np.unique(masses[0, :, 2])) == MAX_EACH


def test_only_the_fields_that_differ_are_tabled():
    model = mujoco.MjModel.from_xml_string(SMALL)
    variants = randomized_models(model, {"scale": scale_mass}, 3, seed=0)
    tables = variants.differing(["body_mass", "body_subtreemass", "geom_size", "opt.gravity"])
    assert set(tables) == {"body_mass", "body_subtreemass"}
    assert tables["body_mass"].shape == (3, model.nbody)
