"""What files of configuration may not do. A canary that fires would leave a file."""

import shutil
from pathlib import Path

import pytest
import yaml

from ksim_cli.cli import main
from ksim_cli.config import sources
from ksim_cli.errors import UserError
from ksim_cli.paths import builtin_root

TOUCH = "{_target_: pathlib.Path.write_text, self: canary, data: x}"
COPY = "{_target_: shutil.copy, src: configs/task/mine.yaml, dst: canary}"
HANDLER = "{class: logging.FileHandler, filename: canary}"
FACTORY = "{'()': logging.FileHandler, filename: canary}"

# file below the project -> text, and the key that the message names; the command chooses each.
FILES = {
    "callbacks of a task": (
        "configs/task/mine.yaml",
        f"# @package _global_\nhydra: {{callbacks: {{x: {COPY}}}}}\n",
        "'callbacks'",
    ),
    "callbacks without a target": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {callbacks: {x: {y: 1}}}\n",
        "'callbacks'",
    ),
    "a task whose package is hydra's": (
        "configs/task/mine.yaml",
        "# @package hydra\ncallbacks: {x: {y: 1}}\n",
        "'callbacks'",
    ),
    "a target in a term": (
        "configs/task/mine.yaml",
        f"# @package _global_\nrewards: {{x: {TOUCH}}}\n",
        "'_target_'",
    ),
    "logging with a class": (
        "configs/task/mine.yaml",
        f"# @package _global_\nhydra: {{job_logging: {{handlers: {{x: {HANDLER}}}}}}}\n",
        "'class'",
    ),
    "logging with a factory": (
        "configs/task/mine.yaml",
        f"# @package _global_\nhydra: {{hydra_logging: {{handlers: {{x: {FACTORY}}}}}}}\n",
        "'()'",
    ),
    "a launcher's setup": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {launcher: {setup: [touch canary]}}\n",
        "'setup'",
    ),
    "a line of its own in a launcher's script": (
        "configs/task/mine.yaml",
        '# @package _global_\nhydra: {launcher: {comment: "x\\ntouch canary"}}\n',
        "'comment'",
    ),
    "a function of a sweeper": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweeper: {custom_search_space: os.abort}}\n",
        "'custom_search_space'",
    ),
    "the environment of jobs": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: ./evil.so}}}\n",
        "'job.env_set'",
    ),
    "a sweep over hydra's own section": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {'++hydra.job_logging':"
        f" '{{version: 1, handlers: {{x: {HANDLER}}}, root: {{handlers: [x]}}}}'}}}}}}\n",
        "'hydra.job_logging'",
    ),
    "a sweep over the environment of jobs": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params:"
        " {'++hydra.job.env_set': '{LD_PRELOAD: ./evil.so}'}}}\n",
        "'hydra.job.env_set'",
    ),
    "a sweep over options of hydra": (
        "configs/experiment/mine.yaml",
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {'+hydra/callbacks': x}}}\n",
        "'hydra/callbacks'",
    ),
    "a sweep that puts a file into hydra's section": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweeper: {params: {'rewards@hydra.launcher': other}}}\n",
        "'rewards@hydra.launcher'",
    ),
    "a sweep over targets": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweeper: {params: {rewards: '{x: {_target_: shutil.copy}}'}}}\n",
        "'rewards'",
    ),
    "a sweep from elsewhere": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweeper: {params: '${rewards.x}'}}\n",
        "${rewards.x}",
    ),
    "a folder of hydra's own files": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {output_subdir: configs}\n",
        "'output_subdir'",
    ),
    "a sweep's folder elsewhere": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweep: {dir: /tmp}}\n",
        "'dir'",
    ),
    "a sweep's folder that an interpolation names": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweep: {dir: '${oc.env:HOME}'}}\n",
        "'dir'",
    ),
    "a sweep's folder behind a link": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweep: {dir: link/x}}\n",
        "'dir'",
    ),
    "a job's folder above": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {sweep: {subdir: ../../x}}\n",
        "'subdir'",
    ),
    "a job's name that is a path": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {job: {name: ../x}}\n",
        "'name'",
    ),
    "a launcher's folder": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {launcher: {submitit_folder: ~/x}}\n",
        "'submitit_folder'",
    ),
    "a file that hydra's logging writes": (
        "configs/task/mine.yaml",
        "# @package _global_\ndefaults: [{override /hydra/job_logging: default}]\n"
        "hydra: {job_logging: {handlers: {file: {filename: canary}}}}\n",
        "'job_logging'",
    ),
    "a launcher from elsewhere": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {launcher: '${rewards.x}'}\n",
        "${rewards.x}",
    ),
    "a file put into hydra's section": (
        "configs/task/mine.yaml",
        "# @package _global_\ndefaults: [/rewards@hydra.launcher: other]\n",
        "/rewards@hydra.launcher",
    ),
    "an experiment": (
        "configs/experiment/mine.yaml",
        f"# @package _global_\nhydra: {{callbacks: {{x: {COPY}}}}}\n",
        "'callbacks'",
    ),
    "an option of a group of hydra": (
        "configs/hydra/output/mine.yaml",
        "# @package hydra\ncallbacks: {x: {y: 1}}\n",
        "'callbacks'",
    ),
    "logging that a defaults list takes": (
        "configs/hydra/job_logging/mine.yaml",
        f"version: 1\nhandlers: {{x: {HANDLER}}}\n",
        "'job_logging'",
    ),
    "the primary config": (
        "configs/train.yaml",
        f"defaults: [run_schema, _self_]\nhydra: {{callbacks: {{x: {COPY}}}}}\n",
        "'callbacks'",
    ),
    "a package on the search path": (
        "configs/train.yaml",
        "defaults: [run_schema, _self_]\nhydra: {searchpath: ['pkg://evil']}\n",
        "pkg://evil",
    ),
    "another folder of configs": (
        "extra/task/mine.yaml",
        f"# @package _global_\nhydra: {{callbacks: {{x: {COPY}}}}}\n",
        "'callbacks'",
    ),
    "a folder of a run of hydra's": (
        "configs/task/mine.yaml",
        "# @package _global_\nhydra: {run: {dir: elsewhere}}\n",
        "run_dir: elsewhere",
    ),
}


