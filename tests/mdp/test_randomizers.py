"""Every registered randomizer: what it changes, and that derived constants follow."""

import copy
import re
from operator import attrgetter

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import batch

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.physics.engine import EngineSpec
from ksim_cli.physics.model_variants import VARIED, randomized_models, restore_frames
from ksim_cli.physics.mujoco_engine import MujocoEngine
from ksim_cli.physics.robot import home_pose
from ksim_cli.registry import RANDOMIZERS
from tests.helpers import SMALL
from tests.legged import LEGGED

register_terms()
ROBOT = LEGGED.replace(
    '<joint damping="0.5" armature="0.01"/>',
    '<joint damping="0.5" armature="0.01" frictionloss="0.2"/>',
).replace(
    "<sensor>",
    """<actuator><position joint="left_hip" kp="20" kv="2"/><position joint="right_hip" kp="20"/>
    <motor joint="left_knee"/></actuator><sensor>""",
)
DERIVED = {
    "actuator_acc0",
    "body_subtreemass",
    "body_invweight0",
    "dof_invweight0",
    "dof_M0",
    "bvh_aabb",
    "dof_length",
}
# Section, and the constants that it may change besides derived ones.
TABLE = {
    "pd_gains": (
        {"kp": [0.5, 2.0], "kd": [0.5, 2.0], "joints": ["*_hip"]},
        {"actuator_gainprm", "actuator_biasprm"},
    ),
    "static_friction": ({"scale": [0.5, 2.0]}, {"dof_frictionloss"}),
    "joint_damping": ({"scale": [0.5, 2.0], "joints": ["*_knee"]}, {"dof_damping"}),
    "armature": ({"scale": [0.5, 2.0]}, {"dof_armature"}),
    "floor_friction": ({"scale": [0.5, 2.0]}, {"geom_friction"}),
    "mass_addition": ({"body": "trunk", "range": [-1.0, 2.0]}, {"body_mass", "body_inertia"}),
    "mass_multiplication": (
        {"body": "trunk", "scale": [0.5, 2.0]},
        {"body_mass", "body_inertia"},
    ),
    "all_bodies_mass_multiplication": ({"scale": [0.5, 2.0]}, {"body_mass", "body_inertia"}),
    "all_inertias": ({"scale": [0.5, 2.0]}, {"body_inertia"}),
    "center_of_mass": ({"body": "trunk", "range": 0.05}, {"body_ipos", "body_sameframe"}),
    "all_centers_of_mass": ({"range": 0.05}, {"body_ipos", "body_sameframe"}),
    "imu_alignment": (
        {"site": "imu", "max_angle": 0.1, "max_offset": 0.01},
        {"site_quat", "site_pos", "site_sameframe"},
    ),
    "collision_bodies": (
        {"geoms": ["*_toe"], "scale": [0.5, 2.0]},
        {"geom_size", "geom_rbound", "geom_aabb"},
    ),
}


@pytest.fixture
def model():
    return mujoco.MjModel.from_xml_string(ROBOT)


def build(kind, **changes):
    return RANDOMIZERS.build({"type": kind, **TABLE[kind][0], **changes}, "randomization.x")


def variants(model, count=40, seed=0, **terms):
    bound = {name: term.bind(model) for name, term in terms.items()}
    return [copy.copy(m) for m in randomized_models(model, bound, count, seed).models()]


def constants(model):
    """All constants by name, those of the options left out."""
    names = (n for n in batch.MODEL_FIELDS if not n.startswith("opt."))
    return {name: np.array(getattr(model, name)) for name in names}


