"""The command line, mostly as a person meets it when something is mistyped."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ksim_cli import __version__, commands
from ksim_cli.cli import main
from tests.run.commands import ksim

CARTPOLE = "task=cartpole"

# what is typed after `ksim` -> what the message must hold
WRONG = {
    "trian": "Did you mean 'train'",
    "train": "needs task=",
    "train task=cartpol": "no task 'cartpol'. Did you mean 'cartpole'",
    "train tsk=cartpole": "no key or group 'tsk'. Did you mean 'task'",
    f"train {CARTPOLE} sed=3": "no key or group 'sed'. Did you mean 'seed'",
    f"train {CARTPOLE} +sed=3": "no key or group 'sed'. Did you mean 'seed'",
    f"train {CARTPOLE} ++sed=3": "no key or group 'sed'. Did you mean 'seed'",
    f"train {CARTPOLE} seed=abc": "seed=abc: expected int, got str",
    f"train {CARTPOLE} seed=-1": "seed=-1: must be at least 0",
    f"train {CARTPOLE} seed=1,2": "Add -m for one job each: -m seed=1,2",
    f"train {CARTPOLE} seed": "expected key=value, without spaces. Type seed=VALUE",
    f"train {CARTPOLE} --seed 3": "Keys are given without dashes: seed=3",
    f"train {CARTPOLE} --seed=3": "Keys are given without dashes: seed=3",
    f"train {CARTPOLE} --mulitrun seed=1,2": "Did you mean '--multirun'",
    f"train {CARTPOLE} {CARTPOLE}": "'task' is given twice",
    f"train -m {CARTPOLE} seed=0,1 --cfg job": "leave out --multirun",
    f"train {CARTPOLE} num_envs=0": "num_envs=0: must be at least 1",
    f"train {CARTPOLE} num_envs=ten": "num_envs=ten: expected int, got str",
    f"train {CARTPOLE} num_envs=10 batch_size=4": "Nearest: 2, 5",
    f"train {CARTPOLE} ctrl_dt=0.015": "ctrl_dt=0.015: must be a multiple of dt=0.01. Nearest: ctrl_dt=0.02",
    f"train {CARTPOLE} dt=-0.01": "dt=-0.01: must be above 0",
    f"train {CARTPOLE} dt=nan": "dt=nan: must be finite",
    f"train {CARTPOLE} ctrl_dt=inf": "ctrl_dt=inf: must be finite",
    f"train {CARTPOLE} solver=newtn": "solver=newtn: is not one of newton, cg. Did you mean 'newton'",
    f"train {CARTPOLE} integrator=rk": "integrator=rk: is not one of",
    f"train {CARTPOLE} engine=mjxx": "no engine 'mjxx'. Did you mean 'mjx'",
    f"train {CARTPOLE} engine.imp=jax": "no key 'engine.imp'. Did you mean 'engine.impl'",
    f"train {CARTPOLE} engine.impl=rust": "engine.impl=rust: is not one of auto, jax, warp",
    f"train {CARTPOLE} engine=mujoco engine.impl=warp": "is of engine=mjx, got engine=mujoco",
    f"train {CARTPOLE} engine.impl=jax engine.njmax=9": "engine.njmax=9: is of engine.impl=warp",
    f"train {CARTPOLE} engine.graph_mode=jax": "engine.graph_mode=jax: is not one of none, warp",
    f"train {CARTPOLE} engine.num_threads=-2": "engine.num_threads=-2: must be at least 0",
    f"train {CARTPOLE} algo=pppo": "no algo 'pppo'. Did you mean 'ppo'",
    f"train {CARTPOLE} algo.gamma=1.5": "algo.gamma=1.5: must be at most 1",
    f"train {CARTPOLE} algo.clip_parm=0.1": "no key 'algo.clip_parm'. Did you mean 'algo.clip_param'",
    f"train {CARTPOLE} algo.num_passes=0": "algo.num_passes=0: must be at least 1",
    f"train {CARTPOLE} algo.adaptive_kl=true": "Set algo.kl_coef=0.01",
    f"train {CARTPOLE} optimizer.learning_rate=0": "optimizer.learning_rate=0.0: must be above 0",
    f"train {CARTPOLE} optimizer=sgdd": "no optimizer 'sgdd'",
    f"train {CARTPOLE} rollout_length_seconds=1": "only one of them may be given",
    f"train {CARTPOLE} rollout_length_frames=null": "rollout_length_frames: not given",
    f"train {CARTPOLE} rewards=cartpol": "no rewards 'cartpol'. Did you mean 'cartpole'",
    f"train {CARTPOLE} run_mode=walk": "run_mode=walk: one of train, view, view_motion",
    f"train {CARTPOLE} reward_clip_min=2 reward_clip_max=1": "is larger than reward_clip_max",
    f"train {CARTPOLE} ~seeds": "no key or group 'seeds'",
    f"train {CARTPOLE} resume=latest": "a run has its task, its folder and its seeds already. Leave out task=",
    f"train {CARTPOLE} seed 3": "'seed': expected key=value",
    f"train {CARTPOLE} seed=1.5": "seed=1.5: expected int, got float",
    f"train {CARTPOLE} seed=": "seed=: expected int",
    f"train {CARTPOLE} seed=3 seed=4": "'seed' is given twice: seed=3 and seed=4",
    f"train {CARTPOLE} seed='": "cannot be read",
    f"train {CARTPOLE} seed=[1": "a bracket or quote is not closed",
    f"train {CARTPOLE} seed=${{nothing}}": "Interpolation key 'nothing' not found",
    f"train {CARTPOLE} num_envs=choice(1,2)": "Add -m",
    f"train -m {CARTPOLE} run_dir=x seed=1,2": "run_dir= is the folder of one run",
    f"train {CARTPOLE} ctrl_dt=null": "ctrl_dt=null: expected float, got null",
    f"train {CARTPOLE} render_lookat=3": "render_lookat=3: expected a list, as in render_lookat=[3]",
    f"train {CARTPOLE} render_lookat=[1,2]": "needs three numbers",
    f"train {CARTPOLE} logger.wandb=maybe": "logger.wandb=maybe: expected bool",
    f"train {CARTPOLE} viewer=hologram": "viewer=hologram: is not one of auto, window, web, video",
    f"train {CARTPOLE} --cfg jobb": "--cfg jobb: one of job, hydra, all. Did you mean 'job'",
    f"train {CARTPOLE} --cfg": "--cfg: needs a value, as in --cfg job",
    f"train {CARTPOLE} --info=tree": "--info=tree: one of",
    f"train {CARTPOLE} --config-dir nowhere": "nowhere' not found",
    f"train {CARTPOLE} --experimental-rerun x": "no option '--experimental-rerun'",
    f"train {CARTPOLE} algo=null": "algo=null: needs an option",
    "train task=": "task=: needs an option",
    f"train {CARTPOLE} +algo.clip_parm=0.1": "no key 'algo.clip_parm'",
    "train task=quadruped engine.action_latency_range=[0.03,0.01]": "must be [shortest, longest]",
    "train task=quadruped engine.actuator_update_dt=0.003": "Allowed: 0.005, 0.01, 0.02",
    "train task=quadruped curriculum=linea": "no curriculum 'linea'. Did you mean 'linear'",
    f"train {CARTPOLE} ++engine.imp=jax": "no key 'engine.imp'",
    f"train {CARTPOLE} optimizer.weight_decay=0.1": "Choose optimizer=adamw",
    f"train {CARTPOLE} model.hidden_size=0": "model.hidden_size=0: must be at least 1",
    f"train {CARTPOLE} model.activation=tan": "Did you mean 'tanh'",
    f"train {CARTPOLE} rewards={{}}": "rewards={}: changes nothing",
    f"train {CARTPOLE} ~seed": "'seed' cannot be removed",
    f"train {CARTPOLE} ~algo": "'algo' cannot be removed",
    f"train {CARTPOLE} task.name=other": "task.name=other: is filled in by ksim. Type task=OPTION",
    f"train {CARTPOLE} task.type=nothing": "no task 'nothing'",
    f"train {CARTPOLE} task.type=../x": "no task '../x'",
    f"train {CARTPOLE} experiment=mine": "Add ./configs/experiment/NAME.yaml",
    f"train {CARTPOLE} hydra.run.dirr=x": "Did you mean 'hydra.run.dir'",
    f"train -m {CARTPOLE} hydra/launcher=joblip": "no hydra/launcher 'joblip'",
    f"train {CARTPOLE} checkpoint=x": "To train a run further type resume=FOLDER",
    f"train {CARTPOLE} policy=zero": "says what acts",
    f"train {CARTPOLE} learning_rate=fast": "optimizer.learning_rate=fast: expected float",
    "train -m resume=latest seed=1,2": "leave out --multirun",
    "view resume=latest": "is for ksim train",
    "eval checkpoint=x task=cartpole": "Leave out task=",
    "train resume=nowhere": "nowhere",
    "eval checkpoint=nowhere": "nowhere",
    "eval checkpoint=a,b": "takes one run",
    "eval policy=zero": "needs task=",
    "view task=cartpole": "policy=zero",
    f"view {CARTPOLE} policy=zeros": "policy=zeros: is not one of zero, random",
    "collect": "ksim train task=",
    "bench": "needs task=",
    f"bench {CARTPOLE} checkpoint=latest": "ksim bench takes no run",
    "retarget": "needs task=",
    f"retarget {CARTPOLE} resume=latest": "ksim retarget takes no run",
    f"train {CARTPOLE} out=clip.npz": "out=clip.npz: is for ksim retarget. Leave it out",
    f"train {CARTPOLE} checkpoint_seed=1": "checkpoint_seed=1",
    f"train {CARTPOLE} seed=4294967295 num_seeds=2": "exceed 2^32 - 1",
    f"train -m {CARTPOLE} seed=0,1 hydra/launcher=slurm": "hydra/launcher=slurm: ",
    "list reward": "no group 'reward'. Did you mean 'rewards'",
}

# Mistakes in the terms themselves: finding them costs the import of JAX, and no compilation.
WRONG_TERMS = {
    f"train {CARTPOLE} rewards.balance.sigma=2": "rewards.balance: no parameter 'sigma'",
    f"train {CARTPOLE} rewards.balanse.weight=2": "no type. Did you mean 'balance'",
    f"train {CARTPOLE} rewards.balance.weight=heavy": "rewards.balance.weight=heavy: expected float",
    f"train {CARTPOLE} rewards.balance.type=balance": "no reward 'balance'",
    f"train {CARTPOLE} observations.velocity.joints=[hing]": "Did you mean 'hinge'",
    "train task=quadruped rewards.linear_velocty.weight=1": "Did you mean 'linear_velocity'",
    "train task=quadruped rewards.linear_velocity.command=speed": "The task's commands: angular_",
    "train task=quadruped joints.FL_kalf.kp=3": "joints.FL_kalf: no hinge or slide joint",
    "train task=quadruped observations.gravity.noise.type=gaus": "gravity.noise.type: no noise",
    "train task=humanoid randomization.load.body=chest": "randomization.load: no body 'chest'",
    f"train {CARTPOLE} actuators.all.gear_ratio.sliderr=1": "Did you mean 'slider'",
    f"train {CARTPOLE} task.model=carpole.xml": "Did you mean 'cartpole.xml'",
}


def run(capsys, typed):
    status = main(typed.split(" "))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one_message(error):
    lines = [line for line in error.splitlines() if line.startswith("ksim")]
    lines = [line for line in lines if not line.endswith(" now")]  # an old name's new one
    return len(lines) == 1 and "Traceback" not in error and "HYDRA_FULL_ERROR" not in error


@pytest.fixture
def no_work(monkeypatch):
    """Fails where a mistake is found only by the work itself, which imports JAX."""

    def work(config):
        raise AssertionError("the config passed every check")

    for name in ("_train", "_view", "_collect", "_evaluate"):
        monkeypatch.setattr(commands, name, work)


@pytest.mark.parametrize("typed", WRONG)
def test_a_mistake_gets_one_message_and_status_two(project, no_work, capsys, typed):
    try:
        status, _, error = run(capsys, typed)
    except SystemExit as left:
        status, error = left.code, capsys.readouterr().err
    assert status == 2, error
    assert WRONG[typed] in error
    assert one_message(error), error
    assert not (project / "runs").exists(), "nothing was begun"


@pytest.mark.parametrize("typed", WRONG_TERMS)
def test_a_mistake_in_a_term_is_found_before_anything_is_compiled(project, capsys, typed):
    with pytest.raises(SystemExit) as left:
        main(typed.split())
    captured = capsys.readouterr()
    assert left.value.code == 2
    assert WRONG_TERMS[typed] in captured.err
    assert one_message(captured.err), captured.err
    assert "compiling" not in captured.out


def typed_in_one_process(folder, commands, heavy):
    """Exit status of each command; fails at the first that has imported what is heavy."""
    code = (
        "import json, sys\n"
        "from ksim_cli.cli import main\n"
        "for typed in json.loads(sys.argv[1]):\n"
        "    try:\n        status = main(typed.split())\n"
        "    except SystemExit as left:\n        status = left.code\n"
        "    found = set(json.loads(sys.argv[2])) & set(sys.modules)\n"
        "    assert not found, (typed, found)\n"
        "    print('status', status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands), json.dumps(heavy)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(status) for status in re.findall(r"^status (\d+)$", done.stdout, re.MULTILINE)]


def test_a_mistake_the_schema_knows_is_found_without_jax(tmp_path):
    mistakes = ("num_envs=10 batch_size=4", "algo.clip_parm=1", "task.type=x", "seed=x", "sed=1")
    commands = [*(f"train {CARTPOLE} {mistake}" for mistake in mistakes), "train task=cartpol"]
    assert typed_in_one_process(tmp_path, commands, ["jax"]) == [2] * 6


def test_help_and_list_load_neither_jax_nor_hydra_nor_yaml(tmp_path):
    commands = ["--help", "list", "train --help", "--version", "eval --help"]
    heavy = ["jax", "hydra", "omegaconf", "yaml", "numpy", "mujoco", "flax"]
    assert typed_in_one_process(tmp_path, commands, heavy) == [0] * 5


def test_help_and_list_are_quick(tmp_path):
    """Counted in modules, which is the same on every machine; Python itself starts with some 60."""
    code = "import sys\nfrom ksim_cli.cli import main\n"
    for typed in ("--help", "list", "train --help"):
        tail = (
            f"try:\n    main({typed.split()!r})\nexcept SystemExit: pass\nprint(len(sys.modules))"
        )
        run = [sys.executable, "-I", "-c", code + tail]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert int(done.stdout.splitlines()[-1]) < 160, typed


def test_a_section_is_listed_with_its_types(project, capsys):
    assert main(["list", "observations", "optimizer"]) == 0
    text = capsys.readouterr().out
    assert "types of observations:" in text and "joint_position" in text
    assert re.search(r"adamw +built-in", text) and "learning_rate: float = 0.0003" in text
    assert "engine:" not in text and "types of observations:\n  action_position" in text


def test_the_help_of_a_command_lists_groups_and_every_key(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for part in ("task=", "cartpole", "num_envs=256", "[s]", "algo.gamma=0.99", "--multirun"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 110


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ksim {__version__}\n"
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("train", "eval", "view", "collect", "bench", "retarget", "list"):
        assert re.search(rf"^  {command} +\w", text, re.MULTILINE), command
    assert main([]) == 2
    assert capsys.readouterr().out == text, "nothing typed: the same text, and a mistake"


@pytest.mark.slow
def test_a_users_own_task_terms_and_yaml(tmp_path):
    """A task of his own, a YAML that shadows a built-in one, a reward of his own."""
    (tmp_path / "tasks").mkdir()
    for group in ("task", "rewards"):
        (tmp_path / "configs" / group).mkdir(parents=True)
    (tmp_path / "tasks" / "__init__.py").write_text(
        "from dataclasses import dataclass\n"
        "from ksim_cli.mdp.term import Reward\n"
        "from ksim_cli.registry import REWARDS\n"
        "@REWARDS.register('three')\n@dataclass(frozen=True, kw_only=True)\n"
        "class Three(Reward):\n    times: float = 1.0\n"
        "    def __call__(self, step, carry):\n        return 3.0 * self.times, carry\n"
    )
    (tmp_path / "tasks" / "pendulum.py").write_text(
        "import mujoco\nfrom ksim_cli.registry import TASKS\nfrom ksim_cli.task import Task\n"
        'XML = \'\'\'<mujoco><worldbody><body><joint name="pin" type="hinge" axis="0 1 0"/>'
        '<geom type="capsule" fromto="0 0 0 0 0 -1" size=".05"/></body></worldbody></mujoco>\'\'\'\n'
        "@TASKS.register('pendulum')\nclass Pendulum(Task):\n"
        "    def get_mujoco_model(self):\n        return mujoco.MjSpec.from_string(XML)\n"
    )
    (tmp_path / "configs" / "task" / "pendulum.yaml").write_text(
        "# @package _global_\n# my pendulum\ndefaults:\n  - override /rewards: three\n  - _self_\n"
        "num_envs: 4\nbatch_size: 2\nrollout_length_frames: 4\nnum_iterations: 1\nnum_episodes: 2\n"
        "observations: {angle: {type: joint_position}}\n"
        "terminations: {limit: {type: episode_length, max_length_seconds: 0.2}}\n"
    )
    (tmp_path / "configs" / "rewards" / "three.yaml").write_text("# three\nit: {type: three}\n")
    (tmp_path / "configs" / "rewards" / "cartpole.yaml").write_text(
        "# mine\nit: {type: three, times: 2.0}\n"
    )
    listed = ksim("list", cwd=tmp_path, check=0).stdout
    assert "my pendulum" in listed and "shadows the built-in one" in listed
    done = ksim("train", "task=pendulum", "run_dir=own", cwd=tmp_path, check=0)
    # 0.2 s are 10 steps of 20 ms, each worth 3.
    assert "return 30.0 ± 0.0, length 10 steps" in done.stdout
    tiny = ("num_envs=4", "batch_size=2", "rollout_length_frames=4", "num_episodes=2")
    short = "terminations.time_limit.max_length_seconds=0.1"
    done = ksim(
        *("train", "task=cartpole", *tiny, short, "num_iterations=1", "run_dir=shadowed"),
        cwd=tmp_path,
        check=0,
    )
    assert "return 60.0" in done.stdout, "the shadowing bundle: 10 steps worth 2 * 3"
    ksim("eval", "checkpoint=own", cwd=tmp_path, check=0)
    facts = json.loads((tmp_path / "own" / "eval.json").read_text())
    assert facts["episode_returns"] == [30.0, 30.0] and facts["episode_lengths"] == [10, 10]


def test_a_task_of_python_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "pyonly.py").write_text("raise RuntimeError('must not be run')\n")
    assert main(["list", "task"]) == 0
    assert "pyonly" in capsys.readouterr().out
    assert main(["train", "task=pyonly", "--cfg", "job"]) == 0
    assert "type: pyonly" in capsys.readouterr().out


def test_a_task_yaml_without_its_package_line_is_explained(project, capsys):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "tasks").mkdir()
    own = project / "tasks" / "mine.py"
    own.write_text("")
    assert main(["train", "task=mine", "--cfg", "job"]) == 0
    own.unlink()  # what was an option without a YAML is none any more
    (project / "configs" / "task" / "mine.yaml").write_text("num_envs: 8\n")
    assert main(["train", "task=mine"]) == 2
    error = capsys.readouterr().err
    assert "# @package _global_" in error and "task.num_envs" in error


def test_a_yaml_error_names_the_file_and_the_line(project, capsys):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "mine.yaml").write_text("# @package _global_\na: [1\nb: 2\n")
    assert main(["train", "task=mine"]) == 2
    error = capsys.readouterr().err
    assert "mine.yaml" in error and "line 3" in error and "Traceback" not in error


def test_the_composed_config_can_be_shown(project, capsys):
    assert main(["train", CARTPOLE, "--cfg", "job", "algo.gamma=0.5"]) == 0
    assert "gamma: 0.5" in capsys.readouterr().out
    shown = ksim("train", CARTPOLE, "--info", "searchpath", cwd=project, check=0)
    assert "configs" in shown.stdout


def test_one_more_folder_of_configs(project, capsys):
    (project / "extra" / "rewards").mkdir(parents=True)
    (project / "extra" / "rewards" / "other.yaml").write_text("x: {type: stay_alive}\n")
    typed = ["train", CARTPOLE, "--config-dir", "extra", "rewards=other", "--cfg", "job"]
    assert main(typed) == 0
    assert "stay_alive" in capsys.readouterr().out


def test_there_is_a_module_to_run():
    done = subprocess.run(
        [sys.executable, "-m", "ksim_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ksim ")
    assert Path(sys.executable).exists()


def test_more_of_hydras_flags(project, capsys):
    assert main(["train", CARTPOLE, "--cfg", "job", "-p", "algo", "--resolve"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# @package algo\n") and "lam: 0.99" in text and "seed" not in text
    (project / "other").mkdir()
    (project / "other" / "mine.yaml").write_text(
        "defaults: [train, {override task: cartpole}, _self_]\nseed: 77\n"
    )
    typed = ["train", "--config-dir", "other", "--config-name", "mine", "--cfg", "job"]
    assert main([*typed, "-p", "seed"]) == 0
    assert capsys.readouterr().out.strip().endswith("77")


def test_a_file_in_an_ordinary_group_has_no_package_line(project, capsys):
    (project / "configs" / "rewards").mkdir(parents=True)
    (project / "configs" / "rewards" / "mine.yaml").write_text(
        "# @package _global_\nup: {type: stay_alive}\n"
    )
    assert main(["train", CARTPOLE, "rewards=mine"]) == 2
    error = capsys.readouterr().err
    assert "In 'rewards/mine': no key 'up'" in error and "has no @package line" in error


def test_a_key_in_a_yaml_is_checked_as_one_that_is_typed(project, no_work, capsys):
    (project / "configs" / "task").mkdir(parents=True)
    mine = project / "configs" / "task" / "mine.yaml"
    for text, message in (
        ("nun_envs: 8", "In 'task/mine': no key 'nun_envs'. Did you mean 'num_envs'"),
        ("learning_rate: 8", "It is called 'optimizer.learning_rate' now"),
        ("num_envs: many", "In 'task/mine': num_envs=many: expected int, got str"),
        ("algo: {gama: 1}", "In 'task/mine': no key 'algo.gama'. Did you mean 'algo.gamma'"),
        ("engine: {typ: mjx}", "In 'task/mine': no key 'engine.typ'. Did you mean 'engine.type'"),
        ("defaults: [override /rewards: nothing]", "no rewards 'nothing'"),
        ("rollout_length_seconds: -1.0", "rollout_length_seconds=-1.0: must be above 0"),
    ):
        mine.write_text(f"# @package _global_\n{text}\n")
        try:
            status = main(["train", "task=mine"])
        except SystemExit as left:
            status = left.code
        error = capsys.readouterr().err
        assert status == 2 and message in error and one_message(error), error


def test_a_yaml_that_extends_the_built_in_one_of_its_own_name(project, capsys):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "task" / "cartpole.yaml").write_text(
        "# @package _global_\ndefaults: [cartpole, _self_]\nseed: 1\n"
    )
    assert main(["train", CARTPOLE]) == 2
    assert "needs another name" in capsys.readouterr().err


def test_a_replaced_primary_config_is_noted(project, capsys):
    (project / "configs" / "task").mkdir(parents=True)
    (project / "configs" / "train.yaml").write_text("defaults: [run_schema, _self_]\nseed: 5\n")
    assert main(["train", "--cfg", "job", "-p", "seed"]) == 0
    assert "configs/train.yaml replaces the built-in one" in capsys.readouterr().err
