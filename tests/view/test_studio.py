import sys

import mujoco
import pytest

from ksim_cli.errors import UserError
from ksim_cli.view import studio
from ksim_cli.view.desk import Desk, Labels
from ksim_cli.view.studio import Place, StudioScreen


def opened(kind):
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    return StudioScreen(model, Desk(Labels("none", {}, 0.02)), Place(kind))


def test_a_window_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(studio, "has_display", lambda: False)
    monkeypatch.setattr(studio, "WINDOWED", (3, 0))
    with pytest.raises(UserError, match=r"there is no display here. Type viewer=web"):
        opened("window")
    monkeypatch.setattr(studio, "WINDOWED", (9, 9))
    with pytest.raises(UserError, match=r"needs Python 3\.12, got 3\.\d+. Type viewer=web"):
        opened("window")


def test_where_studio_does_not_work_a_video_is_offered(monkeypatch):
    monkeypatch.setitem(sys.modules, "ksim_cli.view.studio_viewer", None)
    with pytest.raises(UserError, match=r"MuJoCo Studio cannot be used here.*Type viewer=video"):
        opened("web")