def test_every_randomizer_is_tried_here():
    assert set(RANDOMIZERS.names()) == set(TABLE)


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_it_changes_what_it_says_from_the_nominal_value(model, kind):
    nominal = constants(model)
    made = [constants(m) for m in variants(model, term=build(kind))]
    for name, value in constants(model).items():
        np.testing.assert_array_equal(value, nominal[name], err_msg=f"{name} of the nominal")
    changed = {
        name
        for name, value in nominal.items()
        if any(not np.array_equal(m[name], value) for m in made)
    }
    allowed = TABLE[kind][1]
    assert changed - DERIVED <= allowed, changed
    assert (allowed - {"body_sameframe", "site_sameframe"}) <= changed
    again = [constants(m) for m in variants(model, term=build(kind))]
    other = [constants(m) for m in variants(model, seed=1, term=build(kind))]
    for name in changed:
        np.testing.assert_array_equal(made[7][name], again[7][name])
    assert any(not np.array_equal(made[7][name], other[7][name]) for name in changed)


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_variants_are_bitwise_those_of_whole_copies_of_the_model(model, kind):
    terms = {name: build(kind).bind(model) for name in ("once", "twice")}
    made = randomized_models(model, terms, 5, seed=3)
    for draw, variant in enumerate(made.models()):
        whole = copy.copy(model)
        for name, term in terms.items():
            term(whole, np.random.default_rng([3, draw, *name.encode()]))
        mujoco.mj_setConst(whole, mujoco.MjData(whole))
        restore_frames(whole, model)
        for name in VARIED:
            got, wanted = (np.asarray(attrgetter(name)(m)) for m in (variant, whole))
            np.testing.assert_array_equal(got, wanted, err_msg=name)
    assert len(made) == 5 and sum(t.nbytes for t in made.tables.values()) < 5 * 10_000


def ratios(model, kind, field, **changes):
    """Randomised over nominal values, of every variant."""
    nominal = np.asarray(getattr(model, field))
    made = variants(model, count=64, term=build(kind, **changes))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([getattr(m, field) / nominal for m in made])


@pytest.mark.parametrize(
    ("kind", "field", "where"),
    [
        ("static_friction", "dof_frictionloss", slice(6, 10)),
        ("joint_damping", "dof_damping", [7, 9]),
        ("armature", "dof_armature", slice(6, 10)),
    ],
)
def test_each_joint_has_its_own_factor(model, kind, field, where):
    factors = ratios(model, kind, field)[:, where]
    assert 0.5 <= factors.min() < 0.6 and 1.9 < factors.max() <= 2.0
    assert abs(np.corrcoef(factors[:, 0], factors[:, 1])[0, 1]) < 0.5
    base = ratios(model, kind, field)[:, :6]
    assert not (base[np.isfinite(base)] != 1.0).any(), "the free joint is no joint of a motor"


def test_friction_is_scaled_and_not_set(model):
    model.geom_friction[:, 0] = 0.6
    factors = ratios(model, "floor_friction", "geom_friction")[..., 0]
    collide = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    assert (factors[:, collide] == factors[:, collide][:, :1]).all()
    assert factors[:, collide].min() >= 0.5 and factors[:, collide].max() <= 2.0
    assert (factors[:, ~collide] == 1.0).all()


def test_inertia_grows_with_mass(model):
    trunk = model.body("trunk").id
    for kind in ("mass_addition", "mass_multiplication", "all_bodies_mass_multiplication"):
        mass = ratios(model, kind, "body_mass")[:, trunk]
        inertia = ratios(model, kind, "body_inertia")[:, trunk]
        np.testing.assert_allclose(inertia, mass[:, None] * np.ones(3), rtol=1e-12)
    added = ratios(model, "mass_addition", "body_mass")[:, trunk] * 3.0 - 3.0
    assert -1.0 <= added.min() < -0.7 and 1.7 < added.max() <= 2.0
    others = np.delete(ratios(model, "mass_addition", "body_mass"), [0, trunk], axis=1)
    assert (others == 1.0).all()


def compiled(edit):
    spec = mujoco.MjSpec.from_string(ROBOT)
    edit(spec)
    return spec.compile()


