import mujoco
import pytest

from ksim_cli.config.components import JointMetadata
from ksim_cli.mdp.actuators import Position
from ksim_cli.mdp.noise import AdditiveGaussian
from ksim_cli.mdp.stability import excessive_damping

POINT = """<mujoco><option timestep="0.01" integrator="{}"/><worldbody><body>
  <joint name="x" type="slide" axis="1 0 0"/><geom size="0.1" mass="0.5"/></body></worldbody></mujoco>"""
NOISE = AdditiveGaussian(std=0.1)


def bounds(kd, integrator="implicitfast", update_dt=0.01, **noises):
    spec = mujoco.MjSpec.from_string(POINT.format(integrator))
    term = Position(kp=1.0, kd=kd, **noises).resolve(spec, {"x": JointMetadata()}).in_engine()
    term.edit(spec)
    model = spec.compile()
    return excessive_damping(model, {"all": term.bind(model)}, update_dt)


@pytest.mark.parametrize(
    ("kd", "given", "largest"),
    [
        # 0.5 kg: the largest is 2 * 0.5 / 0.01 = 100.
        (101.0, {"torque_noise": NOISE}, 100.0),
        (99.0, {"torque_noise": NOISE}, None),
        (101.0, {"integrator": "Euler"}, 100.0),
        (101.0, {"integrator": "RK4"}, 100.0),
        (101.0, {}, None),
        (30.0, {"kp_bias": NOISE, "update_dt": 0.04}, 25.0),
        (24.0, {"kp_bias": NOISE, "update_dt": 0.04}, None),
    ],
)
def test_the_largest_damping_by_hand(kd, given, largest):
    wanted = {} if largest is None else {"x": (kd, pytest.approx(largest))}
    assert bounds(kd, **given) == wanted


def test_beyond_it_the_velocity_grows_and_below_it_does_not():
    model = mujoco.MjModel.from_xml_string(POINT.format("Euler"))
    for kd, grows in ((99.0, False), (101.0, True)):
        data = mujoco.MjData(model)
        data.qvel[:] = 1.0
        for _ in range(100):
            data.qfrc_applied[:] = -kd * data.qvel
            mujoco.mj_step(model, data)
        assert (abs(data.qvel[0]) > 1.0) == grows
