"""What each command starts from, and what becomes of a job. Nothing here trains."""

import dataclasses
import errno
import json
from pathlib import Path

import pytest

from ksim_cli import commands
from ksim_cli.cli import main
from ksim_cli.config.saved import config_text, sealed
from ksim_cli.errors import UserError
from tests.helpers import run_config

OLD, NEW = "2026-01-02_03-04-05", "2026-01-02_03-04-06"


@pytest.fixture
def work(monkeypatch):
    """What reaches the work: its name and the config."""
    seen = []
    for name in ("_view", "_collect", "_evaluate"):
        monkeypatch.setattr(commands, name, lambda config, name=name: seen.append((name, config)))
    monkeypatch.setattr(
        "ksim_cli.run.train.train", lambda config, typed: seen.append(("_train", config)) or 1.0
    )
    return seen


@pytest.fixture
def runs(project):
    """Two runs of the cart-pole, the newer with seed 6, and a run elsewhere with seed 7."""
    config = run_config("task=cartpole", "seed=5", "algo.gamma=0.9", "engine.num_threads=3")
    made = {}
    for name, seed in ((f"runs/cartpole/{OLD}", 5), (f"runs/cartpole/{NEW}", 6), ("it's", 7)):
        (project / name).mkdir(parents=True)
        text = config_text(dataclasses.replace(config, seed=seed))
        (project / name / "config.yaml").write_text(text)
        made[seed] = project / name
    return made


def ksim(*typed):
    try:
        return main(list(typed))
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize(("command", "job"), [("view", "_view"), ("collect", "_collect")])
def test_without_a_name_the_newest_run_acts_and_is_written_out(runs, work, command, job):
    assert ksim(command) == 0
    ((name, config),) = work
    assert name == job and config.seed == 6 and config.task.name == "cartpole"
    assert config.checkpoint == f"runs/cartpole/{NEW}"
    assert config.algo["gamma"] == 0.9 and config.engine.num_threads == 3


@pytest.mark.parametrize("command", ["view", "eval", "collect"])
@pytest.mark.parametrize("typed", [(), ("checkpoint=latest",), ("task=cartpole",)])
def test_a_newest_run_without_a_checkpoint_is_passed_over_and_said(
    runs, work, capsys, command, typed
):
    manifest = runs[5] / "checkpoints" / "00000002"
    manifest.mkdir(parents=True)
    (manifest / "manifest.json").write_text("{}")
    assert ksim(command, *typed) == 0
    assert work[0][1].checkpoint == f"runs/cartpole/{OLD}" and work[0][1].seed == 5
    said = f"ksim: runs/cartpole/{NEW} has no checkpoint yet: taking runs/cartpole/{OLD}\n"
    assert capsys.readouterr().err == said
    for named in (NEW, f"runs/cartpole/{NEW}"):
        assert ksim(command, f"checkpoint={named}") == 0
        assert work.pop()[1].seed == 6, "a run that is named is the one that is meant"
    assert capsys.readouterr().err == ""


