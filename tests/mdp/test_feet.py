import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.feet import FeetFrames, FeetTerm
from ksim_cli.mdp.sensors import FORCES
from tests.legged import LEGGED, MASS, bound, posed, stand, view_of


class Moving(FeetFrames):
    motion = True


class Pressed(FeetTerm):
    wanted = FORCES


def test_bodies_and_geoms_are_feet_in_the_order_they_are_named():
    term, model = bound(FeetTerm(feet=("right_toe", "left_foot")))
    view = view_of(posed(model))
    # The toe is 0.08 m before the foot's frame, which is 0.48 m below the trunk at 0.5 m.
    wanted = [[0.08, -0.1, 0.02], [0.0, 0.1, 0.02]]
    np.testing.assert_allclose(term.frames.position(view), wanted, atol=1e-6)


def test_a_body_touches_with_any_of_its_geoms():
    term, model = bound(FeetTerm(feet=("left_foot", "right_heel", "trunk")))
    assert term.contacts.touching(view_of(stand(model))).tolist() == [True, True, False]


def test_velocities_are_those_of_the_frames():
    term, model = bound(Moving(feet=("left_foot", "right_toe")))
    spin = [0, 0, 0, 0, 0, 2.0, 0, 0, 0, 0]
    view = view_of(posed(model, qvel=spin))
    # Turning at 2 rad/s about the vertical through the trunk: v = w x r.
    np.testing.assert_allclose(term.velocity(view), [[-0.2, 0, 0], [0.2, 0.16, 0]], atol=1e-6)
    contact = mujoco.mjtSensor.mjSENS_CONTACT
    assert not (model.sensor_type == contact).any(), "it asked for no contacts"


def test_the_forces_on_all_feet_carry_the_robot():
    term, model = bound(Pressed(feet=("left_foot", "right_foot")))
    force = np.asarray(term.contacts.force(view_of(stand(model))))
    np.testing.assert_allclose(force[:, 2].sum(), 9.81 * MASS, rtol=0.02)


@pytest.mark.parametrize(
    ("name", "message"),
    [("hoof", "no body .or geom. 'hoof'"), ("left_thigh", "no geom of 'left_thigh' collides")],
)
def test_what_is_no_foot_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        FeetTerm(feet=(name,)).edit(mujoco.MjSpec.from_string(LEGGED))
