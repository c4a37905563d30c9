"""The jobs behind the commands: a composed config in, the work done by `ksim_cli.run`.

Module-level functions, so that launchers (joblib, submitit) find them by name. JAX is imported
only when the configuration has passed its checks.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ksim_cli import registry
from ksim_cli.config.compose import (
    Start,
    is_sweep,
    launch,
    make_sweep_folders,
    to_run_config,
    typed_now,
)
from ksim_cli.config.help import command_help
from ksim_cli.config.looking import LOOKING
from ksim_cli.config.overrides import MOTIONS, SHOWN_FIRST, CommandLine
from ksim_cli.config.own_terms import own_types
from ksim_cli.config.report import JobFailedError
from ksim_cli.config.resuming import refuse_changes
from ksim_cli.config.schema import RunConfig
from ksim_cli.config.validate import refuse_missing_packages
from ksim_cli.errors import RunFailedError, UserError, of_a_disk
from ksim_cli.io.kept_code import refuse_foreign_files, refuse_foreign_model
from ksim_cli.io.recordings import read_recording
from ksim_cli.io.runs import RUNS, RunFolder, find_checkpoint, find_run, newest_with_checkpoint
from ksim_cli.io.sources import with_sources
from ksim_cli.own_code import explain_own
from ksim_cli.paths import stay_in
from ksim_cli.view.kind import viewer_kind

TRACEBACK = "KSIM_TRACEBACK"
"""Environment variable that shows errors of one's own code with all of their frames."""

_swept: list[Path] = []
"""Folders of the sweep that goes on: its own, and in this process those of its runs."""


def _new_sweep(root: str) -> str:
    """A folder for a sweep, below the folder of all runs."""
    folder = RunFolder.create(Path(root), "sweeps").path
    _swept.append(folder)
    return str(folder)


make_sweep_folders(_new_sweep)

_OF_A_RUN = (
    "beside resume= or checkpoint=: a run has its task, its folder and its seeds already."
    " Leave out {key}="
)


def train(composed: Any) -> Any:
    """`ksim train`."""
    return _run("train", composed, _train)


def view(composed: Any) -> Any:
    """`ksim view`."""
    return _run("view", composed, _view)


def collect(composed: Any) -> Any:
    """`ksim collect`."""
    return _run("collect", composed, _collect)


def evaluate(composed: Any) -> Any:
    """`ksim eval`."""
    return _run("eval", composed, _evaluate)


def bench(composed: Any) -> Any:
    """`ksim bench`."""
    return _run("bench", composed, _bench)


def retarget(composed: Any) -> Any:
    """`ksim retarget`."""
    return _run("retarget", composed, _retarget)


def list_types(names: list[str]) -> str:
    """The registered types of some sections, with what each does and its parameters.

    Args:
        names: sections; one that has no types is passed over. Of the user's own types the files
            are read, and no task is imported.
    """
    from ksim_cli import mdp, models, rl

    mdp.register_terms()
    models.register_models()
    rl.register_algorithms()
    lines: list[str] = []
    for name in (name for name in names if name in registry.KINDS):
        kind = registry.KINDS[name]
        own = own_types(name)
        there = kind.names() or own
        lines.append(f"types of {name}:" if there else f"types of {name}: (none)")
        for each in kind.names():
            cls = kind.get(each, name)
            lines.append(f"  {each:<32} {(cls.__doc__ or '').splitlines()[0]}")
            lines.append(f"      {registry.parameters(cls)}")
        for each in own:
            lines.append(f"  {each.name:<32} {each.description} ({each.file})")
            lines.append(f"      {each.parameters}")
    return "".join(f"{line}\n" for line in lines)


def show_help(command: str, arguments: list[str]) -> int:
    """`ksim <command> task=... --help`: the help with that task's values; returns the status."""

    def show(composed: Any) -> None:
        print(command_help(command, to_run_config(composed)))

    kept = [each for each in arguments if each not in ("-m", "--multirun")]
    return launch(command, kept, show, Start)


