"""What the methods of a task may return, and what becomes of it."""

import dataclasses
import math

import mujoco
import numpy as np
import pytest
from ksim_cli.tasks.cartpole import Balance, CartPole

from ksim_cli import Task
from ksim_cli.cli import main
from ksim_cli.errors import UserError
from ksim_cli.mdp.actuators import ScaledTorque
from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.term import Observation
from ksim_cli.physics.mjx_import import mjx
from ksim_cli.task import by_name
from ksim_cli.task_model import TaskModel
from tests.helpers import TINY, tiny_cartpole

UNSET = dict.fromkeys(("dt", "integrator", "iterations", "ls_iterations", "tolerance"))


def returning(given, config):
    """The cart-pole, whose model is what `given` makes of its spec."""

    class Changed(CartPole):
        def get_mujoco_model(self):
            return given(super().get_mujoco_model())

    return TaskModel(Changed(config))


def as_model(spec):
    spec.option.timestep = 0.005
    spec.option.iterations = 7
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    return spec.compile()


def test_a_compiled_model_is_taken_as_it_is():
    task_model = returning(as_model, tiny_cartpole(**UNSET))
    option = task_model.model.opt
    assert (option.timestep, option.iterations) == (0.005, 7)
    assert option.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert not option.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    assert task_model.timing.num_substeps == 2  # ctrl_dt 0.01
    assert task_model.mdp.actuators["all"].torque_limits() == ((-10.0, 10.0),)


def test_physics_keys_that_are_given_are_written_into_a_compiled_model():
    config = tiny_cartpole(dt=0.01, integrator="rk4", iterations=3, disable_euler_damping=True)
    option = returning(as_model, config).model.opt
    assert (option.timestep, option.iterations) == (0.01, 3)
    assert option.integrator == mujoco.mjtIntegrator.mjINT_RK4
    assert option.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP


def test_the_time_step_of_a_compiled_model_must_fit():
    with pytest.raises(UserError, match=r"ctrl_dt=0.012: must be a multiple of dt=0.005"):
        returning(as_model, tiny_cartpole(ctrl_dt=0.012, **UNSET))


def test_a_compiled_model_means_mujoco_unless_an_engine_is_typed():
    auto, typed = tiny_cartpole(), tiny_cartpole("engine=mjx")
    assert returning(as_model, auto).config.engine.type == "mujoco"
    assert returning(as_model, typed).config.engine.type == "mjx"
    assert returning(lambda spec: spec, auto).config.engine.type == "auto"


def test_a_term_says_which_sensor_a_compiled_model_lacks():
    velocity = {"speed": {"type": "base_linear_velocity", "body": "pole"}}
    config = tiny_cartpole(observations=velocity)
    message = r"observations.speed: needs a framelinvel sensor of 'pole', which the MjModel"
    with pytest.raises(UserError, match=message):
        returning(as_model, config)

    def with_sensors(spec):
        for kind in ("FRAMELINVEL", "FRAMEANGVEL"):
            spec.add_sensor(
                name=f"own {kind}",
                type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
                objtype=mujoco.mjtObj.mjOBJ_XBODY,
                objname="pole",
            )
        return spec.compile()

    bound = returning(with_sensors, config)
    assert bound.model.nsensor == 2 and bound.mdp.observations["speed"].base.linear == 0


def test_mjx_data_mean_mjx_and_the_home_pose():
    def as_data(spec):
        model = spec.compile()
        data = mjx.make_data(model, impl="jax")
        return data.replace(qpos=data.qpos.at[1].set(math.pi))

    task_model = returning(as_data, tiny_cartpole())
    assert task_model.config.engine.type == "mjx"
    np.testing.assert_allclose(task_model.model.key("home").qpos, [0.0, math.pi], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda spec: mjx.put_model(spec.compile(), impl="jax"),
            r"mjx.Model: it holds no way back",
        ),
        (lambda spec: None, r"NoneType. Return an MjSpec, an MjModel, or an mjx.Data"),
    ],
)
def test_what_is_no_model_is_refused(given, message):
    with pytest.raises(UserError, match=f"get_mujoco_model: returned an object of type {message}"):
        returning(given, tiny_cartpole())


@dataclasses.dataclass(frozen=True, kw_only=True)
class IMUAngle(Observation):
    """A name with an abbreviation."""


def test_terms_in_a_list_are_named_by_their_class():
    one, two, three = JointPosition(), JointPosition(joints=("hinge",)), IMUAngle()
    assert by_name([one, two, three], "get_observations") == {
        "joint_position": one,
        "joint_position_2": two,
        "imu_angle": three,
    }
    assert by_name(ScaledTorque(), "get_actuators") == {"scaled_torque": ScaledTorque()}
    assert by_name({"x": one}, "get_observations") == {"x": one}
    assert by_name([], "get_events") == {}
    for wrong in (None, [one, 3], "joint_position"):
        with pytest.raises(
            UserError, match=r"get_rewards: returned an object of type .*Return a dict"
        ):
            by_name(wrong, "get_rewards")


def test_a_task_may_return_lists_and_a_single_actuator():
    class Listed(CartPole):
        def get_rewards(self):
            return [Balance()]

        def get_observations(self):
            return (JointPosition(joints=("slider",)), JointPosition(joints=("hinge",)))

        def get_actuators(self):
            return ScaledTorque()

    mdp = TaskModel(Listed(tiny_cartpole())).mdp
    assert list(mdp.rewards) == ["balance"] and list(mdp.actuators) == ["scaled_torque"]
    assert list(mdp.observations) == ["joint_position", "joint_position_2"]


def test_a_task_with_a_compiled_model_trains(project):
    (project / "tasks").mkdir()
    (project / "tasks" / "compiled.py").write_text(
        "from ksim_cli import TASKS\nfrom ksim_cli.tasks.cartpole import CartPole\n"
        "@TASKS.register('compiled')\nclass Compiled(CartPole):\n"
        "    def get_mujoco_model(self):\n"
        "        return super().get_mujoco_model().compile()\n"
    )
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "compiled.yaml").write_text(
        "# @package _global_\ndefaults: [cartpole, _self_]\n"
    )
    short = "terminations.time_limit.max_length_seconds=0.1"
    assert main(["train", "task=compiled", *TINY, short, "num_iterations=1"]) == 0
    (run,) = (project / "runs" / "compiled").iterdir()
    assert (run / "metrics.jsonl").is_file()


def test_the_base_task_finds_a_model_by_name():
    assert TaskModel(Task(tiny_cartpole())).model.nq == 2
