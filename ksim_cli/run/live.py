"""The loop of a live viewer: orders, a step, what is shown of it, and the time until the next."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import mujoco
import numpy as np

from ksim_cli.errors import UserError
from ksim_cli.mdp.commands.sampled import Sampled
from ksim_cli.physics.free_base import base_candidates, free_joint_of
from ksim_cli.run.session import Shown, Wishes
from ksim_cli.task_model import TaskModel
from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Board, Desk, Labels
from ksim_cli.view.history import History

_IDLE = 1 / 30
"""s between two pictures while time stands still."""

_LOOKS = 1.0
"""s between two looks for a newer policy."""

_KEPT = 10.0
"""s of curves."""


class Screen(Protocol):
    """Shows states and gives orders through its desk."""

    desk: Desk

    def show(self, qpos: np.ndarray, qvel: np.ndarray, seconds: float) -> None:
        """Draws a state `[nq]`, `[nv]`, that many seconds into its episode."""
        ...

    def is_open(self) -> bool:
        """False once it was closed."""
        ...

    def is_watched(self) -> bool:
        """Whether anybody looks; while nobody does, time stands still."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...


class Stage(Protocol):
    """What is played there; `Session` computes it."""

    @property
    def model(self) -> mujoco.MjModel:
        """The robot."""
        ...

    @property
    def layout(self) -> Mapping[str, Mapping[str, int]]:
        """Group -> name -> size of what is observed."""
        ...

    @property
    def shown(self) -> Shown | None:
        """The last step; None before the first."""
        ...

    @property
    def title(self) -> str:
        """What is shown, where that is not who acts."""
        ...

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """`qpos` and `qvel` that the next step begins with."""
        ...

    def commands(self) -> Mapping[str, np.ndarray]:
        """Command -> its value in force."""
        ...

    def restart(self) -> None:
        """Begin the next episode."""
        ...

    def take(self, policy: Any, player: Any = None) -> None:
        """Act with another policy from now on, of another player where one is given."""
        ...

    def step(self, wishes: Wishes) -> Shown:
        """One control step."""
        ...


class Policies(Protocol):
    """What could act on a stage.

    Attributes:
        first: name of what acts first.
    """

    first: str

    def names(self) -> Sequence[str]:
        """Names to choose from, the one that follows a run that is trained first."""
        ...

    def get(self, name: str) -> tuple[Any, Any]:
        """What acts under a name, and with what: player and policy.

        Raises:
            UserError: it cannot be read; the message says why.
        """
        ...

    def newer(self) -> tuple[str, Any] | None:
        """A line about, and, a policy that was trained further since the last call; or None."""
        ...


def labels_of(task_model: TaskModel) -> Labels:
    """The names a viewer of a task shows."""
    config = task_model.config
    shapes = task_model.layout.command_shapes
    ranges: dict[str, Sequence[tuple[float, float]]] = {}
    for name, term in task_model.mdp.commands.items():
        drawn = term.intervals if isinstance(term, Sampled) else ()
        size = int(np.prod(shapes[name]))
        ranges[name] = drawn if len(drawn) == size else ((-1.0, 1.0),) * size
    return Labels(config.task.name, ranges, config.ctrl_dt)


@dataclass
class _Standing:
    """What was ordered and stays."""

    paused: bool = False
    speed: float = 1.0
    single: int = 0
    wishes: Wishes = field(default_factory=Wishes)


