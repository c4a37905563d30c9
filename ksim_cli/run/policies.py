"""What may act in a live viewer: the newest policy of a run as it is trained, others, and none."""

from collections.abc import Sequence

from ksim_cli.config.schema import RunConfig
from ksim_cli.env import TaskEnv
from ksim_cli.errors import UserError
from ksim_cli.rl.rollout import Player, PolicyState
from ksim_cli.run.build import LoadedPolicy, PolicyReader, without_checkpoint
from ksim_cli.task_model import TaskModel

NEWEST = "newest"
"""The policy that follows the training of its run."""

UNTRAINED = ("initial", "zero", "random")


class RunPolicies:
    """The policies of a run, and those that need none; see `ksim_cli.run.live.Policies`.

    Args:
        config: the run's.
        task_model: the task.
        env: the environment they act in.
        loaded: the one that acts first.
        follows: the newest is to act, and not a checkpoint that was named.
    """

    def __init__(
        self,
        config: RunConfig,
        task_model: TaskModel,
        env: TaskEnv,
        loaded: LoadedPolicy,
        follows: bool,
    ) -> None:
        self._parts = (task_model, env, config.viewer_argmax_action)
        self._players: dict[str, tuple[Player, PolicyState]] = {}
        self._trained = loaded.player
        self._seen, self._newest = loaded.step, loaded.state
        self._readers: list[PolicyReader] = []
        if loaded.run is None:
            self.first = str(config.policy)
            self._players[self.first] = loaded.player, loaded.state
            return
        folders = (loaded.run.live, loaded.run.checkpoints)
        self._readers = [
            PolicyReader(config, task_model, env, loaded.run, folder) for folder in folders
        ]
        self.first = NEWEST if follows else _name(loaded.step)

    def names(self) -> Sequence[str]:
        """See `Policies`."""
        if not self._readers:
            return UNTRAINED
        return (NEWEST, *map(_name, reversed(self._readers[1].store.steps())), *UNTRAINED)

    def get(self, name: str) -> tuple[Player, PolicyState]:
        """See `Policies`."""
        if name == NEWEST:
            self.newer()
            return self._trained, self._newest
        if name in UNTRAINED:
            if name not in self._players:
                made = without_checkpoint(name, *self._parts)
                self._players[name] = made.player, made.state
            return self._players[name]
        state, _ = self._readers[1].read(int(name))
        return self._trained, state

    def newer(self) -> tuple[str, PolicyState] | None:
        """See `Policies`."""
        for reader in self._readers:
            try:
                step = max(reader.store.steps(), default=None)
                if step is None or (self._seen is not None and step <= self._seen):
                    continue
                self._newest, _ = reader.read(step)
            except UserError:
                continue  # being replaced at this moment, or removed; the next look tells
            self._seen = step
            return f"now of iteration {step}", self._newest
        return None


def _name(step: int | None) -> str:
    return f"{step:08d}"