def test_a_logger_without_its_package_is_refused_before_anything_is_built(
    project, work, monkeypatch, capsys
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("tensorboard", "wandb"):
        assert ksim("train", "task=cartpole", f"logger.{name}=true") == 2
        assert f"Type pip install 'ksim[{name}]'" in capsys.readouterr().err and not work
    assert ksim("view", "task=cartpole", "policy=zero", "logger.wandb=true") == 0


def test_loggers_are_asked_for_together(project, work, monkeypatch):
    monkeypatch.setattr(commands, "refuse_missing_packages", lambda logger: None)
    assert ksim("train", "task=cartpole", "logger=[tensorboard,wandb]") == 0
    assert ksim("train", "task=cartpole", "logger=wandb") == 0
    asked = [(config.logger.tensorboard, config.logger.wandb) for _, config in work]
    assert asked == [(True, True), (False, True)]


def test_a_task_names_its_newest_run(runs, work):
    assert ksim("eval", "task=cartpole") == 0
    assert ksim("train", "task=cartpole", "run_model_viewer=true") == 0
    assert [(name, c.checkpoint) for name, c in work] == [
        ("_evaluate", f"runs/cartpole/{NEW}"),
        ("_view", f"runs/cartpole/{NEW}"),
    ]


def test_a_checkpoint_names_a_run_and_other_keys_apply_on_top(runs, work, project):
    assert ksim("eval", 'checkpoint="it\'s"', "num_episodes=3", "algo.gamma=0.8") == 0
    config = work[0][1]
    assert (config.seed, config.num_episodes, config.algo["gamma"]) == (7, 3, 0.8)
    assert config.checkpoint == "it's" and config.resume is None


@pytest.mark.parametrize("folder", ["out/lr=0.1", "a, [b]", "{x}(1)", "müde", "it's", "~x"])
def test_a_checkpoint_in_a_folder_of_any_name(runs, work, project, folder):
    path = project / folder / "checkpoints" / "00000001"
    path.mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    (project / folder / "config.yaml").write_text((runs[7] / "config.yaml").read_text())
    for spec in (f"{folder}/checkpoints/1", folder, str(path)):
        if folder != "~x" or spec == str(path):  # a leading ~ is someone's home
            assert ksim("eval", f"checkpoint={spec}") == 0
            assert work.pop()[1].checkpoint == spec


def test_a_group_that_is_named_replaces_what_was_saved(runs, work):
    assert ksim("view", "engine=mujoco", "rewards=none", "render=small") == 0
    config = work[0][1]
    assert config.engine.type == "mujoco" and config.engine.num_threads == 0
    assert config.rewards == {} and config.render_width == 320


def test_the_older_flags_of_training_do_the_same(runs, work, capsys):
    assert ksim("train", "run_model_viewer=true", "viewer_num_seconds=2") == 0
    assert ksim("train", "collect_dataset=true", f"checkpoint=runs/cartpole/{OLD}") == 0
    assert ksim("train", "run_mode=view") == 0
    assert [name for name, _ in work] == ["_view", "_collect", "_view"]
    assert work[0][1].viewer_num_seconds == 2.0 and work[1][1].seed == 5
    assert "run_mode=view is run_model_viewer=true now" in capsys.readouterr().err


def test_a_policy_without_a_checkpoint(project, work):
    assert ksim("view", "task=cartpole", "policy=zero") == 0
    config = work[0][1]
    assert config.policy == "zero" and config.checkpoint is None and config.ctrl_dt == 0.01


@pytest.mark.parametrize("spec", ["latest", NEW, f"runs/cartpole/{NEW}"])
def test_resuming_starts_from_the_runs_own_config(runs, work, spec):
    assert ksim("train", f"resume={spec}", "max_env_steps=999") == 0
    ((name, config),) = work
    assert name == "_train" and (config.seed, config.max_env_steps) == (6, 999)
    assert config.resume == f"runs/cartpole/{NEW}" and config.run_dir is None


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("train", "resume=latest", "run_dir=x"), "Leave out run_dir="),
        (("train", "resume=latest", "task=cartpole"), "Leave out task="),
        (("train", "resume=latest", "algo.clip_parm=1"), "no parameter 'clip_parm'"),
        (("train", "resume=latest", "algo.gamma=x"), "algo.gamma=x: expected float"),
        (("train", "run_model_viewer=true", "collect_dataset=true"), "one at a time"),
        (("view", "run_dir=x"), "run_dir=x: is for ksim train"),
        (("view", "task=humanoid"), "no trained run in runs/humanoid"),
    ],
)
def test_what_does_not_go_together(runs, work, capsys, typed, message):
    assert ksim(*typed) == 2
    assert message in capsys.readouterr().err and work == []


def test_a_saved_config_with_a_wrong_value_is_named(runs, work, capsys):
    path = runs[6] / "config.yaml"
    text = path.read_text().partition("# SHA-256")[0]
    path.write_text(sealed(text.replace("num_envs: 256", "num_envs: many")))
    assert ksim("view") == 2
    assert f"{path.relative_to(path.parents[3])}: num_envs=many: exp" in capsys.readouterr().err


def test_a_saved_config_that_would_run_code_is_refused(runs, work, capsys):
    path = runs[6] / "config.yaml"
    path.write_text(path.read_text() + "events: {x: {_target_: os.system}}\n")
    assert ksim("view") == 2
    assert "'_target_' is not allowed in a saved config" in capsys.readouterr().err and work == []


