import mujoco
import numpy as np
import pytest

from ksim_cli.physics.model_checks import complaint, object_name
from tests.helpers import SMALL

MODEL = mujoco.MjModel.from_xml_string(SMALL)


@pytest.mark.parametrize(
    ("field", "place", "value", "message"),
    [
        ("body_mass", 2, np.nan, "body_mass of body 'upper' becomes nan"),
        ("body_mass", 2, -0.5, "body_mass of body 'upper' becomes -0.5"),
        ("body_mass", 2, 0.0, "body_mass of body 'upper' becomes 0"),
        ("body_mass", 0, 0.0, ""),  # the world has none
        ("body_ipos", 2, np.inf, "body_ipos of body 'upper' becomes inf"),
        ("body_inertia", 1, (1.0, 2.0, 4.0), "'ball' becomes 1, 2, 4: of no body is one larger"),
        ("body_inertia", 1, (1.0, 2.0, 3.0), ""),
        ("dof_damping", 7, -1.0, "dof_damping of joint 'elbow' becomes -1"),
        ("dof_damping", 7, 0.0, ""),
        ("geom_friction", 0, -1.0, "geom_friction of geom 'floor' becomes -1"),
        ("geom_size", 1, 0.0, "geom_size of geom 'ball' becomes 0"),
        ("opt.timestep", (), 0.0, "opt.timestep becomes 0"),
    ],
)
def test_the_first_number_that_cannot_be_is_named(field, place, value, message):
    *holder, name = field.split(".")
    values = np.array(getattr(getattr(MODEL, holder[0]) if holder else MODEL, name))
    values[place] = value
    said = complaint(MODEL, {field: values})
    assert message in said if message else said == ""


def test_what_the_model_has_itself_is_its_own_affair():
    values = np.array(MODEL.geom_size)
    assert (values[0, 1:] > 0).all() and values[1, 1] == 0.0
    assert complaint(MODEL, {"geom_size": values}) == ""


def test_objects_without_a_name_go_by_their_number():
    assert object_name(MODEL, "geom_size", 1) == "geom 'ball'"
    assert object_name(MODEL, "geom_size", 2) == "geom 2"
    assert object_name(MODEL, "dof_damping", 6) == "joint 'shoulder'"
    assert object_name(MODEL, "bvh_aabb", 3) == "bvh 3"
