"""Deterministic evaluation episodes, in environments of their own."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.io.console import Console, open_console
from ksim_cli.io.files import write_json
from ksim_cli.io.runs import RUNS
from ksim_cli.rl.algorithm import make_player
from ksim_cli.rl.rollout import Experience, Player, Playing, PolicyState, play, record_nothing
from ksim_cli.run.build import TrainingParts, load_policy, make_task_model
from ksim_cli.run.diagnostics import advice
from ksim_cli.run.film import Film, frame_of
from ksim_cli.task_model import TaskModel

MAX_ENVS = 1024
"""Most evaluation environments at once; more episodes are run in turns."""


@dataclass(frozen=True)
class Evaluation:
    """Episodes of an evaluation.

    Attributes:
        returns: undiscounted return of each.
        lengths: control steps of each.
        failed: whether each ended in failure.
        quarantined: name -> whether each ended because that was not finite.
        command_errors: command name -> mean error over the steps of each, in the command's unit.
        film: the first episode, step by step; None where it was not filmed.
    """

    returns: np.ndarray
    lengths: np.ndarray
    failed: np.ndarray
    quarantined: dict[str, np.ndarray]
    command_errors: dict[str, np.ndarray]
    film: Film | None = None

    def quarantined_by(self) -> dict[str, float]:
        """What was not finite -> share of the episodes that ended for it, the largest first."""
        shares = {name: float(ended.mean()) for name, ended in self.quarantined.items()}
        return {name: shares[name] for name in sorted(shares, key=lambda each: -shares[each])}

    def summary(self) -> dict[str, float]:
        """Means over the episodes, by the names of `eval.json`."""
        return {
            "episode_return_mean": float(self.returns.mean()),
            "episode_return_std": float(self.returns.std()),
            "episode_length_mean": float(self.lengths.mean()),
            "failure_rate": float(self.failed.mean()),
            "quarantine_rate": sum(self.quarantined_by().values()),
            **{
                f"command_error/{name}": float(np.average(errors, weights=self.lengths))
                for name, errors in self.command_errors.items()
            },
        }


class _Totals(struct.PyTreeNode):
    """Sums over the first episode of each environment, up to now; or what one step adds."""

    episode_return: jax.Array
    length: jax.Array
    failed: jax.Array
    quarantined: jax.Array
    command_errors: dict[str, jax.Array]
    suspects: tuple[str, ...] = struct.field(pytree_node=False, default=())


class _Episodes(struct.PyTreeNode):
    """First episode of each environment: state of the loop that plays them."""

    step: jax.Array
    playing: Playing
    alive: jax.Array
    totals: _Totals
    film: Any = None


class Evaluator:
    """Plays one episode in each of N environments; compiled once.

    Args:
        player: what acts, and where; its environments are used for nothing else.
        num_episodes: how many episodes an evaluation has; more than N are played in turns.
        max_steps: control steps of the longest episode.
        frame: gives what is filmed of a step, of what was played; None: nothing is.
    """

    def __init__(
        self,
        player: Player,
        num_episodes: int,
        max_steps: int,
        frame: Callable[[Experience], Any] | None = None,
    ) -> None:
        self._player, self._frame = player, frame
        self._num_episodes = num_episodes
        self._max_steps = max_steps
        self._play = jax.jit(self._episodes)

    def __call__(self, state: PolicyState, seed: int) -> Evaluation:
        """Plays the episodes.

        Args:
            state: what acts, and the curriculum level.
            seed: the same seed gives the same episodes.
        """
        rounds = -(-self._num_episodes // self._player.env.num_envs)
        root = jax.random.key(seed)
        rolls = [self._play(state, jax.random.fold_in(root, i)) for i in range(rounds)]
        played, films = zip(*rolls, strict=True)
        whole = jax.tree.map(lambda *x: np.concatenate(x)[: self._num_episodes], *played)
        errors = {name: x / whole.length for name, x in whole.command_errors.items()}
        causes = {name: whole.quarantined == i + 1 for i, name in enumerate(whole.suspects)}
        quarantined = {name: ended for name, ended in causes.items() if ended.any()}
        length = int(whole.length[0])
        film = None if films[0] is None else Film(jax.device_get(films[0]), length)
        failed = whole.failed > 0
        return Evaluation(whole.episode_return, whole.length, failed, quarantined, errors, film)

    def _episodes(self, state: PolicyState, key: jax.Array) -> tuple[_Totals, Any]:
        player, n, frame = self._player, self._player.env.num_envs, self._frame
        suspects: list[str] = []  # known once the loop is traced
        key_env, key_actions = jax.random.split(key)

        def unfinished(now: _Episodes) -> jax.Array:
            return (now.step < self._max_steps) & now.alive.any()

        def step(now: _Episodes) -> _Episodes:
            key = jax.random.fold_in(key_actions, now.step)
            playing, experience = act(state, now.playing, key)
            suspects[:] = experience.suspects
            result, scores, reset = jax.tree.map(
                lambda x: x[0], (experience.results, experience.scores, experience.was_reset)
            )
            failed = reset & ~result.truncated & (result.steps.termination <= 0)
            added = _Totals(
                episode_return=scores.total,
                length=jnp.ones(n, jnp.int32),
                failed=failed.astype(jnp.int32),
                quarantined=result.quarantined,
                command_errors=dict(scores.command_errors),
            )
            return _Episodes(
                step=now.step + 1,
                playing=playing,
                # A bad reward is known only now: the environment itself would go on.
                alive=now.alive & ~(reset | (result.quarantined > 0)),
                totals=jax.tree.map(
                    lambda total, x: total + jnp.where(now.alive, x, 0), now.totals, added
                ),
                film=None if frame is None else _taken(now.film, now.step, frame(experience)),
            )

        # Jitted, so that it is traced once where what it gives is needed to make room for a film.
        act = partial(play, player, num_steps=1)
        act = act if frame is None else jax.jit(act)
        zeros, counts = jnp.zeros(n), jnp.zeros(n, jnp.int32)
        errors = dict.fromkeys(player.env.command_error_names, zeros)
        start = _Episodes(
            step=jnp.int32(0),
            playing=player.start(key_env, state.level, state.iteration),
            alive=jnp.ones(n, bool),
            totals=_Totals(zeros, counts, counts, counts, errors),
        )
        if frame is not None:
            shown = jax.eval_shape(lambda: frame(act(state, start.playing, key)[1]))
            room = jax.tree.map(lambda x: jnp.zeros((self._max_steps, *x.shape), x.dtype), shown)
            start = start.replace(film=room)
        end = jax.lax.while_loop(unfinished, step, start)
        return end.totals.replace(suspects=tuple(suspects)), end.film


def _taken(film: Any, step: jax.Array, frame: Any) -> Any:
    """A film with one frame more."""
    return jax.tree.map(lambda each, x: each.at[step].set(x), film, frame)


def warn_of_quarantine(console: Console, evaluation: Evaluation) -> None:
    """Warn of episodes that ended because something in them was not finite."""
    if shares := evaluation.quarantined_by():
        causes = ", ".join(f"{name} ({share:.0%})" for name, share in shares.items())
        console.warn(
            f"{sum(shares.values()):.0%} of the evaluation episodes ended because something was"
            f" not finite, or too large: {causes}. Their returns say little"
            f"{advice(next(iter(shares)))}"
        )


def evaluation_envs(task_model: TaskModel, num_episodes: int, filmed: bool = False) -> TaskEnv:
    """Environments for evaluating a task, never those it is trained in."""
    recorded = task_model.layout.marker_fields if filmed else ()
    return task_model.make_env(min(num_episodes, MAX_ENVS), recorded=recorded)


def make_evaluator(parts: TrainingParts, filmed: bool = False) -> Evaluator:
    """The evaluator of what is trained: the policy's mode, in environments of its own.

    Args:
        parts: what is trained.
        filmed: keep the first episode step by step.
    """
    task_model, num_episodes = parts.task_model, parts.task_model.config.num_episodes
    env = evaluation_envs(task_model, num_episodes, filmed)
    context = dataclasses.replace(parts.context, env=env)
    player = make_player(parts.algorithm, context, argmax=True, record=record_nothing)
    frame = partial(frame_of, task_model.mdp) if filmed else None
    return Evaluator(player, num_episodes, task_model.episode_steps(), frame)


def evaluate(config: RunConfig) -> None:
    """`ksim eval`: a table, and `eval.json` in the run folder (without one, in this folder)."""
    console = open_console(None)
    task_model = make_task_model(config)
    env = evaluation_envs(task_model, config.num_episodes)
    loaded = load_policy(config, task_model, env, config.viewer_argmax_action, console)
    evaluator = Evaluator(loaded.player, config.num_episodes, task_model.episode_steps())
    with console.status(f"playing {config.num_episodes} episodes"):
        evaluation = evaluator(loaded.state, config.seed)
    summary = evaluation.summary()
    warn_of_quarantine(console, evaluation)
    facts = {
        **loaded.facts(config),
        "num_episodes": config.num_episodes,
        **summary,
        "quarantined_by": evaluation.quarantined_by(),
        "episode_returns": evaluation.returns.tolist(),
        "episode_lengths": evaluation.lengths.tolist(),
    }
    path = (RUNS.parent if loaded.run is None else loaded.run.path) / "eval.json"
    try:
        write_json(path, facts)
        written = f"written: {path}"
    except OSError as error:
        written = f"{path} could not be written: {error.strerror or error}"
    rows = [(name.replace("_", " "), f"{value:.4g}") for name, value in summary.items()]
    console.table(f"{config.num_episodes} episodes of {config.task.name}", ["", "value"], rows)
    console.print(written)