def typed(file):
    folder, *groups, _ = Path(file).parts
    if not groups:
        return ["task=cartpole"]
    if groups == ["task"]:
        return ["task=mine", *(["--config-dir", "extra"] if folder == "extra" else [])]
    return ["task=cartpole", f"{'/'.join(groups)}=mine"]


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("command", [["train"], ["train", "-m"], ["bench"]])
def test_a_file_that_would_run_code_is_refused(project, capsys, case, command):
    file, text, key = FILES[case]
    for name, content in ((file, text), ("configs/rewards/other.yaml", "x: {type: stay_alive}\n")):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    (project / "link").symlink_to(project)
    assert main([*command, *typed(file)]) == 2
    error = capsys.readouterr().err
    assert str(file) in error and key in error, error
    assert len([line for line in error.splitlines() if not line.endswith("built-in one")]) == 1
    assert not (project / "canary").exists() and not (project / "runs").exists()


@pytest.mark.parametrize(
    "typed",
    [
        f"hydra.callbacks={{x:{TOUCH}}}",
        "+hydra.callbacks.x._target_=shutil.copy",
        "hydra/callbacks=mine",
        "hydra.launcher._target_=shutil.copy",
        "hydra.job_logging.handlers={x:{class:logging.FileHandler,filename:canary}}",
        "+hydra.job_logging.handlers.x.class=logging.FileHandler",
        "hydra.sweeper.custom_search_space=os.abort",
        "rewards={x:{_target_:shutil.copy}}",
    ],
)
def test_nor_is_it_for_the_command_line(project, capsys, typed):
    assert main(["train", "task=cartpole", typed]) == 2
    error = capsys.readouterr().err
    assert "names code to run" in error and error.count("\n") == 1


