# ruff: noqa: N802 # the names are imgui's
"""What each control of the panel orders, drawn by something that presses one of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Board, Desk, Labels

panel = pytest.importorskip("ksim_cli.view.panel", reason="MuJoCo Studio does not work here")

LABELS = Labels("robot", {"speed": ((-1.0, 1.0),), "goal": ((0.0, 2.0), (0.0, 2.0))}, 0.02)
CURVES = {
    "rewards": {"total": np.arange(4.0)},
    "actions": {f"[{i}]": np.arange(4.0) for i in range(30)},
}


class Drawing:
    """Stands for imgui: every control is left alone but one, or a key is down."""

    def __init__(self, pressed="", value=None, key=""):
        self.pressed, self.value, self.key, self.texts = pressed, value, key, []

    def _control(self, label, now):
        return (True, self.value) if label == self.pressed else (False, now)

    def Button(self, label):
        return label == self.pressed

    def SliderFloat(self, label, now, low, high):
        assert low <= now <= high, label
        return self._control(label, now)

    def Checkbox(self, label, now):
        return self._control(label, now)

    def Combo(self, label, now, names):
        return self._control(label, now)

    def TextUnformatted(self, text):
        self.texts.append(text)

    TextWrapped = SeparatorText = TextUnformatted

    def IsKeyPressed(self, key):
        return key == self.key

    def GetIO(self):
        return SimpleNamespace(WantCaptureKeyboard=False)

    def Begin(self, title):
        return True

    def CollapsingHeader(self, group, flags):
        return bool(flags)

    def __getattr__(self, name):
        if name in ("Cond", "Key", "TreeNodeFlags"):
            return Names(name)
        return lambda *given: None


class Names:
    """An enumeration: each name is its own value, and true as a number."""

    def __init__(self, kind):
        self._kind = kind

    def __getattr__(self, name):
        return 1 if self._kind == "TreeNodeFlags" else name


class Plotting:
    """Stands for implot: remembers the lines."""

    AxisFlags = SimpleNamespace(AutoFit=1)

    def __init__(self):
        self.lines = []

    def BeginPlot(self, *given):
        return True

    def PlotLine(self, name, times, values):
        self.lines.append((name, times.tolist(), values.tolist()))

    def SetupAxes(self, *given):
        pass

    def EndPlot(self):
        pass


def drawn(monkeypatch, board=None, **drawing):
    """What one drawing of the panel orders, says and plots."""
    imgui, implot = Drawing(**drawing), Plotting()
    monkeypatch.setattr(panel, "imgui", imgui)
    monkeypatch.setattr(panel, "implot", implot)
    desk = Desk(LABELS)
    told = {"speed": np.array([0.5]), "goal": np.array([0.5, 1.5])}
    desk.board = board or Board(commands=told, policies=("newest", "zero"), policy="newest")
    panel.Panel(desk).on_build_gui(None)
    return desk.take(), imgui.texts, implot.lines


@pytest.mark.parametrize(
    ("pressed", "value", "wanted"),
    [
        ("", None, []),
        ("pause", None, [orders.Pause(True)]),
        ("step", None, [orders.SingleStep()]),
        ("next episode", None, [orders.Restart()]),
        ("speed, %", 50.0, [orders.Speed(0.5)]),
        ("policy", 1, [orders.Choose("zero")]),
        ("forward", None, [orders.Push("forward", 0.5)]),
        ("right", None, [orders.Push("right", 0.5)]),
        ("hold speed", True, [orders.Hold("speed", (0.5,))]),
        ("##speed0", 0.75, [orders.Hold("speed", (0.75,))]),
        ("[1]##goal", 0.25, [orders.Hold("goal", (0.5, 0.25))]),
    ],
)
def test_each_control_gives_its_order(monkeypatch, pressed, value, wanted):
    assert drawn(monkeypatch, pressed=pressed, value=value)[0] == wanted


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("UpArrow", orders.Hold("speed", (0.7,))),
        ("DownArrow", orders.Hold("speed", (0.3,))),
        ("LeftArrow", orders.Hold("goal", (0.7, 1.5))),
        ("RightArrow", orders.Hold("goal", (0.3, 1.5))),
    ],
)
def test_arrows_steer_the_first_two_commands(monkeypatch, key, wanted):
    ((given,), _, _) = drawn(monkeypatch, key=key)
    assert given.command == wanted.command and given.value == pytest.approx(wanted.value)


def test_a_board_that_is_paused_and_holds_a_command_offers_the_way_back(monkeypatch):
    board = Board(paused=True, held=frozenset({"speed"}), commands={"speed": np.array([0.5])})
    assert drawn(monkeypatch, board, pressed="play")[0] == [orders.Pause(False)]
    let_go = drawn(monkeypatch, board, pressed="hold speed", value=False)[0]
    assert let_go == [orders.Hold("speed", None)]


def test_it_says_what_the_board_says_and_plots_what_is_open(monkeypatch):
    board = Board(status=("newest: 1.2 s", "trouble"), curves=CURVES)
    _, texts, lines = drawn(monkeypatch, board)
    assert texts[:3] == ["robot", "newest: 1.2 s", "trouble"]
    assert lines == [("total", [-0.08, -0.06, -0.04, -0.02], [0.0, 1.0, 2.0, 3.0])]
