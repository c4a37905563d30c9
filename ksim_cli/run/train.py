"""`ksim train`: claims the run's folder, trains, and says how it ended."""

import contextlib
import traceback
from collections.abc import Collection
from pathlib import Path

import jax

from ksim_cli.clock import Clock
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import RunFailedError, UserError
from ksim_cli.io.console import open_console, silent_console
from ksim_cli.io.metrics import MetricsLog
from ksim_cli.io.runs import RUNS, RunFolder, find_run
from ksim_cli.own_code import explain_own
from ksim_cli.run import hosts, signals
from ksim_cli.run.records import TYPED
from ksim_cli.run.signals import Interrupted
from ksim_cli.run.training_run import TrainingRun


def train(config: RunConfig, typed: Collection[str] = ()) -> float:
    """`ksim train`: trains until the run's end, evaluates, and leaves a run folder.

    Args:
        config: the run's.
        typed: keys that were typed; on `resume=` they replace what the saved state holds.

    Returns:
        The mean return of the final evaluation.

    Raises:
        Interrupted: a signal; the last finished iteration is saved.
    """
    clock = Clock()
    hosts.join()
    fresh = config.resume is None and config.run_dir is None
    with contextlib.ExitStack() as held, signals.watching() as watch:
        watch.shared = jax.process_count() > 1

        def claim_run_folder() -> str:
            try:
                run = _run_folder(config)
                held.enter_context(run.lock())
                # What cannot be read is said now, not after compiling.
                for file in (run.metrics, *run.path.glob("seeds/*/metrics.jsonl")):
                    MetricsLog(file).read()
            except OSError as error:
                where = error.filename or config.run_dir or RUNS
                raise UserError(
                    f"{where}: {error.strerror or error}, and a run has to be written. Type"
                    " run_dir=FOLDER of a place that can be"
                ) from error
            return str(run.path)

        run = RunFolder(Path(hosts.broadcast_text(claim_run_folder)))
        log = run.log if config.log_to_file else None
        console = open_console(log) if hosts.is_leader() else silent_console()
        held.enter_context(console)
        if typed:
            console.log(TYPED + ", ".join(sorted(typed)))
        if config.log_train_metrics and not run.metrics.exists() and run.has_checkpoint():
            console.warn(f"{run.metrics} is gone: it begins anew where the run goes on")
        watch.speaker, watch.farewell = console, lambda: _farewell(run)
        try:
            training = TrainingRun(config, run, console, clock, watch, typed)
            held.enter_context(training.pictures)
            return training.execute()
        except Interrupted as stop:
            console.print(f"stopped by {stop.signal}{_farewell(run)}")
            raise
        except RunFailedError as error:
            console.log(str(error))
            raise
        except Exception as error:
            told = isinstance(error, UserError) or explain_own(error) is not None
            if told and config.resume is None and hosts.is_leader() and not run.begun:
                run.discard(whole=fresh)
            elif not isinstance(error, UserError):
                console.log(traceback.format_exc())
            raise


def _farewell(run: RunFolder) -> str:
    return f"; continue with ksim train resume={run.path}" if run.config.exists() else ""


def _run_folder(config: RunConfig) -> RunFolder:
    if config.resume is not None:
        return find_run(config.resume, RUNS)
    if config.run_dir is None:
        return RunFolder.create(RUNS, config.task.name)
    run = RunFolder(Path(config.run_dir))
    if run.config.exists():
        raise UserError(
            f"run_dir={run.path}: holds a run already. Continue it with resume={run.path},"
            " or choose another folder"
        )
    run.path.mkdir(parents=True, exist_ok=True)
    return run
