import sys
from types import SimpleNamespace

import pytest

from ksim_cli.view import kind
from ksim_cli.view.kind import has_display, viewer_kind
from tests.helpers import tiny_cartpole


@pytest.mark.parametrize(
    ("viewer", "dump", "display", "python", "person", "wanted"),
    [
        (None, None, True, (3, 12), True, "window"),
        ("auto", None, True, (3, 12), False, "window"),
        (None, None, True, (3, 11), True, "web"),
        (None, None, False, (3, 12), True, "web"),
        (None, None, False, (3, 12), False, "video"),
        ("auto", None, False, (3, 11), False, "video"),
        ("web", None, False, (3, 11), False, "web"),
        ("window", None, False, (3, 11), False, "window"),
        ("video", None, True, (3, 12), True, "video"),
        ("web", "x.npz", True, (3, 12), True, "video"),
    ],
)
def test_the_viewer_that_is_meant(monkeypatch, viewer, dump, display, python, person, wanted):
    config = tiny_cartpole(viewer=viewer, dump=dump)
    monkeypatch.setattr(kind, "has_display", lambda: display)
    stream = SimpleNamespace(isatty=lambda: person)
    system = SimpleNamespace(version_info=python, stdin=stream, stdout=stream)
    monkeypatch.setattr(kind, "sys", system)
    assert viewer_kind(config) == wanted


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there always is one")
def test_a_display_is_what_the_environment_names(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
