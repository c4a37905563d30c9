import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.motion_term import motion_views
from ksim_cli.mdp.observations.reference import MotionBaseOrientationError
from ksim_cli.mdp.rewards.reference import MotionBasePosition, MotionBodyPosition
from ksim_cli.motion.motion_set import make_motion_set
from tests.legged import LEGGED, bound, posed, step_of
from tests.motion.motions import about_z, following, legged, on_the_motion, swaying, walking


def test_without_a_motion_it_is_said_what_to_type():
    with pytest.raises(UserError, match=r"there is none\. Type motion=FILE"):
        bound(MotionBasePosition())


def test_the_command_may_have_another_name_and_must_be_there():
    term, model = following(MotionBasePosition(command="dance"), [walking()])
    assert float(term(on_the_motion(term, model, 3), ())[0]) == pytest.approx(1.0)
    with pytest.raises(UserError, match="no command 'dance'"):
        term(step_of(posed(model)), ())


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.5, -3.0])
def test_the_orientation_error_is_the_turn_that_is_left(angle):
    term, model = following(MotionBaseOrientationError(), [walking()])

    def turn(qpos):
        qpos[3:7] = about_z(angle)

    step = on_the_motion(term, model, 4, off=turn)
    error = term.orientation_error(step.view, term.reference(step, 1))
    np.testing.assert_allclose(error, [0.0, 0.0, -angle], atol=2e-6)


def test_the_world_is_no_body():
    term, model = following(MotionBodyPosition(), [walking()])
    assert term.body_ids == tuple(range(1, model.nbody))
    assert term.table.shape == (21, model.nbody - 1, 3)


def test_a_base_that_does_not_float_is_found_too():
    cart = """<mujoco><option timestep="0.01"/><worldbody><body name="cart"><geom size="0.1"/>
    <joint name="x" type="slide" axis="1 0 0"/><body pos="0 0 -0.3"><geom size="0.05"/>
    <joint name="pole" axis="0 1 0"/></body></body></worldbody></mujoco>"""
    spec = mujoco.MjSpec.from_string(cart)
    term = MotionBasePosition()
    term.edit(spec)
    model = spec.compile()
    motions = swaying(model, 0.02)
    object.__setattr__(term, "motions", motions)
    term = term.bind(model)
    views = motion_views(model, motions, "xpos", "xquat", "sensordata")
    for frame in (2, 7):
        row = {name: value[frame + 1] for name, value in views.fields().items()}
        step = step_of(mujoco.MjData(model), {"motion": [0, frame]}, view=views.replace(**row))
        assert float(term(step, ())[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(term.tables["xpos"][:, 1, 0], motions.qpos[:, 0], atol=0.02)


def test_views_are_those_that_steps_leave():
    model = legged()
    motions = make_motion_set(model, [walking(speed=1.0)], 0.02)
    views = motion_views(model, motions, "xpos")
    # The bodies are where they were a physics step of 2 ms before.
    np.testing.assert_allclose(views.xpos[:, 1, 0], views.qpos[:, 0] - 0.002, atol=1e-6)
    assert mujoco.MjModel.from_xml_string(LEGGED).opt.timestep == 0.002
