import mujoco
import numpy as np
import pytest

from ksim_cli.config.components import TaskConfig
from ksim_cli.config.schema import SimulationKeys
from ksim_cli.errors import UserError
from ksim_cli.physics.model import changed_options, compile_model, load_spec
from ksim_cli.physics.robot import read_robot
from tests.helpers import SMALL


def simulated(xml, **keys):
    """The file as it compiles, and the model that is simulated with these keys."""
    spec = mujoco.MjSpec.from_string(xml)
    robot = read_robot(spec, TaskConfig())
    return robot.model, compile_model(spec, robot, SimulationKeys(**keys), {}, {})


def test_options_of_the_run_are_applied():
    keys = {"dt": 0.005, "solver": "cg", "integrator": "euler", "iterations": 7}
    keys |= {"ls_iterations": 9, "tolerance": 1e-6, "disable_euler_damping": True}
    option = simulated(SMALL, **keys)[1].opt
    assert option.timestep == 0.005
    assert option.solver == mujoco.mjtSolver.mjSOL_CG
    assert option.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert (option.iterations, option.ls_iterations, option.tolerance) == (7, 9, 1e-6)
    assert option.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP


STIFF = SMALL[: SMALL.index("<option")] + (
    """<option timestep="0.0005" integrator="RK4" iterations="100" gravity="0 0 -3.71"
       impratio="10" cone="elliptic" solver="CG" tolerance="1e-7" ls_iterations="33">
       <flag eulerdamp="disable"/></option>"""
    + SMALL[SMALL.index("<worldbody") :]
)


def test_options_that_nobody_set_are_the_files():
    file, model = simulated(STIFF)
    for name in (n for n in dir(model.opt) if not n.startswith("_")):
        np.testing.assert_array_equal(getattr(model.opt, name), getattr(file.opt, name), name)
    assert changed_options(file, model) == []


@pytest.mark.parametrize(
    ("keys", "changes"),
    [
        ({"dt": 0.004}, ["timestep 0.0005 -> 0.004"]),
        ({"dt": 0.0005}, []),
        ({"integrator": "implicitfast"}, ["integrator rk4 -> implicitfast"]),
        ({"solver": "newton"}, ["solver cg -> newton"]),
        ({"iterations": 4, "ls_iterations": 8}, ["iterations 100 -> 4", "ls_iterations 33 -> 8"]),
        ({"tolerance": 1e-10}, ["tolerance 1e-07 -> 1e-10"]),
        ({"disable_euler_damping": False}, ["eulerdamp off -> on"]),
        ({"disable_euler_damping": True}, []),
    ],
)
def test_options_that_are_overwritten_are_told(keys, changes):
    file, model = simulated(STIFF, **keys)
    assert changed_options(file, model) == changes


def test_unknown_options_are_named_with_the_nearest():
    with pytest.raises(UserError, match=r"solver=newtn.*Did you mean 'newton'"):
        simulated(SMALL, solver="newtn")


def test_a_missing_file_lists_those_that_are_there(tmp_path):
    (tmp_path / "arm.xml").write_text(SMALL)
    with pytest.raises(UserError, match=r"Did you mean 'arm.xml'"):
        load_spec(tmp_path / "arn.xml")


def test_a_malformed_file_is_reported_with_its_element(tmp_path):
    (tmp_path / "bad.xml").write_text("<mujoco><worldbody><boddy/></worldbody></mujoco>")
    with pytest.raises(UserError, match=r"(?s)bad.xml.*boddy"):
        load_spec(tmp_path / "bad.xml")


URDF = """<robot name="arm"><link name="base"><inertial><mass value="1"/>
  <inertia ixx=".1" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="tip"><inertial><mass value="1"/>
  <inertia ixx=".1" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="hinge" type="revolute"><parent link="base"/><child link="tip"/><axis xyz="0 1 0"/>
  <limit lower="-1" upper="1.5" effort="7" velocity="3"/></joint></robot>"""
INCLUDING = """<mujoco><include file="part.xml"/><asset><mesh name="m" file="m.obj"/></asset>
  <worldbody><geom type="mesh" mesh="m"/></worldbody></mujoco>"""
PART = """<mujoco><worldbody><body name="b"><joint name="j"/><geom size=".1"/></body></worldbody>
  </mujoco>"""
TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.mark.parametrize("name", ["robot.xml", "robot.mjcf", "my robot.v2.mjcf"])
def test_a_file_finds_what_it_includes_whatever_its_ending(tmp_path, name):
    (tmp_path / name).write_text(INCLUDING)
    (tmp_path / "part.xml").write_text(PART)
    (tmp_path / "m.obj").write_text(TETRAHEDRON)
    (tmp_path / "robot.other").write_text("")
    model = load_spec(tmp_path / name).compile()
    assert (model.nmesh, model.njnt) == (1, 1)
    assert len(list(tmp_path.iterdir())) == 4, "nothing was written beside it"


def test_a_urdf_is_a_model_with_its_effort_as_torque_limit(tmp_path):
    (tmp_path / "arm.urdf").write_text(URDF)
    robot = read_robot(load_spec(tmp_path / "arm.urdf"), TaskConfig())
    assert robot.torque_limits == {"hinge": (-7.0, 7.0)}
    np.testing.assert_allclose(robot.model.joint("hinge").range, [-1.0, 1.5])


def test_a_part_that_mujoco_does_not_take_for_a_model_says_how(tmp_path):
    (tmp_path / "leg.mjcf").write_text(PART)
    (tmp_path / "r.xml").write_text(
        "<mujoco><asset><model name='leg' file='leg.mjcf'/></asset></mujoco>"
    )
    with pytest.raises(UserError, match=r'(?s)r.xml.*leg.mjcf.*content_type="text/xml"'):
        load_spec(tmp_path / "r.xml")
