"""Episodes of a dataset, as they are shown: nothing is computed anew."""

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.io.recordings import Recording
from ksim_cli.run.session import Shown, Wishes

_COMMAND, _REWARD = "infos/command/", "infos/reward/"


class Replay:
    """The episodes of a dataset one after the other; see `ksim_cli.run.live.Stage`.

    Args:
        recording: the dataset.
        model: the robot it was recorded of.

    Attributes:
        model: the same.
        layout: group -> name -> size of what was observed; a dataset has one vector.
        shown: the last step; None before the first.

    Raises:
        UserError: it is of another robot, or cannot be read.
    """

    def __init__(self, recording: Recording, model: mujoco.MjModel) -> None:
        self.model = model
        self._recording, self._index, self._step = recording, 0, 0
        self._episode = self._read(0)
        self.layout = {"dataset": {"observations": self._episode["observations"].shape[1]}}
        self.shown: Shown | None = None

    @property
    def title(self) -> str:
        """Which episode it is."""
        return f"episode {self._index} of {self._recording.count}"

    def __len__(self) -> int:
        """Steps of the episode."""
        return len(self._episode["rewards"])

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """`qpos` and `qvel` of the step to come: those before it were not recorded."""
        return self._episode["infos/qpos"][self._step], self._episode["infos/qvel"][self._step]

    def commands(self) -> Mapping[str, np.ndarray]:
        """Command -> its value in force."""
        return self._under(_COMMAND)

    def restart(self) -> None:
        """The next episode."""
        self._index = (self._index + 1) % self._recording.count
        self._episode, self._step = self._read(self._index), 0
        self.shown = None

    def take(self, policy: Any, player: Any = None) -> None:
        """Nobody acts here."""

    def step(self, wishes: Wishes) -> Shown:
        """The next step, or the next episode's first one. Wishes come too late."""
        del wishes
        if self._step == len(self):
            self.restart()
        i, episode = self._step, self._episode
        self._step += 1
        self.shown = Shown(
            qpos=episode["infos/qpos"][i],
            qvel=episode["infos/qvel"][i],
            time=self._step * self._recording.ctrl_dt,
            obs={"dataset": episode["observations"][i]},
            action=episode["actions"][i],
            torque=np.zeros(0),
            reward=episode["rewards"][i],
            rewards=self._under(_REWARD, i),
            commands=self._under(_COMMAND, i),
            command_errors={},
            ended=self._step == len(self),
            quarantined=0,
        )
        return self.shown

    def _under(self, prefix: str, step: int | None = None) -> dict[str, np.ndarray]:
        i = min(self._step, len(self) - 1) if step is None else step
        found = (path for path in self._episode if path.startswith(prefix))
        return {path.removeprefix(prefix): self._episode[path][i] for path in found}

    def _read(self, index: int) -> dict[str, np.ndarray]:
        episode = self._recording.episode(index)
        sizes = [episode[name].shape[1] for name in ("infos/qpos", "infos/qvel")]
        if sizes != [self.model.nq, self.model.nv]:
            raise UserError(
                f"dataset={self._recording.path}: its robot has {sizes[0]} positions and"
                f" {sizes[1]} velocities, that of this task {self.model.nq} and {self.model.nv}."
                " Type the task, or checkpoint= of the run, it was recorded of"
            )
        return episode


class Nobody:
    """The policies of what has happened already; see `ksim_cli.run.live.Policies`."""

    first = "dataset"

    def names(self) -> Sequence[str]:
        """None."""
        return ()

    def get(self, name: str) -> tuple[Any, Any]:
        """Nobody asks: there are none to choose from."""
        raise UserError(f"no policy {name} in a dataset")

    def newer(self) -> None:
        """None."""
