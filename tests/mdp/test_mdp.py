import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.mdp import Mdp
from ksim_cli.registry import ACTUATORS, OBSERVATIONS
from tests.helpers import SMALL

register_terms()


def torque(**section):
    return ACTUATORS.build({"type": "torque", **section}, "actuators")


def test_two_actuators_share_the_joints_but_not_one_joint():
    spec = mujoco.MjSpec.from_string(SMALL)
    mdp = Mdp(
        curriculum=Constant(),
        actuators={"a": torque(joints=["elbow"]), "b": torque(joints=["shoulder"])},
    ).edit(spec, {})
    bound = mdp.bind(spec.compile())
    assert bound.actuators["a"].dof_addresses == (7,)
    twice = Mdp(curriculum=Constant(), actuators={"a": torque(joints=["elbow"]), "b": torque()})
    with pytest.raises(UserError, match=r"actuators.b: joint 'elbow' is driven by actuators.a"):
        twice.edit(mujoco.MjSpec.from_string(SMALL), {})


def test_a_term_that_cannot_be_bound_is_named_by_its_config_path():
    observation = OBSERVATIONS.build({"type": "joint_position", "joints": ["knee"]}, "x")
    mdp = Mdp(curriculum=Constant(), observations={"legs": observation})
    with pytest.raises(UserError, match=r"^observations.legs: no hinge or slide joint 'knee'"):
        mdp.bind(mujoco.MjModel.from_xml_string(SMALL))


def test_a_wrong_noise_is_named_by_its_config_path():
    section = {"type": "joint_position", "noise": {"type": "additive_gausian", "std": 1.0}}
    with pytest.raises(UserError, match=r"observations.legs.noise.type.*'additive_gaussian'"):
        OBSERVATIONS.build(section, "observations.legs")


def test_each_lists_every_term():
    mdp = Mdp(curriculum=Constant(), actuators={"a": torque()})
    assert [where for where, _ in mdp.each()] == ["actuators.a", "curriculum"]
