"""Which body is the base, in scenes where other things float as well."""

import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.physics.compiled_spec import CompiledSpec
from ksim_cli.physics.free_base import (
    BASE_TEXT,
    base_body,
    base_candidates,
    free_joint_of,
    possible_bases,
)

BALL = '<body name="ball"><freejoint/><geom size="0.1"/></body>'
CAN = '<body name="can"><freejoint/><geom size="0.1"/><body name="lid"><geom size="0.1"/></body></body>'
LEGS = """<body name="{0}"><freejoint/><geom size="0.1"/><body name="{0}_leg">
            <joint name="{0}_hip"/><geom size="0.1"/></body></body>"""
TORSO, OTHER = LEGS.format("torso"), LEGS.format("other")
ARM = '<body name="arm"><joint name="elbow"/><geom size="0.1"/></body>'
MOTOR = '<motor joint="{}"/>'


def spec_of(*bodies, actuators=(), base=None, more=""):
    world = "<worldbody>" + "".join(bodies) + "</worldbody>"
    motors = "<actuator>" + "".join(actuators) + "</actuator>"
    spec = mujoco.MjSpec.from_string(f"<mujoco>{world}{more}{motors}</mujoco>")
    if base is not None:
        spec.add_text(name=BASE_TEXT, data=base)
    return spec


def base_of(*bodies, name="", **scene):
    model = spec_of(*bodies, **scene).compile()
    return model.body(base_body(model, name)).name


def test_the_base_is_above_the_joints_that_are_driven():
    hip = MOTOR.format("torso_hip")
    assert base_of(BALL, TORSO, actuators=[hip]) == "torso"
    assert base_of(TORSO, BALL, actuators=[hip]) == "torso"
    # Another one with joints, which nothing drives, is a thing of the scene.
    assert base_of(OTHER, TORSO, actuators=[hip]) == "torso"
    in_parent = '<motor jointinparent="torso_hip"/>'
    assert base_of(OTHER, TORSO, actuators=[in_parent]) == "torso"


def test_the_only_thing_that_floats_is_the_base():
    assert base_of(TORSO) == "torso"
    assert base_of(BALL, ARM) == "ball"


def test_a_robot_that_stands_is_its_own_base_whatever_lies_about():
    elbow = MOTOR.format("elbow")
    post = '<body name="post"><geom size="0.1"/></body>'
    for things in ((ARM,), (BALL, ARM), (ARM, BALL, CAN), (post, BALL, ARM)):
        assert base_of(*things, actuators=[elbow]) == "arm"
    assert base_of(post, ARM) == "arm"
    assert base_of(post) == "post"
    with pytest.raises(UserError, match="the model has no body"):
        base_of()


def test_where_no_joint_is_driven_the_one_with_joints_or_most_bodies_is_the_base():
    tendon = '<tendon><fixed name="string"><joint joint="torso_hip" coef="1"/></fixed></tendon>'
    by_tendon = {"actuators": ['<motor tendon="string"/>'], "more": tendon}
    assert base_of(BALL, TORSO, **by_tendon) == "torso"
    assert base_of(BALL, TORSO) == "torso"
    assert base_of(BALL, CAN) == "can"


@pytest.mark.parametrize(
    ("bodies", "driven", "named"),
    [
        ((TORSO, OTHER), ("torso_hip", "other_hip"), "torso, other"),
        ((TORSO, OTHER), (), "torso, other"),
        ((BALL, BALL.replace("ball", "bowl")), (), "ball, bowl"),
    ],
)
def test_several_candidates_are_named_and_what_to_type(bodies, driven, named):
    scene = {"actuators": [MOTOR.format(joint) for joint in driven]}
    first, second = named.split(", ")
    message = f"several bodies may be the base: {named}. Type task.base={first} .*`body: {first}`"
    with pytest.raises(UserError, match=message):
        base_of(*bodies, **scene)
    assert len(base_candidates(spec_of(*bodies, **scene).compile())) == 2
    assert base_of(*bodies, name=second, **scene) == second
    assert base_of(*bodies, base=second, **scene) == second


def test_a_name_goes_before_the_models_choice_and_that_before_the_rule():
    hip = MOTOR.format("torso_hip")
    assert base_of(BALL, TORSO, actuators=[hip], base="ball") == "ball"
    assert base_of(BALL, TORSO, actuators=[hip], base="ball", name="torso_leg") == "torso_leg"
    assert base_of(ARM, base="arm") == "arm", "a base need not float"
    # Other texts stand before it.
    text = '<custom><text name="author" data="nobody"/></custom>'
    assert base_of(BALL, TORSO, more=text, base="ball") == "ball"


def test_unknown_bodies_are_refused_where_they_were_typed():
    with pytest.raises(UserError, match=r"^no body 'trso' .*Did you mean 'torso'.*ball, torso"):
        base_of(BALL, TORSO, name="trso")
    with pytest.raises(UserError, match=r"^task.base=trso: no body 'trso'"):
        base_of(BALL, TORSO, base="trso")
    with pytest.raises(UserError, match=r"^task.base=trso: no body 'trso'"):
        possible_bases(spec_of(TORSO, base="trso"))


def names(spec, name=""):
    return [body.name for body in possible_bases(spec, name)]


@pytest.mark.parametrize("as_spec", [lambda spec: spec, lambda spec: CompiledSpec(spec.compile())])
def test_a_spec_tells_which_bodies_may_become_the_base(as_spec):
    assert names(as_spec(spec_of(BALL, TORSO, base="torso"))) == ["torso"]
    assert names(as_spec(spec_of(BALL, TORSO, base="torso")), "torso_leg") == ["torso_leg"]
    assert names(as_spec(spec_of(ARM))) == ["arm"]


def test_a_spec_does_not_know_yet_what_is_driven_and_a_compiled_model_does():
    spec = spec_of(BALL, TORSO)
    assert names(spec) == ["ball", "torso"]
    assert names(CompiledSpec(spec.compile())) == ["torso"]


def test_a_base_without_a_name_is_given_one():
    spec = spec_of(TORSO.replace(' name="torso"', ""), BALL)
    assert names(spec) == ["ksim/body/0", "ball"]
    assert spec.compile().body("ksim/body/0").id == 1


def test_the_free_joint_that_moves_a_body():
    model = spec_of(ARM, BALL).compile()
    assert free_joint_of(model, model.body("ball").id) == 1
    assert free_joint_of(model, model.body("arm").id) is None
