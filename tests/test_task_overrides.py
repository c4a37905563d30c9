"""Each method of a task that a user's class overrides takes effect, in what is built or in a run."""

import json

import jax
import jax.numpy as jnp
import optax
import pytest
from ksim_cli.tasks.cartpole import CartPole

from ksim_cli import Task
from ksim_cli.config.components import JointMetadata
from ksim_cli.mdp.actuators import Torque
from ksim_cli.mdp.commands.sampled import FloatVector
from ksim_cli.mdp.curricula import Constant
from ksim_cli.mdp.events import ForcePush
from ksim_cli.mdp.joint_randomizers import Armature
from ksim_cli.mdp.observations.joints import JointPosition
from ksim_cli.mdp.resets import RandomJointVelocity
from ksim_cli.mdp.rewards.posture import StayAlive
from ksim_cli.mdp.terminations import EpisodeLength
from ksim_cli.rl.algorithm import init, train_step
from ksim_cli.task_model import TaskModel
from tests.helpers import tiny_cartpole
from tests.run.commands import TINY, ksim, rows

PUSH = ForcePush(body="cart", interval=(1.0, 2.0), force=(1.0, 2.0), duration=(0.1, 0.2))


def heavier(self):
    spec = Task.get_mujoco_model(self)
    spec.body("cart").add_geom(size=[0.1, 0, 0], mass=5.0)
    return spec


BUILT = {
    "get_mujoco_model": (heavier, lambda t: t.model.body("cart").mass[0] > 5.0),
    "get_mujoco_model_metadata": (
        lambda self, spec: {"hinge": JointMetadata(armature=0.5)},
        lambda t: t.model.dof_armature[1] == 0.5,
    ),
    "get_actuators": (
        lambda self: {"all": Torque(joints=("slider", "hinge"))},
        lambda t: t.action_size == 2,
    ),
    "get_observations": (
        lambda self: {"only": JointPosition(groups=("actor", "critic", "third"))},
        lambda t: t.observation_sizes == {"actor": 2, "critic": 2, "third": 2},
    ),
    "get_commands": (
        lambda self: {"told": FloatVector(ranges=((1.0, 1.0),))},
        lambda t: (first_step(t).steps.commands.get("told", jnp.zeros(())) == 1.0).all(),
    ),
    "get_terminations": (
        lambda self: {"short": EpisodeLength(max_length_seconds=0.01)},
        lambda t: t.episode_steps() == 1 and bool(first_step(t).truncated.all()),
    ),
    "get_resets": (
        lambda self: {"thrown": RandomJointVelocity(scale=100.0)},
        lambda t: jnp.abs(first_step(t).steps.view.qvel).max() > 1.0,
    ),
    "get_events": (lambda self: {"push": PUSH}, lambda t: list(t.mdp.events) == ["push"]),
    "get_rewards": (
        lambda self: {"alive": StayAlive()},
        lambda t: list(scores(t).components) == ["alive"],
    ),
    "get_curriculum": (
        lambda self: Constant(level=0.25),
        lambda t: t.make_env(2).init(jax.random.key(0)).level == 0.25,
    ),
    "get_physics_randomizers": (
        lambda self: {"armature": Armature(scale=(2.0, 3.0))},
        lambda t: t.make_env(2, training=True).engine.spec.variants is not None,
    ),
}
"""Method -> what it is overridden with, and what must then be true of the task's model."""

LEARNED = (
    *("get_model", "get_initial_model_carry", "sample_action", "get_ppo_variables"),
    *("get_optimizer", "update_model"),
)
"""Methods that `test_the_methods_of_learning` overrides, all in one class."""


def first_step(task_model):
    env = task_model.make_env(2)

    def run(key):
        return env.step(env.init(key), jnp.zeros((2, env.action_size)))[1]

    return jax.jit(run)(jax.random.key(0))