def run_command(command: str, arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    if command in LOOKING:
        return _look(command, arguments)
    job, begin = {
        "train": (train, _begin_training),
        "bench": (bench, partial(_begin_building, "bench")),
        "retarget": (retarget, partial(_begin_building, "retarget")),
        "view": (view, _begin_viewing),
        "collect": (collect, _begin_acting),
        "eval": (evaluate, _begin_acting),
    }[command]
    _swept.clear()
    status = launch(command, arguments, job, begin)
    if command == "train" and _swept:
        from ksim_cli.run.report import show_sweep

        show_sweep(_swept)
    return status


def _look(command: str, arguments: list[str]) -> int:
    """`ksim report` and `ksim plot`, which build nothing; returns the exit status."""
    stay_in(None)
    try:
        if command == "report":
            from ksim_cli.run.report import report

            report(arguments)
        else:
            from ksim_cli.run.plot import plot

            plot(arguments)
    except UserError as error:
        print(f"ksim {command}: {error}", file=sys.stderr)
        return error.status
    return 0


def _train(config: RunConfig) -> float | None:
    if config.run_model_viewer:
        return _view(config)
    if config.collect_dataset:
        return _collect(config)
    refuse_missing_packages(config.logger)
    if is_sweep() and config.run_dir is not None:
        _swept.append(Path(config.run_dir))
    from ksim_cli.run.train import train

    return train(config, typed_now())


def _view(config: RunConfig) -> None:
    from ksim_cli.run.view import view

    view(config, typed_now())


def _collect(config: RunConfig) -> None:
    from ksim_cli.run.collect import collect

    collect(config)


def _evaluate(config: RunConfig) -> None:
    from ksim_cli.run.evaluate import evaluate

    evaluate(config)


def _bench(config: RunConfig) -> None:
    from ksim_cli.run.bench import bench

    bench(config)


def _retarget(config: RunConfig) -> None:
    from ksim_cli.run.retarget import retarget

    retarget(config)


def _run(command: str, composed: Any, work: Callable[[RunConfig], Any]) -> Any:
    """Runs a job; says what went wrong once, and tells a crash from a mistake by its status.

    What is raised through Hydra would be preceded by Hydra's own lines, so a single job leaves
    with SystemExit. A sweep goes on with its other jobs.
    """
    # Hydra opens the root logger for all; libraries shall speak up only when something is wrong.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("hydra").setLevel(logging.INFO)
    try:
        config = to_run_config(composed)
        typed, spec = typed_now(), config.resume or config.checkpoint
        run_chose_model = spec is not None and "task.model" not in typed
        if spec is not None:
            run = find_run(spec, RUNS)
            # One without a checkpoint starts afresh, with anything.
            if config.resume is not None and run.has_checkpoint():
                refuse_changes(config, run.config)
            run.check(writes=config.resume is not None)
            if run_chose_model:
                refuse_foreign_model(config.task, run.path)
            refuse_foreign_files(config, run.path, typed)
        else:
            config = with_sources(config, RUNS)
        if command == "view" or config.run_model_viewer:
            from ksim_cli.io.gl import pick_gl

            try:
                if viewer_kind(config) == "video":
                    pick_gl(config.render_with_glfw)  # MuJoCo looks at it while it is imported
            except UserError:
                if config.dump is None:  # whose table is shown all the same
                    raise
        from ksim_cli.run.backend import prepare

        prepare(config)
        if run_chose_model:
            from ksim_cli.run.strangers import try_model_of_run

            try_model_of_run(config)
        return work(config)
    except (UserError, RunFailedError) as error:
        print(f"ksim {command}: {error}", file=sys.stderr)
        status = error.status
    except Exception as error:
        message = None if os.environ.get(TRACEBACK) else explain_own(error) or of_a_disk(error)
        status = 1 if message is None else 2
        if message is None:
            traceback.print_exc()
        else:
            print(f"ksim {command}: {message}\n  {TRACEBACK}=1 shows all of it", file=sys.stderr)
    if is_sweep():
        raise JobFailedError(status)
    raise SystemExit(status)


def _begin_training(line: CommandLine) -> Start:
    """From the built-in configs, or from the config of the run that is resumed or viewed."""
    acts = [key for key in ("run_model_viewer", "collect_dataset") if _is_true(line.value(key))]
    if len(acts) == 2:
        raise UserError("run_model_viewer and collect_dataset: one at a time. Leave out one")
    if acts:
        return _begin_viewing(line) if acts == ["run_model_viewer"] else _begin_acting(line)
    why = "says what acts in ksim view, eval and collect. To train a run further type resume=FOLDER"
    why += ", to begin a new one from its policy init_from=FOLDER"
    _refuse(line, ("checkpoint", "policy", "checkpoint_seed"), why)
    for key in ("init_from", "algo.teacher"):
        if line.value(key) == "latest":  # of a sweep the same for all of its jobs
            newest = _with_checkpoint(find_run("latest", RUNS), "latest")
            line = line.replace(key, str(newest.path))
    spec = line.value("resume")
    if spec is None:
        return Start(line)
    if line.multirun:
        raise UserError("resume= continues one run, in its folder: leave out --multirun")
    _refuse(line, ("task", "run_dir", "seed", "num_seeds"), _OF_A_RUN)
    run = find_run(spec, RUNS)
    return Start(line.replace("resume", str(run.path)), run.config)


def _begin_building(command: str, line: CommandLine) -> Start:
    """From the built-in configs: what is measured, or retargeted onto, needs no run."""
    keys = ("resume", "run_dir", "checkpoint", "policy", "checkpoint_seed", "init_from")
    _refuse(line, keys, f"ksim {command} takes no run. Type task=...")
    return Start(line)


def _begin_viewing(line: CommandLine) -> Start:
    """From the built-in configs for a motion that is viewed by itself; else as what acts begins."""
    named = line.value(MOTIONS)
    if named in (None, "[]") or any(line.value(key) is not None for key in SHOWN_FIRST):
        return _begin_acting(line)
    if line.value("task") is None:
        raise UserError("motion=: which robot it is of is not known. Type task=...")
    _refuse(line, ("resume", "run_dir", "checkpoint_seed"), "is of runs, and no policy acts here")
    return Start(line)


def _begin_acting(line: CommandLine) -> Start:
    """From the config of the checkpoint's run, of the task's newest run, or of the newest run."""
    training = ("resume", "run_dir", "init_from", "init_from_partial")
    _refuse(line, training, "is for ksim train. To name a run: checkpoint=")
    spec, task = line.value("checkpoint"), line.value("task")
    if spec is None and task is None and (dump := line.value("dump")) is not None:
        spec = str(Path(dump).parent.parent)  # its run, whose folder dumps/ it lies in
    if spec is None and (dataset := line.value("dataset")) is not None:
        return _begin_replaying(line, Path(dataset).expanduser())
    if spec is not None:
        _refuse(line, ("task",), _OF_A_RUN)
    elif line.value("policy") is not None:
        if task is None:
            raise UserError(f"policy={line.value('policy')}: without a checkpoint needs task=...")
        if line.value("checkpoint_seed") is not None:
            raise UserError("checkpoint_seed=: there is no checkpoint beside policy=. Leave it out")
        return Start(line)
    elif task is not None:
        spec = _newest_of(task)
        line = line.without("task")
    try:
        run, step = find_checkpoint(spec, RUNS)
    except UserError as error:
        if spec is None or "," not in spec:
            raise
        more = "takes one run; type the command once for each"
        raise UserError(f"checkpoint={spec}: {more}\n  {error}") from error
    if step is None:
        run = _with_checkpoint(run, spec)
    if spec is None or step is None:
        # Written out, so that a run begun in the meantime is not taken for it.
        line = line.replace("checkpoint", str(run.path))
    return Start(line, run.config)


def _begin_replaying(line: CommandLine, dataset: Path) -> Start:
    """From the config of the run that a dataset lies in, else of the task it was recorded of."""
    if line.value("task") is not None:
        return Start(line)
    run = RunFolder(dataset.parent.parent)
    if run.config.is_file():
        return Start(line.replace("checkpoint", str(run.path)), run.config)
    return Start(line.replace("task", read_recording(dataset).task))


def _with_checkpoint(run: RunFolder, spec: str | None) -> RunFolder:
    """A run that was taken as the newest, or the newest before it that has something to act."""
    folder = RUNS if spec in (None, "latest") else Path(str(spec)).expanduser()
    if run.has_checkpoint() or not folder.is_dir() or folder.samefile(run.path):
        return run
    other = newest_with_checkpoint(folder)
    if other is None:
        return run
    print(f"ksim: {run.path} has no checkpoint yet: taking {other.path}", file=sys.stderr)
    return other


def _newest_of(task: str) -> str:
    """The folder of a task's runs, of which the newest is taken."""
    folder = RUNS / task
    if any(folder.glob("*/config.yaml")):
        return str(folder)
    raise UserError(
        f"task={task}: no trained run in {folder}. Train one (ksim train"
        f" task={task}), name one with checkpoint=, or add policy=zero or policy=random"
    )


def _refuse(line: CommandLine, keys: tuple[str, ...], why: str) -> None:
    for key in keys:
        if line.value(key) is not None:
            raise UserError(f"{key}={line.value(key)}: {why.format(key=key)}")


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() in ("true", "1", "yes", "on")
