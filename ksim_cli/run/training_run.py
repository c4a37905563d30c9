"""One run of training: what is built, the loop around the compiled iteration, the summary."""

import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NoReturn

import jax

from ksim_cli.clock import Clock
from ksim_cli.config.schema import RunConfig
from ksim_cli.errors import RunFailedError, UserError
from ksim_cli.io import formatting
from ksim_cli.io.console import Console
from ksim_cli.io.files import write_json
from ksim_cli.io.runs import RunFolder
from ksim_cli.rl.algorithm import TrainState
from ksim_cli.rl.rollout import PolicyState
from ksim_cli.run import hosts
from ksim_cli.run.build import TrainingParts, make_training_parts
from ksim_cli.run.compile import Compiled, compile_training
from ksim_cli.run.describe import describe
from ksim_cli.run.diagnostics import Diagnostics
from ksim_cli.run.evaluate import Evaluation, Evaluator, make_evaluator, warn_of_quarantine
from ksim_cli.run.memory import available, oom_as_user_error
from ksim_cli.run.metrics_logger import EVALUATED, MetricsLogger, Row, mean_over_seeds, scalars
from ksim_cli.run.pictures import Pictures
from ksim_cli.run.resume import with_typed
from ksim_cli.run.run_store import LIMITS, RunStore
from ksim_cli.run.schedule import Rate, Timer, validation_timer
from ksim_cli.run.seeds import each_seed, read_policy_state
from ksim_cli.run.signals import Interrupted, Signals
from ksim_cli.run.sources import take_sources
from ksim_cli.run.watcher import watched

GAVE_UP = 6
"""Exit status of a run that gave up."""

SHOWN = ("episode_return", "episode_length", "reward", "quarantine_rate")
"""Scalars that the progress display shows, before the algorithm's own."""

_SHOWS = 5.0
"""s between two policies that a viewer may find."""

_SAVING = "saving after this iteration, then leaving; once more leaves at once"
_FINAL = "leaving now, all is saved; who resumes gets the final evaluation"