def test_plain_parameters_of_hydra_are_for_both(project, capsys):
    (project / "configs" / "experiment").mkdir(parents=True)
    (project / "configs" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra: {sweep: {subdir: 'x_${hydra.job.num}'}, job: {name: y},"
        " sweeper: {max_batch_size: 3, params: {seed: '0,1'}}, verbose: false,"
        " job_logging: {root: {level: DEBUG}}}\n"
    )
    mine = ["train", "task=cartpole", "experiment=mine", "--cfg", "hydra", "-p"]
    for package, shown in (("hydra.sweep", "subdir: x_"), ("hydra.sweeper", "max_batch_size: 3")):
        assert main([*mine, package]) == 0
        assert shown in capsys.readouterr().out
    line = ["train", "task=cartpole", "--cfg", "hydra", "-p", "hydra.sweeper"]
    assert main([*line, "hydra.sweeper.max_batch_size=4", "+hydra.job.env_set.A=b"]) == 0
    assert "max_batch_size: 4" in capsys.readouterr().out
    assert main([*line[:-1], "hydra.launcher", "+hydra.launcher.setup=[module load cuda]"]) == 0
    assert "module load cuda" in capsys.readouterr().out


def test_built_in_files_are_within_what_a_users_may_do(tmp_path):
    """As they would be refused where someone copies one into his project."""
    shutil.copytree(builtin_root() / "configs", tmp_path / "configs")
    looked_at = 0
    for file in (tmp_path / "configs").rglob("*.yaml"):
        name = file.relative_to(tmp_path / "configs").with_suffix("").as_posix()
        if name not in ("train", "saved"):  # which set hydra.run.dir
            sources.CheckedFiles("x", f"file://{tmp_path / 'configs'}").load_config(name)
            looked_at += 1
    assert looked_at > 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n" + "".join(f"  k{i}: 1\n" for i in range(60_000)), "more than 5000 values"),
        ("a: " + "[" * 5000 + "]" * 5000, "more than 32 deep"),
        ("a: " + "{b: " * 5000 + "1" + "}" * 5000, "more than 32 deep"),
        ("a: [" + "1, " * 60_000 + "1]", "more than 5000 values"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
            "more than 5000 values",
        ),
    ],
)
@pytest.mark.parametrize("file", ["configs/task/mine.yaml", "extra/task/mine.yaml"])
def test_what_would_be_read_for_minutes_is_refused(
    project, capsys, monkeypatch, text, message, file
):
    monkeypatch.setattr(
        sources.FileConfigSource, "load_config", refuse_only(project, sources.FileConfigSource)
    )
    (project / file).parent.mkdir(parents=True)
    (project / file).write_text(f"# @package _global_\n{text}\n")
    assert main(["train", *typed(file)]) == 2
    error = capsys.readouterr().err
    assert message in error and "mine.yaml" in error and error.count("\n") == 1


def refuse_only(project, source):
    """Hydra's reader, which must not come to a file of the project."""
    load = source.load_config

    def checked(self, config_path):
        assert not Path(self.path).is_relative_to(project), "it was read"
        return load(self, config_path)

    return checked


def test_a_file_of_ordinary_size_is_read_whatever_it_holds():
    sources.refuse_too_large("a: [1\nb: 2\n", "x")  # its reader says what is wrong with it
    sources.refuse_too_large("a: &x {b: 1}\nc: *x\n", "x")
    with pytest.raises(UserError, match="x: holds more"):
        sources.refuse_too_large("- 1\n" * 20_000, "x")


@pytest.mark.parametrize(
    ("motion", "files"),
    [("a.npz", "[a.npz]"), ("[a.npz, b c.npz]", "[a.npz, b c.npz]"), ("{files: [d.h5]}", "[d.h5]")],
)
def test_motions_of_a_file_are_written_as_they_are_typed(project, capsys, motion, files):
    (project / "configs/task").mkdir(parents=True)
    text = f"# @package _global_\ndefaults: [cartpole, _self_]\nmotion: {motion}\n"
    (project / "configs/task/mine.yaml").write_text(text)
    assert main(["train", "task=mine", "--cfg", "job", "-p", "motion"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["files"] == yaml.safe_load(files) and shown["loop"] is True