def scores(task_model):
    env, result = task_model.make_env(2), first_step(task_model)
    return env.rewards(env.init_rewards(), jax.tree.map(lambda x: x[None], result))[1]


def test_every_method_is_tried_here():
    methods = {name for name in vars(Task) if not name.startswith("_")}
    assert methods == {*BUILT, *LEARNED}


@pytest.mark.parametrize("method", BUILT)
def test_what_is_built_is_what_the_method_gives(method):
    override, holds = BUILT[method]
    own = TaskModel(type("Own", (CartPole,), {method: override})(tiny_cartpole()))
    assert holds(own)
    assert not holds(TaskModel(CartPole(tiny_cartpole()))), "true of any task, so it shows nothing"


class Everything(CartPole):
    """Overrides what learns; each leaves a mark."""

    def get_model(self, observation_sizes, action_size, key):
        model = super().get_model(observation_sizes, action_size, key)
        model.head.log_std.set_value(jnp.full(action_size, -20.0))
        return model

    def get_initial_model_carry(self, model, num_envs):
        return jnp.full(num_envs, 7.0)

    def sample_action(self, model, obs, carry, key, argmax):
        sample = super().sample_action(model, obs, (), key, argmax)
        return sample.replace(action=sample.action + 3.0, carry=carry + 1.0, aux={"carry": carry})

    def get_ppo_variables(self, model, obs, action, carry):
        now = super().get_ppo_variables(model, obs, action - 3.0, ())
        return now.replace(carry=carry + 1.0, entropy=now.entropy * 0 + 42.0)

    def get_optimizer(self):
        return optax.set_to_zero()

    def update_model(self, algorithm, context, learning, experience, key):
        learning, metrics = super().update_model(algorithm, context, learning, experience, key)
        return learning, {
            "entropy": metrics["entropy"],
            "kl": metrics["kl"],
            "first_carry": experience.results.steps.aux["carry"][0].mean(),
            "action": experience.action.mean(),
        }


def test_the_methods_of_learning():
    task_model = TaskModel(Everything(tiny_cartpole()))
    context = task_model.make_context(task_model.make_env(4), num_steps=4)
    before = jax.jit(lambda key: init(task_model.algorithm, context, key))(jax.random.key(0))
    step = jax.jit(lambda state: train_step(task_model.algorithm, context, state))
    after, metrics, _ = step(before)
    assert metrics["first_carry"] == 7.0, "get_initial_model_carry, and aux of sample_action"
    assert abs(metrics["action"] - 3.0) < 0.1, "get_model: hardly any deviation; sample_action"
    assert metrics["entropy"] == 42.0, "get_ppo_variables"
    assert abs(metrics["kl"]) < 1e-3, "the densities are those of the actions taken"
    same = jax.tree.map(
        lambda a, b: bool((a == b).all()),
        before.learner.variables.params,
        after.learner.variables.params,
    )
    assert all(jax.tree.leaves(same)), "get_optimizer takes no step"
    assert "loss" not in metrics, "update_model"


def test_metrics_that_an_update_does_not_give_are_not_missed(project):
    (project / "tasks").mkdir()
    (project / "tasks" / "quiet.py").write_text(
        "from ksim_cli import TASKS\nfrom ksim_cli.tasks.cartpole import CartPole\n"
        "@TASKS.register('quiet')\nclass Quiet(CartPole):\n"
        "    def update_model(self, algorithm, context, learning, experience, key):\n"
        "        return learning, {'mine': experience.scores.total.mean()}\n"
    )
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "quiet.yaml").write_text(
        "# @package _global_\ndefaults: [cartpole, _self_]\n"
    )
    tiny = ["task=quiet", *TINY[1:]]
    ksim("train", *tiny, "num_iterations=2", "run_dir=run", cwd=project, check=0)
    assert [row["mine"] == row["reward"] for row in rows(project / "run")] == [True, True]
    assert json.loads((project / "run" / "summary.json").read_text())["iterations"] == 2