@pytest.mark.parametrize("kind", ["mass_multiplication", "armature", "center_of_mass"])
def test_derived_constants_agree_with_a_model_compiled_with_those_numbers(model, kind):
    variant = variants(model, term=build(kind))[3]

    def edit(spec):
        for body in list(spec.bodies)[1:]:
            index = model.body(body.name).id
            body.explicitinertial = True
            body.mass = variant.body_mass[index]
            body.ipos = variant.body_ipos[index]
            body.iquat = variant.body_iquat[index]
            body.inertia = variant.body_inertia[index]
        for joint in spec.joints:
            dof = int(model.jnt_dofadr[model.joint(joint.name).id])
            joint.armature = variant.dof_armature[dof]

    wanted = compiled(edit)
    for name in ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0"):
        np.testing.assert_allclose(
            getattr(variant, name), getattr(wanted, name), rtol=1e-8, err_msg=name
        )
    # And they move alike.
    datas = [mujoco.MjData(m) for m in (variant, wanted)]
    for data in datas:
        data.qvel[:] = 0.3
        mujoco.mj_step(data.model, data, 20)
    np.testing.assert_allclose(datas[0].qpos, datas[1].qpos, rtol=1e-6, atol=1e-9)


def test_two_of_them_on_one_field_compose_in_order(model):
    double = build("mass_multiplication", scale=[2.0, 2.0])
    add = build("mass_addition", range=[1.0, 1.0])
    trunk = model.body("trunk").id
    assert variants(model, a=double, b=add)[0].body_mass[trunk] == pytest.approx(2 * 3 + 1)
    assert variants(model, b=add, a=double)[0].body_mass[trunk] == pytest.approx(2 * (3 + 1))


def test_a_shifted_centre_of_mass_is_felt(model):
    variant = variants(model, term=build("center_of_mass"))[0]
    data = mujoco.MjData(variant)
    mujoco.mj_resetDataKeyframe(variant, data, 0)
    mujoco.mj_forward(variant, data)
    trunk = model.body("trunk").id
    np.testing.assert_allclose(data.xipos[trunk] - data.xpos[trunk], variant.body_ipos[trunk])
    shift = variant.body_ipos[trunk] - model.body_ipos[trunk]
    assert 0 < np.abs(shift).max() <= 0.05


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_the_engine_moves_each_variant_as_mujoco_moves_its_model(kind):
    term = build(kind)
    spec = mujoco.MjSpec.from_string(ROBOT)
    term.edit(spec)
    model = spec.compile()
    made = randomized_models(model, {"x": term.bind(model)}, 3, seed=0)
    engine = MujocoEngine(EngineSpec(model, 3, frozenset({"sensordata"}), variants=made))
    pose = np.array(home_pose(model))
    pose[2] -= 0.001
    qpos = jnp.tile(jnp.asarray(pose, jnp.float32), (3, 1))
    qvel = jnp.full((3, model.nv), 0.1)

    @jax.jit
    def run():
        prepared = engine.prepare(qpos, qvel, made.draw(jax.random.key(0), 3))
        state = engine.reset(engine.init(), jnp.ones(3, bool), prepared)
        return engine.view(engine.step(state, jnp.zeros((3, model.nu)), 20))

    view = run()
    for i, variant in enumerate(made.models()):
        data = mujoco.MjData(variant)
        data.qpos[:], data.qvel[:] = np.asarray(qpos[i]), np.asarray(qvel[i])
        mujoco.mj_forward(variant, data)
        mujoco.mj_step(variant, data, 20)
        for name in ("qpos", "qvel", "sensordata"):
            wanted = np.asarray(getattr(data, name), np.float32)
            np.testing.assert_array_equal(np.asarray(getattr(view, name)[i]), wanted)


@pytest.mark.parametrize(
    ("kind", "changes"), [("center_of_mass", {"body": "ball"}), ("all_centers_of_mass", {})]
)
def test_the_centre_of_a_body_on_its_own_can_be_moved(kind, changes):
    term = build(kind, **changes)
    spec = mujoco.MjSpec.from_string(SMALL)
    term.edit(spec)
    model = spec.compile()
    (variant,) = randomized_models(model, {"x": term.bind(model)}, 1, seed=0).models()
    assert np.abs(variant.body("ball").ipos).max() > 0


