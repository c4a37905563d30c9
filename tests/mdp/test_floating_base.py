"""The base of floating and fixed robots, against MuJoCo's own frames."""

import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp.curricula import DistanceFromOrigin
from ksim_cli.mdp.floating_base import BaseTerm, FreeBaseTerm
from ksim_cli.mdp.inspect_terms import inspect_terms
from ksim_cli.mdp.stages import Staged
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.free_base import BASE_TEXT
from tests.legged import LEGGED, bound, posed, view_of
from tests.mdp.every_term import COMMANDS, SCENE, sections_of
from tests.motion.motions import swaying
from tests.robot import KINDS, make_env, make_mdp, rollout

FIXED = LEGGED.replace('<freejoint name="root"/>', "").replace("0 0 0.5 1 0 0 0 0 0 0 0", "0 0 0 0")

BALL = """<body name="ball" pos="1 0 0.1"><freejoint/><geom name="ball" size="0.1" mass="0.2"/></body>
          <body name="cube" pos="2 0 0.1"><freejoint/><geom type="box" size="0.1 0.1 0.1"/></body>"""


def before(xml):
    """The robot behind a ball and a cube."""
    keyed = xml.replace('qpos="', 'qpos="1 0 0.1 1 0 0 0 2 0 0.1 1 0 0 0 ')
    return keyed.replace('<body name="trunk"', BALL + '<body name="trunk"')


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


@pytest.fixture
def motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("motion.npz", qpos=np.zeros((1, 25)), qvel=np.zeros((1, 22)))


def base_terms(body):
    """All terms that look at, move or push a base, in the robot behind a ball and a cube."""
    given, chosen = {}, set()
    for kind in ("observations", "rewards", "terminations", "resets", "events", "commands"):
        given[kind] = sections_of(kind)
        for name, section in given[kind].items():
            of_base = issubclass(KINDS[kind].get(section["type"], name), BaseTerm | FreeBaseTerm)
            if of_base and "site" not in section:
                given[kind][name] = {**section, "body": body}
                chosen.add(f"{kind}.{name}")
    given["commands"] |= COMMANDS
    spec = mujoco.MjSpec.from_string(before(SCENE))
    mdp = make_mdp(**given).edit(spec, {})
    model = spec.compile()
    mdp = mdp.bind(model, swaying(model, 0.02))
    inspect_terms(model, mdp)
    terms = {where: term for where, term in mdp.each() if where in chosen}
    return model, {
        f"{where}, stage {i}": stage
        for where, term in terms.items()
        for i, stage in enumerate(term.variants if isinstance(term, Staged) else (term,))
    }


@pytest.mark.parametrize("base", ["trunk", "ball"])
def test_every_term_takes_the_robot_for_the_base_or_what_it_is_told(motion, base):
    model, terms = base_terms("" if base == "trunk" else base)
    assert len(terms) > 80
    body = model.body(base).id
    joint = model.jnt_bodyid.tolist().index(body)
    address = (model.jnt_qposadr[joint], model.jnt_dofadr[joint])
    for where, term in terms.items():
        if isinstance(term, FreeBaseTerm):
            assert (term.qpos_address, term.dof_address) == address, where
        else:
            assert (term.base.body, term.base.qpos, term.base.dof) == (body, *address), where


def test_observations_resets_and_pushes_of_the_base_leave_a_ball_alone():
    env = make_env(
        before(LEGGED),
        observations={
            "height": {"type": "base_height"},
            "acceleration": {"type": "base_linear_acceleration"},
        },
        resets={"up": {"type": "random_height", "range": [1.0, 1.0]}},
        events={"fast": {"type": "linear_push", "interval": [0.01, 0.01], "speed": [3.0, 3.0]}},
    )
    obs, results, _ = rollout(env, steps=4, size=0.0)
    assert (obs["critic"][:, :, 0] > 1.4).all()
    qpos = results.steps.view.qpos
    np.testing.assert_allclose(qpos[:, :, :2], [[[1.0, 0.0]] * 2] * 4, atol=1e-3)
    moved = np.linalg.norm(qpos[-1, :, 14:16], axis=1)
    np.testing.assert_allclose(results.distance[-1], moved, rtol=1e-5)
    assert (moved > 0.02).all()


def test_two_robots_and_no_choice_are_refused_where_a_base_is_needed():
    other = LEGGED.split("<worldbody>")[1].split("</worldbody>")[0].split('0.1" contype', 1)[1]
    other = other.split("/>", 1)[1]
    for name in ("trunk", "left", "right", "imu", "root"):
        other = other.replace(f'"{name}', f'"other_{name}')
    xml = LEGGED.replace("</worldbody>", f"{other}</worldbody>")
    xml = xml[: xml.index("<keyframe>")] + xml[xml.index("</keyframe>") + len("</keyframe>") :]
    height = {"height": {"type": "base_height"}}
    message = (
        r"observations.height: several bodies may be the base: trunk, other_trunk. Type task.ba"
    )
    with pytest.raises(UserError, match=message):
        make_env(xml, observations=height)
    with pytest.raises(UserError, match="curriculum: several bodies may be the base"):
        far = {"increase_threshold": 1.0, "decrease_threshold": 0.1}
        make_env(xml, curriculum={"type": "distance_from_origin", **far})
    # Nobody asks for a base: there is nothing to choose, and no distance is measured.
    _, results, _ = rollout(make_env(xml), steps=2)
    assert not results.distance.any()
    told = {"height": {"type": "base_height", "body": "other_trunk"}}
    assert make_env(xml, observations=told).mdp.observations["height"].base.qpos == 11
    spec = mujoco.MjSpec.from_string(xml)
    spec.add_text(name=BASE_TEXT, data="other_trunk")
    model = spec.compile()
    assert BaseTerm().bind(model).base.qpos == 11
    # A compiled model carries the choice as well.
    BaseTerm().edit(CompiledSpec(model))
    curriculum = DistanceFromOrigin(increase_threshold=1.0, decrease_threshold=0.1)
    assert curriculum.bind(model) is curriculum


def test_what_does_not_float_cannot_be_moved():
    term = FreeBaseTerm(body="left_foot")
    with pytest.raises(UserError, match="body 'left_foot' has no free joint: it cannot be moved"):
        bound(term)
    with pytest.raises(UserError, match=r"no body 'trnk' in the model. Did you mean 'trunk'"):
        bound(FreeBaseTerm(body="trnk"))
