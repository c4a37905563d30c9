"""Tasks that extend tasks: by their class, by their YAML, by both; built-in and a user's own."""

import pytest

from ksim_cli.cli import main
from ksim_cli.errors import UserError
from ksim_cli.load_task import make_task
from ksim_cli.task_model import TaskModel
from tests.helpers import SMALL, TINY, run_config

YAML = "# @package _global_\ndefaults: [{}, _self_]\n{}"
EXTENDS_CARTPOLE = (
    "from ksim_cli import TASKS\nfrom ksim_cli.tasks.cartpole import CartPole\n"
    "@TASKS.register('mine')\nclass Mine(CartPole): pass\n"
)
PLAIN = "from ksim_cli import TASKS, Task\n@TASKS.register('{0}')\nclass {1}(Task): pass\n"
HALF_TURN = (
    "from ksim_cli import TASKS\nfrom tasks.arm import Arm\n"
    "@TASKS.register('mine')\nclass Mine(Arm):\n"
    "    def get_mujoco_model(self):\n"
    "        spec = super().get_mujoco_model()\n"
    "        spec.body('upper').pos = [0, 0, 2]\n"
    "        return spec\n"
)
ARM_YAML = (
    "# @package _global_\nnum_envs: 4\nbatch_size: 2\nrollout_length_frames: 4\n"
    "observations: {angle: {type: joint_position}}\nrewards: {alive: {type: stay_alive}}\n"
)
ARM = {"tasks/arm/arm.xml": SMALL, "configs/task/arm.yaml": ARM_YAML}


@pytest.fixture
def write(project):
    def files(**texts):
        for path, text in texts.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text, "utf-8")

    return files


BUILT_IN = {
    "a YAML alone": {"configs/task/mine.yaml": YAML.format("cartpole", "num_envs: 8")},
    "a YAML that names it from the root": {
        "configs/task/mine.yaml": YAML.format("/task/cartpole", "num_envs: 8")
    },
    "a YAML and a class that extends the class": {
        "configs/task/mine.yaml": YAML.format("cartpole", "num_envs: 8"),
        "tasks/mine/__init__.py": EXTENDS_CARTPOLE,
    },
    "a YAML and a class that does not": {
        "configs/task/mine.yaml": YAML.format("cartpole", "num_envs: 8"),
        "tasks/mine.py": PLAIN.format("mine", "Mine"),
    },
    "a YAML that extends such a YAML": {
        "configs/task/between.yaml": YAML.format("cartpole", "num_envs: 16"),
        "configs/task/mine.yaml": YAML.format("between", "num_envs: 8"),
    },
}


@pytest.mark.parametrize("files", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_what_extends_a_built_in_task_has_its_model_and_its_terms(write, files):
    write(**files)
    config = run_config("task=mine", "batch_size=4")
    assert (config.task.name, config.num_envs, config.ctrl_dt) == ("mine", 8, 0.01)
    task_model = TaskModel(make_task(config))
    assert task_model.model.joint("slider").id == 0
    assert type(task_model.mdp.rewards["balance"]).__name__ == "Balance"
    has_class = any(path.startswith("tasks/") for path in files)
    assert config.task.type == ("mine" if has_class else "cartpole")
    assert config.task.extends[-1] == "cartpole"


def test_a_class_without_a_yaml_has_the_model_of_the_class_it_extends(write):
    text = EXTENDS_CARTPOLE.replace("'mine'", "'no_yaml'").replace("Mine", "NoYaml")
    write(**{"tasks/no_yaml/__init__.py": text})
    config = run_config("task=no_yaml", *TINY)
    assert (config.task.type, config.task.extends) == ("no_yaml", [])
    assert make_task(config).get_mujoco_model().compile().nq == 2


USERS = {
    "YAML upon YAML, with no class at all": {
        "configs/task/mine.yaml": YAML.format("arm", "seed: 3"),
    },
    "YAML upon a task with a class": {
        "configs/task/mine.yaml": YAML.format("arm", "seed: 3"),
        "tasks/arm/__init__.py": PLAIN.format("arm", "Arm"),
    },
    "class upon class": {
        "configs/task/mine.yaml": YAML.format("arm", "seed: 3"),
        "tasks/arm/__init__.py": PLAIN.format("arm", "Arm"),
        "tasks/mine/__init__.py": HALF_TURN,
    },
    "a class beside a type that the extended YAML states": {
        "configs/task/arm.yaml": ARM_YAML + "task: {type: arm, model: ../arm/arm.xml}\n",
        "configs/task/mine.yaml": YAML.format("arm", "seed: 3"),
        "tasks/arm/__init__.py": PLAIN.format("arm", "Arm"),
        "tasks/mine/__init__.py": HALF_TURN,
    },
}


@pytest.mark.parametrize("files", USERS.values(), ids=USERS.keys())
def test_a_users_task_extends_another_of_his(write, files):
    write(**(ARM | files))
    config = run_config("task=mine")
    task_model = TaskModel(make_task(config))
    assert config.seed == 3 and list(task_model.mdp.rewards) == ["alive"]
    turned = "tasks/mine/__init__.py" in files
    assert task_model.model.body("upper").pos.tolist() == ([0, 0, 2] if turned else [1, 0, 1])


def test_a_model_of_ones_own_stands_before_the_extended_one(write):
    heavier = SMALL.replace('name="shoulder" type="hinge"', 'name="lift" type="slide"')
    write(**(ARM | USERS["YAML upon a task with a class"] | {"tasks/mine/mine.xml": heavier}))
    task = make_task(run_config("task=mine"))
    assert task.get_mujoco_model().joint("lift") is not None
    assert make_task(run_config("task=arm")).get_mujoco_model().joint("lift") is None


def test_a_type_that_is_typed_wins(write):
    write(**(ARM | USERS["class upon class"]))
    assert run_config("task=mine", "task.type=arm").task.type == "arm"
    with pytest.raises(UserError, match=r"no task 'amr'. Did you mean 'arm'"):
        run_config("task=mine", "task.type=amr")


def test_a_saved_run_knows_what_it_extended(write, project, monkeypatch):
    write(**BUILT_IN["a YAML and a class that does not"])
    short = "terminations.time_limit.max_length_seconds=0.1"
    assert main(["train", "task=mine", *TINY, short, "num_iterations=1", "seed=0"]) == 0
    (run,) = (project / "runs" / "mine").iterdir()
    assert "balance" in (run / "metrics.jsonl").read_text()
    (project / "configs" / "task" / "mine.yaml").unlink()
    assert main(["eval", f"checkpoint={run}"]) == 0
