"""The panel of a live viewer: what one may do, and curves of what there is to see."""

from collections.abc import Sequence

import numpy as np
from mujoco.studio import messages, plugin
from mujoco.studio.dear_imgui import dear_imgui as imgui
from mujoco.studio.implot import implot

from ksim_cli.view import desk as orders
from ksim_cli.view.desk import Board, Desk

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Speeds that the buttons + and - go through."""

_STRENGTH = 0.5
"""m/s of a push, at first."""

_WIDER = 1.5
"""A slider goes beyond the range of training by this factor."""

_MOST_LINES = 12
"""Curves in one plot."""

_STEPS = {"UpArrow": (0, 1), "DownArrow": (0, -1), "LeftArrow": (1, 1), "RightArrow": (1, -1)}
"""Key -> which command it moves, counting those that can be steered, and which way."""


class Panel(plugin.ViewerPlugin):
    """A window of controls and one of curves.

    Args:
        desk: where orders go, and what is shown hangs.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._strength = _STRENGTH
        self._shown = {"rewards", "command errors"}

    @messages.handler
    def on_build_gui(self, _: messages.BuildGuiEvent) -> None:
        """Draw both windows."""
        board = self._desk.board
        imgui.SetNextWindowPos(imgui.Vec2(12, 40), imgui.Cond.FirstUseEver)
        imgui.SetNextWindowSize(imgui.Vec2(330, 460), imgui.Cond.FirstUseEver)
        if imgui.Begin("ksim"):
            self._build_controls(board)
        imgui.End()
        imgui.SetNextWindowPos(imgui.Vec2(840, 40), imgui.Cond.FirstUseEver)
        imgui.SetNextWindowSize(imgui.Vec2(350, 640), imgui.Cond.FirstUseEver)
        if imgui.Begin("curves"):
            self._build_curves(board)
        imgui.End()
        if not imgui.GetIO().WantCaptureKeyboard:
            self._steer(board)

    def _build_controls(self, board: Board) -> None:
        desk = self._desk
        imgui.TextUnformatted(desk.labels.title)
        for line in board.status:
            imgui.TextWrapped(line)
        if imgui.Button("play" if board.paused else "pause"):
            desk.put(orders.Pause(not board.paused))
        imgui.SameLine()
        if imgui.Button("step"):
            desk.put(orders.SingleStep())
        imgui.SameLine()
        if imgui.Button("next episode"):
            desk.put(orders.Restart())
        changed, percent = imgui.SliderFloat("speed, %", 100 * board.speed, 5.0, 400.0)
        if changed:
            desk.put(orders.Speed(percent / 100))
        self._build_policies(board)
        if desk.labels.is_steered:
            self._build_steering(board)

    def _build_steering(self, board: Board) -> None:
        desk = self._desk
        imgui.SeparatorText("push")
        _, self._strength = imgui.SliderFloat("m/s", self._strength, 0.1, 3.0)
        for i, direction in enumerate(orders.DIRECTIONS):
            if i:
                imgui.SameLine()
            if imgui.Button(direction):
                desk.put(orders.Push(direction, self._strength))
        if desk.labels.commands:
            imgui.SeparatorText("commands")
        for name, ranges in desk.labels.commands.items():
            self._build_command(name, ranges, board)

    def _build_policies(self, board: Board) -> None:
        names = list(board.policies)
        if not names:
            return
        current = names.index(board.policy) if board.policy in names else 0
        changed, chosen = imgui.Combo("policy", current, names)
        if changed:
            self._desk.put(orders.Choose(names[chosen]))

    def _build_command(
        self, name: str, ranges: Sequence[tuple[float, float]], board: Board
    ) -> None:
        value = np.ravel(board.commands.get(name, np.zeros(len(ranges)))).tolist()
        is_held = name in board.held
        changed, held = imgui.Checkbox(f"hold {name}", is_held)
        if changed:
            self._desk.put(orders.Hold(name, tuple(value) if held else None))
        for i, (low, high) in enumerate(ranges):
            label = f"##{name}{i}" if len(ranges) == 1 else f"[{i}]##{name}"
            margin = (_WIDER - 1) / 2 * max(high - low, 0.2)
            moved, value[i] = imgui.SliderFloat(label, value[i], low - margin, high + margin)
            if moved:
                self._desk.put(orders.Hold(name, tuple(value)))

    def _build_curves(self, board: Board) -> None:
        dt = self._desk.labels.ctrl_dt
        for group, curves in board.curves.items():
            is_open = imgui.CollapsingHeader(
                group, int(imgui.TreeNodeFlags.DefaultOpen) if group in self._shown else 0
            )
            if not is_open or not implot.BeginPlot(f"##{group}", imgui.Vec2(-1, 150)):
                continue
            fit = implot.AxisFlags.AutoFit
            implot.SetupAxes("s", "", fit, fit)
            for name, values in list(curves.items())[:_MOST_LINES]:
                times = dt * np.arange(-len(values), 0, dtype=np.float64)
                implot.PlotLine(name, times, values)
            implot.EndPlot()

    def _steer(self, board: Board) -> None:
        """The arrow keys move the first command, and turn the second, as a joystick does."""
        names = list(self._desk.labels.commands)
        for key, (which, way) in _STEPS.items():
            if which < len(names) and imgui.IsKeyPressed(getattr(imgui.Key, key)):
                name = names[which]
                low, high = self._desk.labels.commands[name][0]
                value = np.ravel(board.commands[name]).tolist()
                value[0] = float(np.clip(value[0] + way * 0.1 * (high - low), low, high))
                self._desk.put(orders.Hold(name, tuple(value)))
