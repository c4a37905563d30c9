"""What is said of all randomizers is in `test_randomizers`; here are the gains of controllers."""

import mujoco
import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.mdp import register_terms
from ksim_cli.physics.model_variants import randomized_models
from ksim_cli.registry import RANDOMIZERS
from tests.legged import LEGGED

register_terms()
SERVOS = LEGGED.replace(
    "<sensor>",
    """<actuator><position joint="left_hip" kp="20" kv="2"/><position joint="right_hip" kp="30"/>
    <motor joint="left_knee"/></actuator><sensor>""",
)


def variant(**section):
    model = mujoco.MjModel.from_xml_string(SERVOS)
    term = RANDOMIZERS.build({"type": "pd_gains", **section}, "randomization.x").bind(model)
    made = randomized_models(model, {"x": term}, 1, seed=0)
    return next(iter(made.models())), made.warnings


def test_the_force_of_a_servo_is_that_of_the_gains_drawn():
    model, warnings = variant(joints=["left_hip"], kp=[1.5, 1.5], kd=[0.5, 0.5])
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qpos[7], data.qvel[6], data.ctrl[:2] = 0.1, 0.2, 0.3
    mujoco.mj_forward(model, data)
    # 1.5 * 20 (0.3 - 0.1) - 0.5 * 2 * 0.2, and the other as it was: 30 * 0.3.
    np.testing.assert_allclose(data.actuator_force[:2], [5.8, 9.0], rtol=1e-6)
    assert not warnings


def test_a_plain_motor_is_left_alone_and_named():
    model, (warning,) = variant(kp=[2.0, 2.0])
    assert model.actuator_gainprm[:, 0].tolist() == [40.0, 60.0, 1.0]
    assert "randomization.x" in warning and "the engine computes no PD controller" in warning
    with pytest.raises(UserError, match="changes nothing"):
        variant(joints=["left_knee"])
    with pytest.raises(UserError, match="none of its joints is driven"):
        variant(joints=["right_knee"])