def test_an_imu_mounted_askew_measures_askew(model):
    angles = []
    for variant in variants(model, term=build("imu_alignment")):
        data = mujoco.MjData(variant)
        data.qvel[3:6] = [0.0, 0.0, 1.0]
        mujoco.mj_forward(variant, data)
        np.testing.assert_allclose(np.linalg.norm(data.sensordata[:3]), 1.0, rtol=1e-9)
        angles.append(2 * np.arccos(min(1.0, abs(variant.site("imu").quat[0]))))
    assert np.min(angles) > 0.0 and 0.08 < np.max(angles) <= 0.1 + 1e-9


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("armature", {"joints": ["knee"]}, "no hinge or slide joint 'knee'"),
        ("mass_addition", {"body": "chest"}, "no body 'chest'"),
        ("imu_alignment", {"site": "imo"}, "no site 'imo'.*Did you mean 'imu'"),
        ("collision_bodies", {"geoms": ["toe"]}, "no geom 'toe'"),
    ],
)
def test_unknown_names_are_refused(model, kind, changes, message):
    with pytest.raises(UserError, match=message):
        build(kind, **changes).bind(model)


def test_a_mode_is_one_of_two():
    with pytest.raises(UserError, match="mode=sometimes: is not one of startup, reset"):
        build("armature", mode="sometimes")


# Everything that can be zero, beside its like that is not.
ZEROS = """<mujoco>
  <asset><mesh name="shell" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset>
  <worldbody>
    <geom name="plane" type="plane" size="0 0 1"/>
    <geom name="ice" type="box" size="1 1 1" friction="0 0 0"/>
    <body name="full"><joint name="stiff" damping="1" armature="0.1" frictionloss="0.1"/>
      <geom name="ball" size="0.1" mass="1"/>
      <body name="frame"><site name="imu"/></body>
      <body name="hull" pos="1 0 0"><joint name="loose"/>
        <geom name="mesh" type="mesh" mesh="shell" mass="1"/></body>
    </body>
  </worldbody>
</mujoco>"""
ERROR, WARNING, SILENT = "error", "warning", "silent"


@pytest.mark.parametrize(
    ("kind", "changes", "outcome", "message"),
    [
        ("static_friction", {"joints": ["loose"]}, ERROR, "dof_frictionloss of joint 'loose'"),
        ("static_friction", {"joints": []}, WARNING, "dof_frictionloss of joint 'loose' stays"),
        ("joint_damping", {"joints": ["loose"]}, ERROR, "dof_damping of joint 'loose'"),
        ("joint_damping", {"joints": ["*"]}, WARNING, "dof_damping of joint 'loose' stays"),
        ("joint_damping", {"joints": ["stiff"]}, SILENT, ""),
        ("armature", {"joints": ["loose"]}, ERROR, "dof_armature of joint 'loose'"),
        ("armature", {}, WARNING, "dof_armature of joint 'loose' stays"),
        ("pd_gains", {"joints": []}, ERROR, "none of its joints is driven"),
        ("floor_friction", {"geoms": ["ice"]}, ERROR, "geom_friction of geom 'ice'"),
        ("floor_friction", {}, WARNING, "geom_friction of geom 'ice' stays"),
        ("floor_friction", {"geoms": ["plane", "mesh"]}, SILENT, ""),
        ("mass_addition", {"body": "frame"}, SILENT, ""),
        ("mass_addition", {"body": "frame", "range": [-1.0, 0.0]}, ERROR, "body_mass .*'frame'"),
        ("mass_addition", {"body": "hull", "range": [-0.5, 0.5]}, SILENT, ""),
        ("mass_addition", {"body": "full", "range": [-3.0, -2.0]}, ERROR, "'full' becomes 0"),
        ("mass_multiplication", {"body": "frame"}, ERROR, "body_mass of body 'frame'"),
        ("all_bodies_mass_multiplication", {}, SILENT, ""),
        ("all_inertias", {}, SILENT, ""),
        ("center_of_mass", {"body": "frame"}, ERROR, "body_ipos of body 'frame'"),
        ("center_of_mass", {"body": "hull"}, SILENT, ""),
        ("all_centers_of_mass", {}, SILENT, ""),
        ("imu_alignment", {}, SILENT, ""),
        ("collision_bodies", {"geoms": ["plane"]}, ERROR, "geom_size of geom 'plane'"),
        ("collision_bodies", {"geoms": ["mesh"]}, ERROR, "geom_size of geom 'mesh'"),
        ("collision_bodies", {"geoms": ["ball", "mesh"]}, WARNING, "of geom 'mesh' stays"),
    ],
)
def test_what_a_factor_of_zero_leaves_as_it_is_is_said_and_all_is_finite(
    kind, changes, outcome, message
):
    model = mujoco.MjModel.from_xml_string(ZEROS)
    term = build(kind, **changes).bind(model)
    if outcome == ERROR:
        with pytest.raises(UserError, match=f"^randomization.x: .*{message}"):
            randomized_models(model, {"x": term}, 30, seed=0)
        return
    made = randomized_models(model, {"x": term}, 30, seed=0)
    assert len(made.warnings) == (outcome == WARNING)
    if outcome == WARNING:
        assert made.warnings[0].startswith("randomization.x: ")
        assert re.search(message, made.warnings[0])
    assert made.tables and all(np.isfinite(table).all() for table in made.tables.values())
    for variant in made.models():
        data = mujoco.MjData(variant)
        mujoco.mj_step(variant, data, 3)
        assert np.isfinite(data.qpos).all() and not data.warning.number.any()


