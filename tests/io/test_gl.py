import os
import subprocess
import sys

import pytest

from ksim_cli.errors import UserError
from ksim_cli.io import gl


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    # Set first: what a test chooses is undone after it only where there was something before.
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the choice is Linux's")
def test_the_choice_of_a_context(monkeypatch):
    works = {"egl", "osmesa", "glfw"}
    monkeypatch.setattr(gl, "_works", lambda backend: backend in works)
    gl.pick_gl(None)
    assert os.environ["MUJOCO_GL"] == "egl"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    gl.pick_gl(None)
    assert os.environ["MUJOCO_GL"] == "osmesa", "what the user chose stays"
    works.remove("egl")
    gl.pick_gl(False)
    assert os.environ["MUJOCO_GL"] == "osmesa"
    gl.pick_gl(True)
    assert os.environ["MUJOCO_GL"] == "glfw"
    works.clear()
    with pytest.raises(UserError, match=r"tried egl, osmesa.*libegl1"):
        gl.pick_gl(False)
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(UserError, match="tried disable"):
        gl.pick_gl(None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the choice is Linux's")
def test_a_window_system_that_is_there_is_taken(monkeypatch):
    monkeypatch.setattr(gl, "_works", lambda backend: True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, ":0")
        gl.pick_gl(None)
        assert os.environ.pop("MUJOCO_GL") == "glfw"
        gl.pick_gl(False)
        assert os.environ.pop("MUJOCO_GL") == "egl"
        monkeypatch.delenv(name)


def test_elsewhere_nothing_is_chosen(monkeypatch):
    monkeypatch.setattr(gl.sys, "platform", "darwin")
    gl.pick_gl(True)
    assert "MUJOCO_GL" not in os.environ


def test_a_context_is_tried_in_a_process_of_its_own(monkeypatch):
    tried = []

    def run(command, env, **_):
        tried.append(env["MUJOCO_GL"])
        return subprocess.CompletedProcess(command, returncode=0 if tried[-1] == "osmesa" else 1)

    monkeypatch.setattr(gl.subprocess, "run", run)
    assert gl._works("osmesa") and not gl._works("egl")
    assert tried == ["osmesa", "egl"] and "MUJOCO_GL" not in os.environ
