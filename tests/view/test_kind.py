import sys
from types import SimpleNamespace

import pytest

from ksim_cli.view import kind
from ksim_cli.view.kind import has_display, viewer_kind
from tests.helpers import tiny_cartpole


@pytest.mark.parametrize(
    ("viewer", "dump", "person", "wanted"),
    [
        (None, None, True, "web"),
        ("auto", None, True, "web"),
        (None, None, False, "video"),
        ("auto", None, False, "video"),
        ("web", None, False, "web"),
        ("window", None, False, "window"),
        ("video", None, True, "video"),
        ("web", "x.npz", True, "video"),
    ],
)
def test_the_viewer_that_is_meant(monkeypatch, viewer, dump, person, wanted):
    config = tiny_cartpole(viewer=viewer, dump=dump)
    stream = SimpleNamespace(isatty=lambda: person)
    monkeypatch.setattr(kind, "sys", SimpleNamespace(stdin=stream, stdout=stream))
    assert viewer_kind(config) == wanted


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there always is one")
def test_a_display_is_what_the_environment_names(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
