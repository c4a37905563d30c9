import mujoco
import numpy as np

from ksim_cli.physics.randomized import MAX_VARIANTS, randomized_models
from tests.helpers import SMALL


def scale_mass(model, rng):
    model.body_mass[:] *= rng.uniform(0.5, 2.0)


def add_mass(model, rng):
    model.body_mass[2] += rng.uniform(0.0, 1.0)


def test_variants_compose_in_order_from_the_nominal_model_which_stays_as_it_was():
    model = mujoco.MjModel.from_xml_string(SMALL)
    nominal = model.body_mass.copy()
    both = randomized_models(model, {"scale": scale_mass, "add": add_mass}, 3, seed=0)
    scaled = randomized_models(model, {"scale": scale_mass}, 3, seed=0)
    np.testing.assert_array_equal(model.body_mass, nominal)
    for a, b in zip(both, scaled, strict=True):
        # The first randomizer draws the same whatever stands beside it; the second adds to it.
        np.testing.assert_array_equal(np.delete(a.body_mass, 2), np.delete(b.body_mass, 2))
        assert a.body_mass[2] > b.body_mass[2]
    assert not np.array_equal(both[0].body_mass, both[1].body_mass)


def test_each_randomizer_draws_numbers_of_its_own():
    model = mujoco.MjModel.from_xml_string(SMALL)
    drawn = {}

    def draw(name):
        return lambda model, rng: drawn.setdefault(name, rng.uniform())

    randomized_models(model, {name: draw(name) for name in ("one", "two")}, 1, seed=0)
    randomized_models(model, {"other_seed": draw("other_seed")}, 1, seed=1)
    randomized_models(model, {"other_seed": draw("same_name")}, 1, seed=0)
    assert len(set(drawn.values())) == 4


def test_derived_constants_follow():
    model = mujoco.MjModel.from_xml_string(SMALL)

    def double(model, rng):
        model.body_mass[2:] *= 2.0

    variant = randomized_models(model, {"double": double}, 1, seed=0)[0]
    compiled = mujoco.MjSpec.from_string(SMALL)
    for name in ("upper", "lower"):
        compiled.body(name).first_geom().mass *= 2.0
    wanted = compiled.compile()
    np.testing.assert_allclose(variant.body_subtreemass, wanted.body_subtreemass, rtol=1e-12)


def test_same_seed_same_models_and_no_more_than_the_cap():
    model = mujoco.MjModel.from_xml_string(SMALL)
    one = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    two = randomized_models(model, {"scale": scale_mass}, 2, seed=3)
    np.testing.assert_array_equal(one[1].body_mass, two[1].body_mass)
    assert len(randomized_models(model, {"scale": scale_mass}, 1000, seed=0)) == MAX_VARIANTS
