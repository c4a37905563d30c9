"""`ksim view viewer=web` as a person has it: a real command, and a real browser."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest

from tests.browser import browser, find_browser

pytest.importorskip("ksim_cli.view.web", reason="MuJoCo Studio does not work here")

SLED = """<mujoco model="sled">
  <compiler autolimits="true"/>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="sled">
      <joint name="x" type="slide" axis="1 0 0" range="-3 3" damping="4"/>
      <joint name="y" type="slide" axis="0 1 0" range="-3 3" damping="4"/>
      <geom name="hull" type="box" size="0.3 0.3 0.15" mass="1" rgba="1 0 0 1"/>
    </body>
  </worldbody>
  <actuator>
    <motor name="x" joint="x" ctrlrange="-50 50"/>
    <motor name="y" joint="y" ctrlrange="-50 50"/>
  </actuator>
</mujoco>
"""
TASK = '''
from ksim_cli import TASKS
from ksim_cli.models.policy import ActionSample
from ksim_cli.task import Task


class Follow:
    """Pulls the sled to where it is told to be."""


@TASKS.register("sled")
class Sled(Task):
    """A sled that goes where it is commanded."""

    def get_model(self, observation_sizes, action_size, key):
        return Follow()

    def sample_action(self, model, obs, carry, key, argmax):
        position, goal = obs["actor"][:, :2], obs["actor"][:, 2:]
        return ActionSample(10.0 * (goal - position))
'''
CONFIG = """# @package _global_
task: {name: sled, model: sled.xml}
ctrl_dt: 0.02
dt: 0.005
rollout_length_frames: 8
commands: {goal: {type: float_vector, ranges: [[-1, 1], [-1, 1]]}}
observations:
  position: {type: joint_position, groups: [actor, critic]}
  goal: {type: command, command: goal, groups: [actor, critic]}
rewards: {near: {type: joint_position, command: goal}}
actuators: {all: {type: torque}}
terminations: {time_limit: {type: episode_length, max_length_seconds: 1000}}
render_azimuth: 90
"""

WATCHED = """
import json
import sys

from mujoco.studio.dear_imgui import dear_imgui as imgui

from ksim_cli.cli import main
from ksim_cli.view import panel, studio

places = {}


class Places:
    '''The panel's drawing, which remembers where each control came to be.'''

    def __getattr__(self, name):
        drawn = getattr(imgui, name)
        if name not in ("Button", "SliderFloat", "Checkbox", "Combo"):
            return drawn

        def draw(label, *given):
            answer = drawn(label, *given)
            low, high = imgui.GetItemRectMin(), imgui.GetItemRectMax()
            places[label] = [low.x, low.y, high.x, high.y]
            return answer

        return draw


def told(self, qpos, qvel, seconds, shown=studio.StudioScreen.show):
    shown(self, qpos, qvel, seconds)
    board = self.desk.board
    seen = dict(qpos=qpos.tolist(), seconds=seconds, paused=board.paused, held=[*board.held])
    print("SHOWN", json.dumps({**seen, "places": dict(places)}), flush=True)


panel.imgui = Places()
studio.StudioScreen.show = told
sys.exit(main(sys.argv[1:]))
"""


class Viewer:
    """A command that serves a page, and what it shows."""

    def __init__(self, process):
        self.process, self.said = process, queue.Queue()
        self.shown: list[dict] = []
        self.heard: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("SHOWN "):
                self.shown.append(json.loads(line[6:]))
            else:
                self.said.put(line)
        self.said.put("")  # it has ended

    def url(self):
        while True:
            line = self.said.get(timeout=120)
            assert line, "".join(self.heard)
            self.heard.append(line)
            if line.startswith("viewer: "):
                return line.split()[1]

    def until(self, holds, seconds=30):
        """What is shown once something holds of it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.shown and holds(self.shown[-1]):
                return self.shown[-1]
            time.sleep(0.02)
        raise AssertionError(f"it never came; the last: {self.shown[-1:]}")

    def place(self, label, share=0.5):
        """Where a control is on the page."""
        left, top, right, bottom = self.until(lambda now: label in now["places"])["places"][label]
        return left + share * (right - left), (top + bottom) / 2


def press(page, viewer, label, holds, share=0.5):
    """What is shown once a click has done what it is to do; where pictures come slowly one is lost."""
    for _ in range(4):
        page.click(*viewer.place(label, share))
        with contextlib.suppress(AssertionError):
            return viewer.until(holds, 15)
    return viewer.until(holds, 1)


@contextlib.contextmanager
def viewing(folder, *typed):
    (folder / "tasks").mkdir()
    (folder / "configs" / "task").mkdir(parents=True)
    (folder / "tasks" / "sled.py").write_text(TASK)
    (folder / "tasks" / "sled.xml").write_text(SLED)
    (folder / "configs" / "task" / "sled.yaml").write_text(CONFIG)
    command = [sys.executable, "-u", "-c", WATCHED, "view", "task=sled", "policy=initial"]
    process = subprocess.Popen(
        [*command, "viewer=web", *typed],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    viewer = Viewer(process)
    try:
        yield viewer
    finally:
        process.kill()
        process.wait()
        viewer.reader.join()
        process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="no Chromium here: apt-get install chromium")
def test_a_person_looks_pauses_steps_pushes_and_steers(tmp_path):
    with viewing(tmp_path) as viewer, browser() as page:
        url = viewer.url()
        assert url.startswith("http://127.0.0.1:")
        page.go(url)
        viewer.until(lambda now: "step" in now["places"], 60)

        # The first picture: a red sled in it.
        def red():
            picture = page.picture().astype(int)
            return (picture[..., 0] - picture[..., 1:].max(axis=-1) > 60).sum()

        end = time.monotonic() + 60
        while red() < 500 and time.monotonic() < end:
            time.sleep(0.2)
        assert red() >= 500

        stopped = press(page, viewer, "pause", lambda now: now["paused"])
        time.sleep(0.5)
        assert viewer.shown[-1]["seconds"] == stopped["seconds"], "time stands still"

        stepped = press(page, viewer, "step", lambda now: now["seconds"] != stopped["seconds"])
        time.sleep(0.5)
        assert viewer.shown[-1]["seconds"] == stepped["seconds"] and stepped["paused"]
        assert round((stepped["seconds"] - stopped["seconds"]) / 0.02) == 1, "one step, and no more"

        # A slider of a command: the sled goes there.
        press(page, viewer, "[0]##goal", lambda now: now["held"] == ["goal"], share=0.1)
        left = press(page, viewer, "play", lambda now: now["qpos"][0] < -0.6)
        right = press(page, viewer, "[0]##goal", lambda now: now["qpos"][0] > 0.6, share=0.75)
        assert right["seconds"] > left["seconds"]

        # A push: it is moved, against where it is pulled to, and comes back.
        time.sleep(2.0)
        rest = viewer.shown[-1]["qpos"][0]
        press(page, viewer, "back", lambda now: now["qpos"][0] < rest - 0.02)
        viewer.until(lambda now: abs(now["qpos"][0] - rest) < 0.01)

        # Another browser watches: it gets the picture, and the first goes on steering.
        with browser() as second:
            second.go(url)
            time.sleep(3.0)
            assert np.ptp(second.picture().astype(int)) > 100
            press(page, viewer, "pause", lambda now: now["paused"])

        viewer.process.terminate()
        viewer.process.wait(30)
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=5)


def test_seconds_end_it(tmp_path):
    with viewing(tmp_path, "viewer_num_seconds=1") as viewer:
        assert viewer.process.wait(120) == 0
    assert viewer.shown and viewer.shown[-1]["seconds"] <= 1.5
