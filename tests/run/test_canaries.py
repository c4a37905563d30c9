"""Strangers' run folders: whatever is in them, nothing outside of them is changed."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from ksim_cli.config.saved import sealed
from ksim_cli.io.files import write_json
from tests.run.commands import ksim

EVERY_COMMAND = bool(os.environ.get("KSIM_EVERY_COMMAND"))
"""Every command on every spoiled run; else they take turns."""

COMMANDS = {
    "eval": ("eval", "checkpoint=run"),
    "collect": ("collect", "checkpoint=run", "dataset_num_batches=1"),
    "resume": ("train", "resume=run", "num_iterations=3"),
    "view": ("view", "dump=run/dumps/evil.npz", "render_width=32", "render_height=32"),
}


def link(name, target="canary.txt"):
    def put(run):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(run.parent / "outside" / target)

    return put


def config(section, **values):
    def put(run):
        saved = yaml.safe_load((run / "config.yaml").read_text())
        saved[section] = {**(saved.get(section) or {}), **values} if section else saved
        (run / "config.yaml").write_text(sealed(yaml.safe_dump(saved)))  # a stranger can, too

    return put


def model(text, climbs=False):
    """A model of the stranger's own, beside his run's hashes of it."""

    def put(run):
        file = run / "evil.xml"
        file.write_text(text)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        (run / "code").mkdir()
        write_json(run / "code" / "sha256.json", {file.resolve().as_posix(): digest})
        given = "../../run/evil.xml" if climbs else str(file)
        config("task", model=given)(run)

    return put


def objects(run):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (run.parent / "canary_of_a_pickle",))

    (run / "dumps").mkdir(exist_ok=True)
    with open(run / "dumps" / "evil.npz", "wb") as file:
        np.savez(file, allow_pickle=True, step=np.array([Evil()], dtype=object))


INCLUDE = '<mujoco><include file="/etc/passwd"/></mujoco>'
REPLICATE = '<mujoco><worldbody><replicate count="300000"><body><geom size="1"/></body>'
REPLICATE += "</replicate></worldbody></mujoco>"

CORPUS = {
    **{f"link {name}": link(name) for name in (".lock", "train.log", "metrics.jsonl", "eval.json")},
    **{f"link {name}": link(name) for name in ("summary.json", "memory.prof", "code/a.py")},
    **{f"link {name}": link(name, "folder") for name in ("dumps", "videos", "datasets", "code")},
    "link of checkpoints": link("checkpoints", "folder"),
    "link of a step": link("checkpoints/00000009", "folder"),
    "loose link": link("train.log", "nowhere"),
    "pickled dump": objects,
    "target in the config": config("rewards", x={"_target_": "os.system"}),
    "interpolation": config("rewards", x={"type": "${oc.env:HOME}"}),
    "name that climbs": config("task", name="../../../x"),
    "absolute name": config("task", name="/canary/of/a/name"),
    "term that climbs": config("rewards", **{"../../x": {"type": "stay_alive"}}),
    "type that climbs": config("task", type="../x"),
    "a model that includes": model(INCLUDE),
    "a model that climbs": model(INCLUDE, climbs=True),
    "a huge model": model(REPLICATE),
}


def snapshot(folder, run):
    return {
        str(path): (path.read_bytes() if path.is_file() else None, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_relative_to(run)
    }


@pytest.fixture
def stranger(finished, tmp_path):
    """A folder with canaries, and in it a run to spoil."""
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "canary.txt").write_text("mine\n")
    (outside / "folder" / "mine.txt").write_text("mine\n")
    (tmp_path / "tasks").mkdir()
    shutil.copytree(finished.run, tmp_path / "run")
    return tmp_path / "run"


def check_nothing_outside(run, command):
    before = snapshot(run.parent, run)
    done = ksim(*COMMANDS[command], cwd=run.parent)
    assert snapshot(run.parent, run) == before
    assert done.returncode in (0, 2), done
    assert "Traceback" not in done.stderr
    return done


ONLY = {"pickled dump": ["view"], "link of checkpoints": ["resume"]}
"""Commands that have to do with it, where not all have."""

TURNS = {
    spoil: told if EVERY_COMMAND else [told[i % len(told)]]
    for i, (spoil, told) in enumerate((each, ONLY.get(each, [*COMMANDS])) for each in CORPUS)
}


@pytest.mark.parametrize(
    ("spoil", "command"), [(spoil, each) for spoil, told in TURNS.items() for each in told]
)
def test_nothing_outside_is_changed(stranger, spoil, command):
    CORPUS[spoil](stranger)
    done = check_nothing_outside(stranger, command)
    assert done.returncode == 2
    assert "ksim " in done.stderr


def test_a_model_of_the_project_that_includes_another_file_is_told(stranger):
    """What the file says is not shown."""
    (stranger.parent / "evil.xml").write_text(INCLUDE)
    config("task", model=str(stranger.parent / "evil.xml"))(stranger)
    done = check_nothing_outside(stranger, "eval")
    assert done.returncode == 2 and "evil.xml" in done.stderr and "root:" not in done.stderr


def test_a_huge_model_is_not_compiled_though_it_is_in_ones_own_folder(stranger):
    (stranger.parent / "evil.xml").write_text(REPLICATE)
    config("task", model=str(stranger.parent / "evil.xml"))(stranger)
    done = check_nothing_outside(stranger, "eval")
    assert done.returncode == 2 and "makes 300000 copies" in done.stderr
