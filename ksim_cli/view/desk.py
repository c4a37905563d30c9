"""What passes between a viewer, which draws in a thread of its own, and the loop that plays.

The viewer puts orders; the loop takes them, and hangs a board of what there is to see. A board is
never changed once it hangs, so that no thread waits for the other.
"""

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

DIRECTIONS = {
    "forward": (1.0, 0.0),
    "back": (-1.0, 0.0),
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
}
"""Name of a push -> its direction in the world: x, and y to its left."""


@dataclass(frozen=True)
class Pause:
    """Stop, or go on."""

    paused: bool


@dataclass(frozen=True)
class Speed:
    """How fast time goes by; 1: as it does."""

    factor: float


@dataclass(frozen=True)
class SingleStep:
    """One control step, then pause."""


@dataclass(frozen=True)
class Restart:
    """Begin the next episode, drawn anew."""


@dataclass(frozen=True)
class Push:
    """A sudden change of the base's velocity."""

    direction: str
    speed: float


@dataclass(frozen=True)
class Pull:
    """`[nbody, 6]` forces and torques from now on, as the mouse draws them."""

    force: np.ndarray


@dataclass(frozen=True)
class Hold:
    """A command's value from now on; None: what is drawn, as in training."""

    command: str
    value: tuple[float, ...] | None


@dataclass(frozen=True)
class Choose:
    """Another policy, by the name the board gives it."""

    policy: str


Order = Pause | Speed | SingleStep | Restart | Push | Pull | Hold | Choose


@dataclass(frozen=True)
class Labels:
    """Names that do not change while a task is viewed.

    Attributes:
        title: what is viewed.
        commands: command -> [low, high] of each element.
        ctrl_dt: s between two steps.
        is_steered: a person may push; what has happened already cannot be.
    """

    title: str
    commands: Mapping[str, Sequence[tuple[float, float]]]
    ctrl_dt: float
    is_steered: bool = True


@dataclass(frozen=True)
class Board:
    """What there is to see after a step.

    Attributes:
        status: a line or two about the policy and the episode.
        paused: time stands still.
        speed: how fast it goes by, as asked for.
        commands: command -> the value in force.
        held: commands that are held.
        policies: names of what could act.
        policy: the one that does.
        curves: group -> name -> `[K]` the last values, the newest at the end.
    """

    status: Sequence[str] = ()
    paused: bool = False
    speed: float = 1.0
    commands: Mapping[str, np.ndarray] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    policies: Sequence[str] = ()
    policy: str = ""
    curves: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)


class Desk:
    """Orders one way, a board the other.

    Attributes:
        labels: names.
        board: what hangs there now.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.board = Board()
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()

    def put(self, order: Order) -> None:
        """Give an order; from any thread."""
        self._orders.put(order)

    def take(self) -> list[Order]:
        """The orders given since the last call."""
        orders: list[Order] = []
        while not self._orders.empty():
            orders.append(self._orders.get())
        return orders