class Live:
    """What is played, on a screen.

    Args:
        stage: what is played.
        screen: where.
        policies: what could act.
        averaged: steps over which the curves of rewards are averaged.
        check: called between steps; raises to end the viewer.
    """

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        policies: Policies,
        averaged: int = 1,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._stage, self._screen = stage, screen
        self._policies, self._chosen, self._check = policies, policies.first, check
        self._standing = _Standing()
        self._history = History(max(2, round(_KEPT / screen.desk.labels.ctrl_dt)))
        self._rewards: deque[Mapping[str, Any]] = deque(maxlen=averaged)
        self._said = self._trouble = ""
        self._return = 0.0
        self._free = _free_velocities(stage.model)

    def run(self, seconds: float | None = None) -> None:
        """Play until the screen is closed, or for so many seconds of the clock."""
        start = due = looked = time.monotonic()
        step = self._screen.desk.labels.ctrl_dt
        waits = False
        while self._screen.is_open():
            self._check()
            now = time.monotonic()
            if seconds is not None and now - start >= seconds:
                return
            was_waiting, waits = waits, not self._screen.is_watched()
            if waits:
                if not was_waiting:
                    self._show()  # what a browser finds that comes
                time.sleep(_IDLE)
                continue
            if now - looked >= _LOOKS:
                looked = now
                self._follow()
            for order in self._screen.desk.take():
                self._obey(order)
            moves = not self._standing.paused or self._standing.single > 0
            if moves:
                self._step()
            self._show()
            due += step / self._standing.speed if moves else _IDLE
            # Who is late does not hurry after: time then goes by as fast as it can.
            due = max(due, time.monotonic() - step)
            time.sleep(max(0.0, due - time.monotonic()))

    def _step(self) -> None:
        standing = self._standing
        shown = self._stage.step(standing.wishes)
        standing.single = max(0, standing.single - 1)
        standing.wishes.velocity = None
        self._return += float(shown.reward)
        self._rewards.append({"total": shown.reward, **shown.rewards})
        self._history.add(self._numbers(shown))
        if shown.ended:
            self._said = f"the last episode: return {self._return:.4g}, {float(shown.time):.2f} s"
            self._return = 0.0

    def _show(self) -> None:
        stage, standing = self._stage, self._standing
        shown = stage.shown
        if shown is None:
            qpos, qvel = stage.state()
            seconds = 0.0
        else:
            qpos, qvel, seconds = shown.qpos, shown.qvel, float(shown.time)
        lines = [f"{stage.title or self._chosen}: {seconds:.2f} s, return {self._return:.4g}"]
        lines += [line for line in (self._said, self._trouble) if line]
        self._screen.desk.board = Board(
            status=lines,
            paused=standing.paused,
            speed=standing.speed,
            commands=stage.commands(),
            held=frozenset(standing.wishes.held),
            policies=self._policies.names(),
            policy=self._chosen,
            curves=self._history.curves(),
        )
        self._screen.show(qpos, qvel, seconds)

    def _obey(self, order: orders.Order) -> None:
        standing = self._standing
        match order:
            case orders.Pause(paused):
                standing.paused = paused
            case orders.Speed(factor):
                standing.speed = max(factor, 1e-3)
            case orders.SingleStep():
                standing.paused, standing.single = True, standing.single + 1
            case orders.Restart():
                self._restart()
            case orders.Push(direction, speed):
                standing.wishes.velocity = self._pushed(direction, speed)
            case orders.Pull(force):
                standing.wishes.force = force if force.any() else None
            case orders.Hold(command, None):
                standing.wishes.held.pop(command, None)
            case orders.Hold(command, value):
                standing.wishes.held[command] = np.asarray(value, np.float32)
            case orders.Choose(policy):
                self._choose(policy)

    def _restart(self) -> None:
        self._stage.restart()
        self._history.clear()
        self._rewards.clear()
        self._return, self._said = 0.0, ""

    def _choose(self, name: str) -> None:
        try:
            player, policy = self._policies.get(name)
        except UserError as error:  # shown where it was asked for; who acts goes on
            self._trouble = " ".join(str(error).split())
            return
        self._stage.take(policy, player)
        self._chosen, self._trouble = name, ""

    def _follow(self) -> None:
        if self._chosen not in self._policies.names()[:1]:
            return
        newer = self._policies.newer()
        if newer is not None:
            self._said, policy = newer
            self._stage.take(policy)

    def _pushed(self, direction: str, speed: float) -> np.ndarray:
        """`[nv]` change of velocity; without a free base, of the first joint."""
        velocity = np.zeros(self._stage.model.nv)
        x, y = orders.DIRECTIONS[direction]
        if self._free is None:
            velocity[0] = speed * (x or -y)
        else:
            velocity[self._free : self._free + 2] = speed * x, speed * y
        return velocity

    def _numbers(self, shown: Shown) -> dict[str, dict[str, float]]:
        """Group -> name -> the number of this step."""
        names = ("total", *shown.rewards)
        numbers = {"rewards": {n: float(np.mean([r[n] for r in self._rewards])) for n in names}}
        numbers["actions"] = _elements("", shown.action)
        numbers["torques"] = _elements("", shown.torque)
        for name, value in shown.commands.items():
            numbers.setdefault("commands", {}).update(_elements(name, value))
        for name, value in shown.command_errors.items():
            numbers.setdefault("command errors", {})[name] = float(value)
        for group, layout in self._stage.layout.items():
            start = 0
            for name, size in layout.items():
                part = shown.obs[group][start : start + size]
                numbers[f"observations of {group}: {name}"] = _elements("", part)
                start += size
        return numbers


def _elements(name: str, values: np.ndarray) -> dict[str, float]:
    flat = np.ravel(values)
    if name and len(flat) == 1:
        return {name: float(flat[0])}
    return {f"{name}[{i}]": float(value) for i, value in enumerate(flat)}


def _free_velocities(model: mujoco.MjModel) -> int | None:
    """Address of the base's velocity; None for a robot that is bolted down."""
    bases = base_candidates(model)
    joint = free_joint_of(model, bases[0]) if bases else None
    return None if joint is None else int(model.jnt_dofadr[joint])
