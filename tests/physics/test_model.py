import dataclasses

import mujoco
import numpy as np
import pytest

from ksim_cli.config.schema import SimulationKeys
from ksim_cli.errors import UserError
from ksim_cli.physics.model import compile_model, home_pose, load_spec
from tests.helpers import SMALL


def test_options_of_the_run_are_applied():
    keys = SimulationKeys(
        dt=0.005, solver="cg", integrator="euler", iterations=7, ls_iterations=9, tolerance=1e-6
    )
    option = compile_model(mujoco.MjSpec.from_string(SMALL), keys).opt
    assert option.timestep == 0.005
    assert option.solver == mujoco.mjtSolver.mjSOL_CG
    assert option.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert (option.iterations, option.ls_iterations, option.tolerance) == (7, 9, 1e-6)
    assert option.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    damped = dataclasses.replace(keys, disable_euler_damping=False)
    flags = compile_model(mujoco.MjSpec.from_string(SMALL), damped).opt.disableflags
    assert not flags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP


def test_unknown_options_are_named_with_the_nearest():
    with pytest.raises(UserError, match=r"solver=newtn.*Did you mean 'newton'"):
        compile_model(mujoco.MjSpec.from_string(SMALL), SimulationKeys(solver="newtn"))


def test_a_missing_file_lists_those_that_are_there(tmp_path):
    (tmp_path / "arm.xml").write_text(SMALL)
    with pytest.raises(UserError, match=r"Did you mean 'arm.xml'"):
        load_spec(tmp_path / "arn.xml")


def test_a_malformed_file_is_reported_with_its_element(tmp_path):
    (tmp_path / "bad.xml").write_text("<mujoco><worldbody><boddy/></worldbody></mujoco>")
    with pytest.raises(UserError, match=r"(?s)bad.xml.*boddy"):
        load_spec(tmp_path / "bad.xml")


def test_the_home_pose_is_the_keyframe_of_that_name_or_the_default():
    model = mujoco.MjModel.from_xml_string(SMALL)
    np.testing.assert_array_equal(home_pose(model), model.qpos0)
    keyed = SMALL.replace(
        "</mujoco>",
        """<keyframe><key name="other" qpos="0 0 1 1 0 0 0 0 0"/>
           <key name="home" qpos="0 0 0.2 1 0 0 0 0.3 -0.4"/></keyframe></mujoco>""",
    )
    home = home_pose(mujoco.MjModel.from_xml_string(keyed))
    np.testing.assert_array_equal(home, [0, 0, 0.2, 1, 0, 0, 0, 0.3, -0.4])
