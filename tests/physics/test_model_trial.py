import os
from pathlib import Path

import pytest

from ksim_cli.errors import UserError
from ksim_cli.paths import builtin_root
from ksim_cli.physics import model_trial
from ksim_cli.physics.model_trial import try_model

MANY = '<replicate count="300000" offset="1 0 0"><body><joint/><geom size=".1"/></body></replicate>'
BAD = {
    "for_ever": (f"<mujoco><worldbody>{MANY}</worldbody></mujoco>", "could not be compiled within"),
    "never_read": ('<mujoco><include file="pipe"/></mujoco>', "could not be compiled within"),
    "memory": (
        '<mujoco><size memory="1000G"/><worldbody><geom size="1"/></worldbody></mujoco>',
        "allocate memory",
    ),
    "foreign": ('<mujoco><include file="/etc/passwd"/></mujoco>', "parse error"),
    "endless": ('<mujoco><include file="/dev/zero"/></mujoco>', "Empty file"),
    "malformed": ("<mujoco><worldbody>", "XML"),
    "no_text": ("\0\1\2", "XML"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_robot_is_one_message(tmp_path: Path, monkeypatch, name: str):
    text, message = BAD[name]
    if message.endswith("within"):  # the others take their time to start
        monkeypatch.setattr(model_trial, "SECONDS", 1)
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "model.xml").write_text(text)
    with pytest.raises(UserError, match=message):
        try_model(Path("model.xml"))
    assert sorted(os.listdir()) == ["model.xml", "pipe"]


def test_a_robot_passes(monkeypatch):
    (path,) = (builtin_root() / "tasks").rglob("cartpole.xml")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    try_model(path)