def test_a_crash_is_status_one_with_its_traceback(project, monkeypatch, capsys):
    def crash(config):
        raise RuntimeError("it broke")

    monkeypatch.setattr(commands, "_train", crash)
    assert ksim("train", "task=cartpole") == 1
    error = capsys.readouterr().err
    assert error.count("RuntimeError: it broke") == 1 and "Traceback" in error


def test_a_crash_that_looks_like_a_config_error_is_a_crash_all_the_same(
    project, monkeypatch, capsys
):
    import yaml

    def crash(config):
        raise yaml.YAMLError("not the config's fault")

    monkeypatch.setattr(commands, "_train", crash)
    assert ksim("train", "task=cartpole") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a.gif"),
            "a.gif: No space left on device",
        ),
        (OSError(errno.EROFS, "Read-only file system"), "ksim train: Read-only file system"),
        (FileExistsError(errno.EEXIST, "File exists", "x"), "x: File exists"),
        (OSError("it broke"), "Traceback"),
    ],
)
def test_what_a_disk_refuses_is_told_in_one_message(project, monkeypatch, capsys, error, message):
    def fail(config):
        raise error

    monkeypatch.setattr(commands, "_train", fail)
    crash = message == "Traceback"
    assert ksim("train", "task=cartpole") == (1 if crash else 2)
    said = capsys.readouterr().err
    assert message in said and ("Traceback" in said) == crash
    monkeypatch.setenv(commands.TRACEBACK, "1")
    assert ksim("train", "task=cartpole") == 1
    assert "Traceback" in capsys.readouterr().err


LONG = "x" * 300
REFUSED = (
    *("eval checkpoint={}", "view checkpoint={}", "collect checkpoint={}", "view dump={}/dumps/x"),
    *("train resume={}", "train task=cartpole run_dir={}", "train task={} --help"),
    *("train task=model task.model={}", "train task={}", "train task=cartpole algo={}"),
    *("train task=cartpole --config-name={}", "train task=cartpole --config-dir={}"),
    *("train -m task=cartpole hydra.sweep.dir={}", "bench task={}", "list {}"),
)


@pytest.mark.parametrize("typed", REFUSED)
def test_a_name_that_no_file_can_have_is_told_in_one_message(project, work, capsys, typed):
    assert ksim(*typed.format(LONG).split()) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err and err.startswith("ksim") and err.count("ksim ") <= 1
    assert LONG in err and not work and not [*project.iterdir()]


def test_a_sweep_over_paths_may_be_longer_than_a_name(project, work, capsys):
    names = [f"{letter * 99}.xml" for letter in "abc"]
    ksim("train", "-m", "task=model", f"task.model={','.join(names)}")
    assert [config.task.model for _, config in work] == names


