"""The jobs behind the commands: a composed config in, the work done by `ksim_cli.run`.

Module-level functions, so that launchers (joblib, submitit) find them by name. JAX is imported
only when the configuration has passed its checks.
"""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ksim_cli.config.compose import is_sweep, launch, to_run_config
from ksim_cli.config.overrides import CommandLine
from ksim_cli.config.report import JobFailedError
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import UserError
from ksim_cli.io.runs import find_checkpoint, find_run

RUNS = Path("runs")


def train(composed: Any) -> Any:
    """`ksim train`."""
    return _run(composed, _train)


def view(composed: Any) -> Any:
    """`ksim view`."""
    return _run(composed, _view)


def collect(composed: Any) -> Any:
    """`ksim collect`."""
    return _run(composed, _collect)


def evaluate(composed: Any) -> Any:
    """`ksim eval`."""
    return _run(composed, _evaluate)


def run_command(command: str, arguments: list[str]) -> int:
    """Runs a command; returns the exit status."""
    job = {"train": train, "view": view, "collect": collect, "eval": evaluate}[command]
    find = _saved_for_training if command == "train" else _saved_for_policy
    return launch(command, arguments, job, find)


def _train(config: RunConfig) -> float | None:
    if config.run_model_viewer:
        return _view(config)
    if config.collect_dataset:
        return _collect(config)
    from ksim_cli.run.train import train

    return train(config)


def _view(config: RunConfig) -> None:
    from ksim_cli.io.gl import pick_gl

    pick_gl(config.render_with_glfw)  # MuJoCo looks at it while it is imported
    from ksim_cli.run.view import view

    view(config)


def _collect(config: RunConfig) -> None:
    from ksim_cli.run.collect import collect

    collect(config)


def _evaluate(config: RunConfig) -> None:
    from ksim_cli.run.evaluate import evaluate

    evaluate(config)


def _run(composed: Any, work: Callable[[RunConfig], Any]) -> Any:
    """Runs a job; a crash prints its traceback once and is told apart from a mistake."""
    # Hydra opens the root logger for all; libraries shall speak up only when something is wrong.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("hydra").setLevel(logging.INFO)
    try:
        return work(to_run_config(composed))
    except UserError as error:
        if is_sweep():
            raise
        # Raised through Hydra it would be preceded by Hydra's own line.
        print(f"ksim: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except Exception as error:
        traceback.print_exc()
        if is_sweep():
            raise JobFailedError(str(error)) from None
        raise SystemExit(1) from error


def _saved_for_training(line: CommandLine) -> Path | None:
    """The config of the run that is resumed, viewed or collected from."""
    spec = line.value("resume")
    if spec is not None and spec != "null":
        return find_run(spec, RUNS).config
    wants_policy = any(
        line.value(key) in ("true", "True") for key in ("run_model_viewer", "collect_dataset")
    )
    return _saved_for_policy(line) if wants_policy else None


def _saved_for_policy(line: CommandLine) -> Path | None:
    """The config of the checkpoint's run, or of the newest run if nothing else is named."""
    spec = line.value("checkpoint")
    if spec is not None and "," in spec:
        raise UserError("checkpoint= takes one value, not a sweep: run the command once for each")
    if spec is None and line.value("policy") is not None:
        if line.value("task") is None:
            raise UserError("policy=... without a checkpoint needs task=...")
        return None
    if spec is None and line.value("task") is not None:
        raise UserError(
            "task=... alone does not say what acts. Add policy=zero or policy=random,"
            " or name a run with checkpoint= instead of task="
        )
    run, _ = find_checkpoint(spec, RUNS)
    return run.config
