import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.frames import bind_frames, frames_of
from tests.legged import LEGGED, posed, view_of


def test_frames_are_where_bodies_geoms_and_sites_are():
    model = mujoco.MjModel.from_xml_string(LEGGED)
    data = posed(model)
    frames = bind_frames(model, ["*_foot", "imu"])
    assert frames.kinds == ("body", "body", "site")
    wanted = [*(data.body(f"{side}_foot").xpos for side in ("left", "right"))]
    wanted.append(data.site("imu").xpos)
    np.testing.assert_allclose(frames.position(view_of(data)), wanted, atol=1e-6)
    toe = frames_of(model, [("geom", "left_toe")]).position(view_of(data))
    np.testing.assert_allclose(toe, jnp.asarray(data.geom("left_toe").xpos)[None], atol=1e-6)


def test_an_unknown_frame_is_refused():
    with pytest.raises(UserError, match="no site or body 'hand'"):
        bind_frames(mujoco.MjModel.from_xml_string(LEGGED), ["hand"])


def test_orientations_of_bodies_geoms_and_sites():
    model = mujoco.MjModel.from_xml_string(LEGGED)
    view = view_of(posed(model, [0, 0, 0.5, np.cos(0.3), 0, 0, np.sin(0.3), 0, 0.4, 0, 0]))
    named = [("body", "trunk"), ("geom", "left_toe"), ("site", "left_sole")]
    yaw, foot = [np.cos(0.3), 0, 0, np.sin(0.3)], view.xquat[model.body("left_foot").id]
    got = frames_of(model, named).quaternion(view)
    np.testing.assert_allclose(got, [yaw, foot, foot], atol=1e-6)
