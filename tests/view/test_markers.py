import mujoco
import numpy as np
import pytest

from ksim_cli.types import Marker
from ksim_cli.view.markers import Markers, draw_ground, draw_markers
from tests.helpers import SMALL

BLUE, RED = (0.0, 0.0, 1.0, 0.5), (1.0, 0.0, 0.0, 1.0)
UP = np.array([np.cos(np.pi / 4), 0.0, -np.sin(np.pi / 4), 0.0])
"""Turns x upwards."""


@pytest.fixture
def scene():
    return mujoco.MjvScene(mujoco.MjModel.from_xml_string(SMALL), maxgeom=3)


def one(shape, size, quaternion=(1.0, 0.0, 0.0, 0.0), position=(1.0, 2.0, 3.0), rgba=BLUE):
    return Marker(shape, *(np.array(x, float) for x in (position, quaternion, size)), rgba)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [("sphere", mujoco.mjtGeom.mjGEOM_SPHERE), ("box", mujoco.mjtGeom.mjGEOM_BOX)],
)
def test_a_shape_stands_where_it_says(scene, shape, kind):
    draw_markers(scene, Markers.of((one(shape, (0.1, 0.2, 0.3), UP),)))
    (geom,) = scene.geoms[: scene.ngeom]
    assert geom.type == kind
    np.testing.assert_allclose(geom.pos, [1, 2, 3])
    sizes = [0.1] * 3 if shape == "sphere" else [0.1, 0.2, 0.3]
    np.testing.assert_allclose(geom.size, sizes, rtol=1e-6)
    np.testing.assert_allclose(geom.rgba, BLUE)
    np.testing.assert_allclose(np.array(geom.mat).reshape(3, 3)[:, 0], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize(("turn", "way"), [((1.0, 0, 0, 0), (1, 0, 0)), (UP, (0, 0, 1))])
def test_an_arrow_points_along_its_x_axis(scene, turn, way):
    draw_markers(scene, Markers.of((one("arrow", (2.0, 0.02, 0.02), turn, rgba=RED),)))
    (geom,) = scene.geoms[: scene.ngeom]
    assert geom.type == mujoco.mjtGeom.mjGEOM_ARROW
    np.testing.assert_allclose(np.array(geom.mat).reshape(3, 3)[:, 2], way, atol=1e-6)
    np.testing.assert_allclose(geom.pos, [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(geom.size[2], 2.0, rtol=1e-5)
    np.testing.assert_allclose(geom.rgba, RED)


def test_what_has_no_size_or_is_not_finite_is_left_out(scene):
    odd = (
        one("arrow", (0.0, 0.02, 0.02)),
        one("sphere", (0.1, 0.1, 0.1), position=(np.nan, 0, 0)),
        one("box", (np.inf, 1, 1)),
    )
    draw_markers(scene, Markers.of(odd))
    assert scene.ngeom == 0
    draw_markers(scene, Markers.of(()))
    assert scene.ngeom == 0


def test_there_is_room_for_so_many_and_no_more(scene):
    draw_markers(scene, Markers.of([one("sphere", (0.1, 0.1, 0.1))] * 5))
    assert scene.ngeom == 3
    draw_ground(scene, mujoco.MjModel.from_xml_string(SMALL), 0.0)
    assert scene.ngeom == 3


def test_those_of_one_frame_of_several():
    moving = Marker(
        "sphere",
        np.arange(6.0).reshape(2, 3),
        np.tile([1.0, 0, 0, 0], (2, 1)),
        np.ones((2, 3)),
        BLUE,
    )
    markers = Markers.of((moving, moving))
    assert markers.position.shape == (2, 2, 3)
    assert markers.at(1).position.tolist() == [[3, 4, 5]] * 2
    assert markers.at(1).colours.shape == (2, 4) and Markers.of(()).at(7).shapes == ()


def test_a_ground_has_a_height(scene):
    draw_ground(scene, mujoco.MjModel.from_xml_string(SMALL), -0.25)
    assert scene.geoms[0].type == mujoco.mjtGeom.mjGEOM_PLANE
    assert scene.geoms[0].pos[2] == pytest.approx(-0.25)
