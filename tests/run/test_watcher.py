import os
import subprocess
import sys
import time

import pytest

from ksim_cli.io.runs import RunFolder
from ksim_cli.run import watcher
from ksim_cli.run.watcher import watched
from tests.helpers import tiny_cartpole


@pytest.fixture
def said():
    return []


def entered(monkeypatch, tmp_path, said, program, viewer="web"):
    monkeypatch.setattr(watcher, "_command", lambda run, config: [sys.executable, "-c", program])
    return watched(RunFolder(tmp_path), tiny_cartpole(viewer=viewer), said.append)


@pytest.mark.parametrize("viewer", [None, "video"])
def test_who_asks_for_none_gets_none(monkeypatch, tmp_path, said, viewer):
    with entered(monkeypatch, tmp_path, said, "print('here')", viewer):
        time.sleep(0.3)
    assert said == []


def test_its_lines_are_shown_and_it_goes_with_the_training(monkeypatch, tmp_path, said):
    program = (
        "import time; print('at http://x', flush=True); print(); time.sleep(600);"
        f" open({str(tmp_path / 'stayed')!r}, 'w')"
    )
    with entered(monkeypatch, tmp_path, said, program):
        while not said:
            time.sleep(0.01)
    assert said == ["viewer: at http://x"] and not (tmp_path / "stayed").exists()


def test_one_that_does_not_leave_is_made_to(monkeypatch, tmp_path, said):
    monkeypatch.setattr(watcher, "_PATIENCE", 0.2)
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('deaf', flush=True); time.sleep(600)"
    )
    with entered(monkeypatch, tmp_path, said, program):
        while not said:
            time.sleep(0.01)


def test_one_that_dies_does_not_matter(monkeypatch, tmp_path, said):
    with entered(monkeypatch, tmp_path, said, "raise SystemExit('no page')"):
        while not said:
            time.sleep(0.01)
    assert said == ["viewer: no page"]


def test_what_is_typed_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(watcher.shutil, "which", lambda name: f"/bin/{name}")
    config = tiny_cartpole(viewer="web", viewer_port=9999)
    command = watcher._command(RunFolder(tmp_path), config)
    assert command[:3] == ["/bin/nice", "-n", "10"] and command[4:8] == [
        "-u",
        "-m",
        "ksim_cli",
        "view",
    ]
    assert {f"checkpoint={tmp_path}", "viewer=web", "viewer_port=9999"} < set(command)


LOOKS_ON = """
import time
from ksim_cli.run.watcher import is_left_behind
print(is_left_behind(), flush=True)
while not is_left_behind():
    time.sleep(0.02)
open("left", "w").close()
"""
TRAINS = """
import os, sys, time
from pathlib import Path
from ksim_cli.io.runs import RunFolder
from ksim_cli.run import watcher
from tests.helpers import tiny_cartpole

def killed(line):
    assert line == "viewer: False"
    os.kill(os.getpid(), 9)

watcher._command = lambda run, config: [sys.executable, "-c", sys.argv[1]]
with watcher.watched(RunFolder(Path()), tiny_cartpole(viewer="web"), killed):
    time.sleep(100)
"""


@pytest.mark.slow
def test_it_notices_that_the_training_was_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    command = [sys.executable, "-c", TRAINS, LOOKS_ON]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == -9
    end = time.monotonic() + 300
    while not (tmp_path / "left").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
