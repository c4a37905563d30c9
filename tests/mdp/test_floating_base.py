"""The base of floating and fixed robots, against MuJoCo's own frames."""

import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.floating_base import BaseTerm
from tests.legged import LEGGED, bound, posed, view_of

FIXED = LEGGED.replace('<freejoint name="root"/>', "").replace("0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0 0")


def object_velocity(model, data, body):
    """Angular and linear velocity of a body's frame in the world, from MuJoCo."""
    out = np.zeros(6)
    kind = mujoco.mjtObj.mjOBJ_XBODY
    mujoco.mj_objectVelocity(model, data, kind, model.body(body).id, out, 0)
    return out[:3], out[3:]


def check(term, model, data, body):
    view, base = view_of(data), term.base
    angular, linear = object_velocity(model, data, body)
    rotation = data.body(body).xmat.reshape(3, 3)
    np.testing.assert_allclose(base.position(view), data.body(body).xpos, atol=1e-5)
    np.testing.assert_allclose(base.quaternion(view), data.body(body).xquat, atol=1e-5)
    np.testing.assert_allclose(base.linear_velocity(view), linear, atol=1e-4)
    np.testing.assert_allclose(base.angular_velocity(view), rotation.T @ angular, atol=1e-4)
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    ahead = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    np.testing.assert_allclose(base.heading_velocity(view), ahead @ linear, atol=1e-3)


def test_a_free_base():
    rng = np.random.default_rng(0)
    term, model = bound(BaseTerm())
    assert model.nsensor == 1, "the state tells everything: no sensor is added"
    for _ in range(5):
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        qpos = [*rng.normal(size=3), *quaternion, *rng.normal(size=4)]
        check(term, model, posed(model, qpos, rng.normal(size=10)), "trunk")


@pytest.mark.parametrize("xml", [LEGGED, FIXED], ids=["floating", "fixed"])
def test_a_body_that_is_named(xml):
    rng = np.random.default_rng(1)
    term, model = bound(BaseTerm(body="left_shank"), xml)
    for _ in range(5):
        qpos = np.array(model.key_qpos[0])
        qpos[-4:] = rng.normal(size=4)
        check(term, model, posed(model, qpos, rng.normal(size=model.nv)), "left_shank")


def test_a_fixed_base_is_its_first_body():
    term, model = bound(BaseTerm(), FIXED)
    check(term, model, posed(model), "trunk")


def test_an_unknown_body_lists_those_there_are():
    with pytest.raises(UserError, match=r"no body 'trunc'.*Did you mean 'trunk'"):
        bound(BaseTerm(body="trunc"))


def test_a_model_without_bodies_has_no_base():
    with pytest.raises(UserError, match="the model has no body"):
        bound(BaseTerm(), "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