@pytest.mark.parametrize("typed", ["list", "list rewards", "train task=mine", "eval checkpoint=x"])
def test_what_may_not_be_read_is_told_in_one_message(runs, project, monkeypatch, capsys, typed):
    for name in ("configs/rewards/mine.yaml", "configs/task/mine.yaml", "x/config.yaml"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("# @package _global_\n")
    read = Path.read_text

    def refuse(path, *arguments, **keywords):
        if path.is_relative_to(project) or not path.is_absolute():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "read_text", refuse)  # who tests may be root, who may read all
    assert ksim(*typed.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("ksim") and err.endswith(".yaml: Permission denied\n")
    assert len(err.splitlines()) == 1


def sweep(monkeypatch, outcomes):
    """Runs a sweep over seeds whose jobs end as told; returns the status and what ran."""
    ran = []

    def job(config):
        ran.append(config)
        outcome = outcomes[config.seed]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(commands, "_train", job)
    seeds = ",".join(map(str, range(len(outcomes))))
    return ksim("train", "-m", "task=cartpole", f"seed={seeds}"), ran


def test_each_job_of_a_sweep_has_a_folder_of_its_own(project, monkeypatch):
    status, ran = sweep(monkeypatch, [1.0, 2.0, 3.0])
    assert status == 0 and [config.seed for config in ran] == [0, 1, 2]
    folders = [config.run_dir for config in ran]
    (parent,) = (project / "runs" / "sweeps").iterdir()
    assert folders == [str(parent / str(i)) for i in range(3)]
    assert not list(project.rglob(".hydra")) and not (project / "outputs").exists()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        pytest.param("hydra.sweep.dir=out", marks=pytest.mark.slow),
        pytest.param("run_dir=elsewhere/${seed}", marks=pytest.mark.slow),
    ],
)
def test_a_sweep_ends_with_a_table_of_its_runs(project, monkeypatch, capsys, typed):
    def train(config, typed):
        rows = [{"iteration": 1, "env_steps": 1, "eval_episode_return_mean": 10.0 * config.seed}]
        run = Path(config.run_dir)
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.yaml").write_text(config_text(config))
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    monkeypatch.setattr("ksim_cli.run.train.train", train)
    folder = (typed,) if typed else ()
    assert ksim("train", "-m", "task=cartpole", "seed=1,2", *folder) == 0
    said = capsys.readouterr().out
    assert said.count("\n2 runs\n") == 1 and "± 95 % confidence interval" in said
    assert "n=2: 1, 2" in said and "15.00 ± 63.53" in said
    assert ksim("train", "task=cartpole", "run_dir=single") == 0
    assert "runs," not in capsys.readouterr().out, "a single run needs no table"


@pytest.mark.parametrize(
    ("first", "status", "said"),
    [
        (RuntimeError("it broke"), 1, "RuntimeError: it broke"),
        (UserError("no such joint"), 2, "ksim train: no such joint"),
    ],
)
def test_a_failed_job_of_a_sweep_stops_no_other(project, monkeypatch, capsys, first, status, said):
    got, ran = sweep(monkeypatch, [first, 2.0])
    assert got == status and len(ran) == 2
    error = capsys.readouterr().err
    assert error.count(said) == 1
    assert "Error executing job with overrides: ['task=cartpole', 'seed=0']" in error


def test_a_sweep_is_composed_whole_before_it_begins(project, monkeypatch, capsys):
    monkeypatch.setattr(commands, "_train", lambda config: pytest.fail("begun"))
    assert ksim("train", "-m", "task=cartpole", "seed=1,x") == 2
    assert "seed=x: expected int" in capsys.readouterr().err


def test_a_sweep_over_groups_meets_options_only(project, monkeypatch):
    ran = []
    monkeypatch.setattr(commands, "_train", ran.append)
    assert ksim("train", "-m", "task=cartpole", "optimizer=glob(*)") == 0
    assert [config.optimizer["type"] for config in ran] == ["adam", "adamw"]


def test_a_sweep_over_a_field_of_a_term(project, monkeypatch):
    ran = []
    monkeypatch.setattr(commands, "_train", ran.append)
    assert ksim("train", "-m", "task=cartpole", "rewards.balance.weight=1,2") == 0
    assert [config.rewards["balance"]["weight"] for config in ran] == [1, 2]


def test_an_option_of_the_users_own(project, monkeypatch):
    """It needs no more than the fields it changes, and any other may be given beside it."""
    for name, text in (
        ("algo/quick.yaml", "# quick\ntype: ppo\nnum_passes: 1\n"),
        ("algo/long.yaml", "# long\ndefaults: [ppo, _self_]\ngamma: 0.999\n"),
        (
            "experiment/mine.yaml",
            "# @package _global_\ndefaults: [override /algo: long]\nseed: 4\n",
        ),
    ):
        (project / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "configs" / name).write_text(text)
    ran = []
    monkeypatch.setattr(commands, "_train", ran.append)
    assert ksim("train", "task=cartpole", "algo=quick", "algo.gamma=0.5") == 0
    assert ksim("train", "task=cartpole", "experiment=mine") == 0
    quick, mine = ran
    assert (quick.algo["num_passes"], quick.algo["gamma"]) == (1, 0.5)
    assert quick.algo["clip_param"] == 0.2, "defaults are filled in"
    assert mine.algo["gamma"] == 0.999 and mine.seed == 4 and mine.algo["lam"] == 0.99