def test_every_randomizer_meets_zeros():
    (mark,) = test_what_a_factor_of_zero_leaves_as_it_is_is_said_and_all_is_finite.pytestmark
    assert {row[0] for row in mark.args[1]} == set(TABLE)


def test_mass_added_to_a_body_without_any_is_a_ball_of_water():
    model = mujoco.MjModel.from_xml_string(ZEROS)
    (variant,) = variants(model, 1, term=build("mass_addition", body="frame", range=[0.5, 0.5]))
    frame = model.body("frame").id
    assert variant.body_mass[frame] == 0.5
    # 0.5 l: a radius of 4.924 cm, and 2/5 m r^2.
    np.testing.assert_allclose(variant.body_inertia[frame], 0.4 * 0.5 * 0.04924**2, rtol=1e-3)
    np.testing.assert_array_equal(variant.body_ipos[frame], model.body_ipos[frame])
    assert variant.body_subtreemass[0] == pytest.approx(model.body_subtreemass[0] + 0.5)


def test_a_mass_that_was_added_can_be_moved_and_scaled():
    model = mujoco.MjModel.from_xml_string(ZEROS)
    terms = {
        "add": build("mass_addition", body="frame", range=[0.5, 0.5]),
        "move": build("center_of_mass", body="frame"),
        "scale": build("mass_multiplication", body="frame", scale=[2.0, 2.0]),
    }
    (variant,) = variants(model, 1, **terms)
    assert variant.body("frame").mass == 1.0 and variant.body("frame").ipos.any()
    with pytest.raises(UserError, match=r"randomization\.move: changes nothing"):
        variants(model, 1, move=terms["move"], add=terms["add"])


def test_friction_of_named_geoms_and_of_their_pairs():
    paired = ZEROS.replace(
        "</worldbody>",
        """</worldbody><contact><pair geom1="ball" geom2="plane"/><pair geom1="mesh" geom2="ice"/>
        </contact>""",
    )
    model = mujoco.MjModel.from_xml_string(paired)
    term = build("floor_friction", geoms=["pla*"], scale=[2.0, 2.0])
    (variant,) = variants(model, 1, term=term)
    assert (variant.geom_friction[:, 0] / model.geom("plane").friction[0]).tolist() == [2, 0, 1, 1]
    assert (variant.pair_friction[:, :2] / model.pair_friction[:, :2]).tolist() == [[2, 2], [1, 1]]


def test_sizes_of_what_has_none_stay_and_the_others_draw_as_before():
    model = mujoco.MjModel.from_xml_string(ZEROS)
    (both,) = variants(model, 1, term=build("collision_bodies", geoms=["ball", "mesh"]))
    (alone,) = variants(model, 1, term=build("collision_bodies", geoms=["ball"]))
    np.testing.assert_array_equal(both.geom_size, alone.geom_size)
    np.testing.assert_array_equal(both.geom_aabb[3], model.geom_aabb[3])
    assert both.geom_size[2, 0] != model.geom_size[2, 0]