class TrainingRun:
    """One run of training, from its configuration to its summary.

    Args:
        config: the run's configuration.
        run: its folder.
        console: says what goes on.
        clock: started with the command.
        signals: asked after each dispatch.
        typed: keys that were typed.
    """

    def __init__(
        self,
        config: RunConfig,
        run: RunFolder,
        console: Console,
        clock: Clock,
        signals: Signals,
        typed: Collection[str] = (),
    ) -> None:
        self.config = config
        self.run = run
        self.console = console
        self.clock = clock
        self.signals = signals
        self.typed = typed
        self.writes = hosts.is_leader()
        self.store = RunStore(run, config, console)
        self.metrics_logger = MetricsLogger(run, config, console.warn)
        self.pictures = Pictures(config, run, console, typed, self.metrics_logger.show)
        self.iteration = 0
        self.env_steps = 0
        self.timed = 0
        self.quarantined: Counter[str] = Counter()
        self.unlogged: list[list[tuple[str, Any]]] | None = None
        self.facts: dict[str, Any] = {"first_step_seconds": None, "env_steps_per_second": None}

    def execute(self) -> float:
        """The whole run; returns the mean return of the final evaluation."""
        self.facts["import_seconds"] = self.clock.seconds()
        building = f"building the model and the environments of task {self.config.task.name}"
        with oom_as_user_error(self.config), self.console.waiting(building):
            parts = make_training_parts(self.config, say=self.console.print)
        self.console.print(f"run folder: {self.run.path}")
        describe(self.console, parts)
        saved, info = self.store.newest()
        given: dict[str, Any] = {}
        if saved is not None:
            self.iteration, self.env_steps = info["iteration"], info["env_steps"]
            self.quarantined.update(info["quarantined"])
            self.unlogged = info.get("unlogged")
            if self._reached():
                return self._over(parts, saved)
        else:
            given = take_sources(self.config, self.run, parts, self.console)
            self.store.begin(parts.task_model)
        evaluator = make_evaluator(parts, filmed=self.pictures.wanted)
        with (
            self.metrics_logger if self.writes else contextlib.nullcontext(),
            oom_as_user_error(self.config, parts.spread) as refuse_too_large,
        ):
            hosts.broadcast_text(self._open_loggers)
            compiled = compile_training(
                parts,
                self.config.epochs_per_log_step,
                self.console,
                partial(self.store.refuse_misfit, parts.env.engine, saved),
                given,
            )
            (limit,) = hosts.broadcast(available() or 0)
            refuse_too_large(compiled.memory, limit or None)
            self.facts["compile_seconds"] = compiled.seconds
            state = self._start(parts, compiled, saved)
            state = self._loop(parts, compiled, evaluator, state)
        return self._finish(parts, evaluator, state.policy)

    def _over(self, parts: TrainingParts, saved: int) -> float:
        """A run that is past its end already: its checkpoint is sound, and that is all."""
        self.console.print(
            f"nothing to do: the run ended at iteration {self.iteration}"
            f" ({self.env_steps:,} env steps), and its checkpoint is sound."
            f" Raise {' and '.join(self._reached())} to train further"
        )
        if idle := self.store.changed():
            self.console.print(f"without effect, as there is nothing to do: {', '.join(idle)}")
        with contextlib.suppress(UserError, TypeError, OSError):  # what is none is made anew below
            if summary := self.run.read_summary():
                return float(summary["eval_return_mean"])
        policy = read_policy_state(
            self.store.checkpoints, saved, parts.algorithm, parts.context, self.config.num_seeds
        )
        return self._finish(parts, make_evaluator(parts), policy)

    def _open_loggers(self) -> str:
        """Start the extra loggers: who asked for them shall not wait for a failure of theirs."""
        if extra := self.metrics_logger.extra:
            with self.console.waiting(f"starting the logger {' and '.join(extra)}"):
                self.metrics_logger.open_loggers(self.iteration)
        return ""

    def _start(self, parts: TrainingParts, compiled: Compiled, saved: int | None) -> TrainState:
        """The state to go on from: a checkpoint's, or a fresh one."""
        if self.writes:
            self.metrics_logger.truncate_after(self.iteration)
        if saved is None:
            if self.config.resume:
                self.console.print("no checkpoint yet: starting afresh")
            return compiled.init(self.config.seed)
        task_model = parts.task_model
        restored = (compiled.abstract, parts.env.engine, task_model)
        state = self.store.restore(saved, *restored)
        self.console.print(f"resumed at iteration {self.iteration} ({self.env_steps:,} env steps)")
        return with_typed(state, self.config, self.typed, task_model.mdp.curriculum)

    def _loop(
        self, parts: TrainingParts, compiled: Compiled, evaluator: Evaluator, state: TrainState
    ) -> TrainState:
        """Iterations until the run's end, or until a signal comes."""
        config, fused = self.config, self.config.epochs_per_log_step
        save = Timer(config.save_every_n_seconds, config.save_every_n_steps)
        valid = validation_timer(config)
        show = Timer(_SHOWS, None)
        steps_each = fused * parts.context.num_steps * config.num_envs
        total = total_steps(config, parts)
        rate = Rate(self.env_steps)
        seen = (parts.env, state.env.obs, self.quarantined)
        diagnostics = Diagnostics(self.run, self.console, config, *seen)
        shown = (*SHOWN, *parts.algorithm.shown)
        with (
            self.signals.deferring(_SAVING),
            self.console.progress(total, self.env_steps, shown, self.run.metrics) as progress,
            contextlib.ExitStack() as beside,
        ):
            (stops,) = hosts.broadcast(self.signals.received or 0)
            if stops:  # while it was compiled
                raise Interrupted(stops)
            self.store.show(self.iteration, state.policy)
            beside.enter_context(watched(self.run, config, self.console.print))
            if self.unlogged is not None:
                head, *rows = (dict(each) for each in self.unlogged)
                self._evaluate(parts, evaluator, state, head, rows)
                self.metrics_logger.append(head, rows)
            while not self._reached():
                began = self.clock.seconds()
                state, metrics, incident = compiled.step(state)
                rows = scalars(metrics, config.num_seeds)
                before, self.iteration = self.iteration, self.iteration + fused
                self.env_steps += steps_each
                self._first_steps(self.clock.seconds() - began)
                diagnostics.report(self.iteration, mean_over_seeds(rows), incident, state.env.obs)
                diagnostics.count_updates([row["skipped_updates"] for row in rows])
                head = self._head(rate)
                (evaluates,) = hosts.broadcast(valid.due(before, self.iteration))
                if evaluates and not self._reached():
                    with rate.paused():
                        self._evaluate(parts, evaluator, state, head, rows)
                self.metrics_logger.append(head, rows)
                self.pictures.collect()
                progress.update(self.env_steps, head | _shown(rows))
                # The leader's clock and signals decide, after all that takes time.
                saves, stops = hosts.broadcast(
                    save.due(before, self.iteration), self.signals.received or 0
                )
                if show.due(before, self.iteration):
                    self.store.show(self.iteration, state.policy)
                why = diagnostics.why_give_up()
                if stops or why or (saves and not self._reached()):
                    self._save(parts, state)
                if stops or why:
                    self._leave(stops, why)
            self._save(parts, state)
            self.store.wait()  # now, while no signal leaves it half written
        return state

    def _head(self, rate: Rate) -> dict[str, Any]:
        """What a row of an iteration begins with."""
        self.facts["env_steps_per_second"] = rate.per_second(self.env_steps)
        return {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "wall_seconds": self.clock.seconds(),
            "env_steps_per_second": self.facts["env_steps_per_second"],
        }

    def _leave(self, signal: int, why: str | None) -> NoReturn:
        """End amid training, once what was saved is on disk."""
        self.store.wait()
        if signal:
            raise Interrupted(signal)
        raise RunFailedError(f"training gave up at iteration {self.iteration}: {why}", GAVE_UP)

    def _evaluate(
        self,
        parts: TrainingParts,
        evaluator: Evaluator,
        state: TrainState,
        head: dict[str, Any],
        rows: list[Row],
    ) -> None:
        """Adds an evaluation to an iteration's rows; a signal leaves it to whoever resumes."""

        def save() -> None:
            unlogged = [list(each.items()) for each in (head, *rows)]  # in their order
            self._save(parts, state, unlogged=unlogged)
            self.store.wait()

        with self.signals.leaving("saving, then leaving; once more leaves at once", save):
            each = self._play(evaluator, state.policy, f"evaluating at iteration {self.iteration}")
        self.pictures.offer(self.iteration, each[0].film, parts.task_model)
        for row, played in zip(rows, (one.summary() for one in each), strict=True):
            row.update({f"eval_{name}": played[name] for name in EVALUATED})
        head["wall_seconds"] = self.clock.seconds()

    def _first_steps(self, seconds: float) -> None:
        """What is told of the first dispatches of this process; one took `seconds`."""
        if self.timed < self.config.num_compiled_steps_to_log:
            self.timed += 1
            took = formatting.seconds(seconds)
            self.console.log(f"the dispatch to iteration {self.iteration} took {took}")
        if self.facts["first_step_seconds"] is not None:
            return
        self.facts["first_step_seconds"] = self.clock.seconds()
        if self.config.profile_memory and self.writes:
            try:
                jax.profiler.save_device_memory_profile(str(self.run.path / "memory.prof"))
            except (OSError, RuntimeError) as error:
                self.console.warn(f"memory.prof could not be written: {error}")

    def _reached(self) -> list[str]:
        """Limits of the run that it has come to; none while it goes on."""
        counts = zip(LIMITS, (self.iteration, self.env_steps), strict=True)
        limits = [(name, count, getattr(self.config, name)) for name, count in counts]
        return [f"{name}={most}" for name, count, most in limits if most and count >= most]

    def _play(self, evaluator: Evaluator, policy: PolicyState, text: str) -> list[Evaluation]:
        """An evaluation of each seed's policy."""
        config = self.config
        policies = each_seed(jax.device_get(hosts.gather(policy)), config.num_seeds)
        with self.console.status(text):
            played = [evaluator(each, config.seed + i) for i, each in enumerate(policies)]
        for evaluation in played:
            warn_of_quarantine(self.console, evaluation)
        return played

    def _save(self, parts: TrainingParts, state: TrainState, **more: Any) -> None:
        info = {
            "iteration": self.iteration,
            "env_steps": self.env_steps,
            "quarantined": self.quarantined,
            **more,
        }
        self.store.save(self.iteration, state, parts.env.engine, info)

    def _finish(self, parts: TrainingParts, evaluator: Evaluator, policy: PolicyState) -> float:
        """The final evaluation and the summary."""
        with self.signals.leaving(_FINAL):
            text = f"playing {self.config.num_episodes} evaluation episodes"
            each = self._play(evaluator, policy, text)
            self.pictures.finish(self.iteration, each[0].film, parts.task_model)
            return self._summarise(parts, [one.summary() for one in each])

    def _summarise(self, parts: TrainingParts, each: list[dict[str, float]]) -> float:
        """Writes what the run came to, of the evaluation of each seed; their mean return."""
        config = self.config
        played = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        all_steps = self.env_steps * config.num_seeds
        quarantined = {name: n / all_steps for name, n in self.quarantined.most_common()}
        if quarantined:
            shares = ", ".join(f"{name} ({share:.2%})" for name, share in quarantined.items())
            self.console.warn(f"quarantined, of all environment steps: {shares}")
        mean, std, length = (played[name] for name in EVALUATED)
        self.facts |= {
            **parts.facts,
            "env_steps": self.env_steps,
            "iterations": self.iteration,
            "eval_return_mean": mean,
            "eval_return_std": std,
            "eval_episode_length": length,
            "eval_episodes": config.num_episodes,
            "eval_quarantine_rate": played["quarantine_rate"],
            "quarantine_rate": sum(quarantined.values()),
            "quarantined_by": quarantined,
            "eval_command_errors": {
                name.partition("/")[2]: value
                for name, value in played.items()
                if name.startswith("command_error/")
            },
            "eval_return_per_seed": [one["episode_return_mean"] for one in each],
            "wall_seconds": self.clock.seconds(),
        }
        try:
            if self.writes:
                write_json(self.run.summary, self.facts)
        except OSError as error:
            self.console.warn(f"{self.run.summary} could not be written: {error.strerror or error}")
        self.console.print(
            f"evaluation: return {mean:.1f} ± {std:.1f}, length {length:.0f} steps;"
            f" {self.facts['wall_seconds']:.1f} s in all. Summary: {self.run.summary}"
        )
        return mean


def _shown(rows: Sequence[Row]) -> Row:
    """Scalars of an iteration for the progress display, without what is mostly nothing."""
    row = mean_over_seeds(rows)
    return {name: value for name, value in row.items() if value or name != "quarantine_rate"}


def total_steps(config: RunConfig, parts: TrainingParts) -> int | None:
    """Control steps at which a run ends; None for one that does not end by itself."""
    limits = [config.max_env_steps] if config.max_env_steps is not None else []
    if config.num_iterations is not None:
        limits.append(config.num_iterations * parts.context.num_steps * config.num_envs)
    return min(limits, default=None)
