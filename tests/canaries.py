"""Runs as a stranger might give them away, and what must not come of reading them.

`attempt` makes one, types a command, and says what harm was done: code that was run, a file
outside of the run that was changed, a traceback.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib.font_manager  # noqa: F401  # makes its cache now, and not in a home of ours
import numpy as np
import yaml

from ksim_cli.config.saved import hash_of, sealed
from ksim_cli.io import checkpoint_files
from ksim_cli.io.files import write_json
from ksim_cli.io.kept_code import HASHES
from ksim_cli.physics import model_trial
from ksim_cli.run import view
from tests.run.commands import Done, ksim

COMMANDS = {
    "resume": ("train", "resume=gift", "num_iterations=3"),
    "eval": ("eval", "checkpoint=gift"),
    "collect": ("collect", "checkpoint=gift"),
    "view": (
        *("view", "checkpoint=gift", "viewer_num_seconds=0.1", "viewer_save_video=false"),
        *("render_width=32", "render_height=32"),
    ),
    "dump": ("view", "dump=gift/dumps/x.npz", "checkpoint=gift", "render_width=32"),
    "report": ("report", "gift"),
    "plot": ("plot", "gift"),
    "replay": (
        *("view", "dataset=gift/datasets/00000002", "viewer_num_seconds=0.1"),
        *("viewer_save_video=false", "render_width=32", "render_height=32"),
    ),
}

LINKED = (
    *(".lock", "train.log", "metrics.jsonl", "summary.json", "eval.json", "config.yaml"),
    *("memory.prof", "wandb_id.txt", "checkpoints", "checkpoints/00000002", "seeds", "tensorboard"),
    *("checkpoints/00000002/manifest.json", "checkpoints/00000002/policy.safetensors"),
    *("checkpoints/00000003", "videos", "datasets", "datasets/00000002", "code", "dumps", "wandb"),
    *("datasets/00000002/data/metadata.json", "datasets/00000002/data/main_data.hdf5"),
    *("videos/cartpole-00000002.gif", "dumps/x.npz", "checkpoints/00000002/x"),
)
"""Files and folders of a run that a link stands for."""

FIRED = "fired"
"""A file that whatever is run makes, in the home folder."""

CODE = f"import os, pathlib; pathlib.Path(os.environ['HOME'], '{FIRED}').touch()\n"

SHAPES = '<body><joint type="slide"/><geom size=".1" mass="1"/></body>'
MANY = f'<worldbody><replicate count="300000">{SHAPES}</replicate></worldbody>'
MODELS = {
    "many bodies": MANY,
    "many bodies elsewhere": '<include file="{home}/work/many.xml"/>',
    "much memory": f'<size memory="900G"/><worldbody>{SHAPES}</worldbody>',
    "a foreign file": '<include file="{home}/key"/>',
    "an endless file": '<include file="/dev/zero"/>',
    "a pipe": '<include file="{home}/pipe"/>',
    "a plugin": '<extension><plugin plugin="x.y"/></extension>',
    "nothing": "",
    "an error": "<oops/>",
}


class Bomb:
    """Fires when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (CODE,)


def rewrite(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a run's config, and seal it and its checkpoints as if ksim had written it."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    change(config)
    forge(run, yaml.safe_dump(config, sort_keys=False))


def forge(run: Path, text: str) -> None:
    """Put a text in place of a run's config, under a seal that fits."""
    text = sealed(text)
    (run / "config.yaml").write_text(text)
    for manifest in (run / "checkpoints").glob("*/manifest.json"):
        body = json.loads(manifest.read_text())
        body["info"]["config_sha256"] = hash_of(text)
        del body["digest"]
        manifest.write_text(checkpoint_files._seal(body))


def _filled(value: Any, **places: Path) -> Any:
    if isinstance(value, dict) and "path" in value:
        return {name: _filled(item, **places) for name, item in value.items()}
    return value.format(**places) if isinstance(value, str) else value


def _set(key: str, value: Any) -> Callable[[Path, Path], None]:
    """Plants a value at a key of the config; `{home}` and `{run}` in a text are filled in."""

    def plant(run: Path, home: Path) -> None:
        def change(config: dict[str, Any]) -> None:
            *sections, last = key.split(":")
            for name in sections:
                config = config.setdefault(name, {})
            config[last] = _filled(value, home=home, run=run)

        rewrite(run, change)

    return plant


def _link(name: str, to: str) -> Callable[[Path, Path], None]:
    """Plants a link to something in the home folder, which holds what was there where it can."""

    def plant(run: Path, home: Path) -> None:
        path, target = run / name, home / to
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and to == "aside":
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(target)

    return plant


def _pickled(name: str) -> Callable[[Path, Path], None]:
    """Plants a pickle where ksim, or a careless reader, looks."""

    def plant(run: Path, home: Path) -> None:
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Bomb()))
        step = run / "checkpoints" / "00000002"
        if path.parent == step and path.name in checkpoint_files.FILES:
            body = json.loads((step / "manifest.json").read_text())
            body["files"][path.name] = checkpoint_files.hash_file(path)
            del body["digest"]
            (step / "manifest.json").write_text(checkpoint_files._seal(body))

    return plant


def _objects(run: Path, home: Path) -> None:
    (run / "dumps").mkdir()
    arrays = {name: np.zeros((3, 4)) for name in ("action", "view/qpos", "view/qvel")}
    arrays |= {name: np.array(1) for name in ("step", "env", "iteration")}
    np.savez(run / "dumps" / "x.npz", **arrays, x=np.array([Bomb()] * 3, object))  # type: ignore[arg-type]


def _code(name: str) -> Callable[[Path, Path], None]:
    def plant(run: Path, home: Path) -> None:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(CODE)

    return plant


def _text(name: str, text: str) -> Callable[[Path, Path], None]:
    def plant(run: Path, home: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).write_text(text)

    return plant


def _appended(text: str) -> Callable[[Path, Path], None]:
    return lambda run, home: forge(
        run, (run / "config.yaml").read_text() + text.format(home=home, run=run)
    )


def _model(text: str, name: str) -> Callable[[Path, Path], None]:
    """Plants a model beside the run, and has its config name it."""

    def plant(run: Path, home: Path) -> None:
        file = run.parent / "gift.xml"
        file.write_text(f"<mujoco>{text.format(home=home)}</mujoco>")
        _know(run, file)
        _set("task:model", name.format(file=file))(run, home)

    return plant


def _know(run: Path, file: Path) -> None:
    """Have a run say that it was trained with a file."""
    (run / "code").mkdir(exist_ok=True)
    write_json(run / "code" / HASHES, {file.as_posix(): checkpoint_files.hash_file(file)})


def _own_model(run: Path, home: Path) -> None:
    (run / "x.xml").write_text(f"<mujoco>{MANY}</mujoco>")
    _know(run, run / "x.xml")
    _set("task:model", "{run}/x.xml")(run, home)


def _bytes(name: str, data: bytes) -> Callable[[Path, Path], None]:
    return lambda run, home: (run / name).write_bytes(data) and None


_CALL = {"_target_": "builtins.exec", "_args_": [CODE]}
_CALLBACK = {"callbacks": {"x": {"_target_": "builtins.exec", "_args_": [CODE]}}}
_STEP = "checkpoints/00000002"
KINDS: dict[str, dict[str, Callable[[Path, Path], None]]] = {
    "link": {
        **{f"{name} is a link to a file": _link(name, "key") for name in LINKED},
        **{f"{name} is a link to a folder": _link(name, "documents") for name in LINKED},
        **{f"{name} is a link to nothing": _link(name, "nowhere") for name in LINKED},
        **{f"{name} was moved": _link(name, "aside") for name in ("checkpoints", _STEP)},
        "config.yaml was moved": _link("config.yaml", "aside"),
    },
    "name": {
        **{
            f"the task is {name}": _set("task:name", name)
            for name in ("../../../x", "{home}/x", "a/../../../x", "..")
        },
        "the task has a long name": _set("task:name", "x" * 400),
        **{f"the type is {x}": _set("task:type", x) for x in ("../../x", "gift.tasks.evil", "os")},
        "it extends a path": _set("task:extends", ["../../x"]),
        "a reward is a path": _set("rewards:../../../x", {"type": "alive", "weight": 1.0}),
        "an observation is a path": _set("observations:../x", {"type": "joint_position"}),
        "a group is a path": _set("model:actor_groups", ["../../x"]),
        "the project is a path": _set("logger:wandb_project", "../../x"),
        "the dataset is a path": _set("dataset_id", "../../../x"),
        "it says where to write": _set("dataset_save_path", "{home}/x"),
        "it says where to train": _set("run_dir", "{home}/x"),
        "it names a dump": _set("dump", "{home}/x.npz"),
        **{
            f"a reset reads {path}": _set("resets:x", {"type": "motion_state", "path": path})
            for path in ("{home}/pipe", "../../key", "/dev/zero")
        },
        "its home is a path": _set("task:home", "../../x"),
        "its camera is a path": _set("render_camera_name", "../../x"),
        "the id of another run": _text("wandb_id.txt", "../../../x\n"),
    },
    "config": {
        "it calls": _set("algo", _CALL),
        "a reward calls": _set("rewards:x", _CALL),
        "a type is a module": _set("rewards:x", {"type": "os.system", "weight": 1.0}),
        "Hydra calls": _set("hydra", _CALLBACK),
        "a field of Hydra": _set("task:hydra", _CALLBACK),
        "it has defaults": _set("defaults", ["/hydra/launcher/joblib"]),
        "it resolves": _set("seed", "${{oc.env:HOME}}"),
        "a tag": _appended('x: !!python/object/apply:os.system ["touch {home}/fired"]\n'),
        "anchors": _appended("x: &a [1, 1]\ny: [*a, *a]\n"),
        "a number of 5000 digits": _appended(f"seed: {'9' * 5000}\n"),
        "deep brackets": _appended("x: " + "[" * 4000 + "\n"),
        "half a config": lambda run, home: forge(run, (run / "config.yaml").read_text()[:60]),
        "no text": _bytes("config.yaml", b"\xff\xfe\x00"),
        "a config group": _text("cartpole.yaml", "hydra: {run: {dir: ../../x}}\n"),
    },
    "pickle": {
        **{
            f"{name} is a pickle": _pickled(name)
            for name in (
                *(f"{_STEP}/policy.safetensors", f"{_STEP}/state.safetensors"),
                *(f"{_STEP}/manifest.json", "config.yaml", "summary.json", "metrics.jsonl"),
                *("dumps/x.npz", "code/sha256.json", "quarantine.npz", "checkpoint.pkl"),
            )
        },
        "a dump of objects": _objects,
    },
    "code": {
        f"{name} is code": _code(name)
        for name in (
            *("tasks/__init__.py", "tasks/cartpole.py", "code/tasks/cartpole.py", "numpy.py"),
            *("sitecustomize.py", "hydra_plugins/x.py", "conftest.py", "code/__init__.py"),
        )
    },
    "model": {
        **{f"a model of {name}": _model(text, "../gift.xml") for name, text in MODELS.items()},
        "a model by its full name": _model(MODELS["many bodies"], "{file}"),
        "a model that is no model": _set("task:model", "{home}/key"),
        "a model that is a folder": _set("task:model", "{home}/documents"),
        "a model that is a pipe": _set("task:model", "{home}/pipe"),
        "a model in the run": _own_model,
    },
}
"""Kind -> what a stranger's run has that is of it -> what is done to a good run."""


class Still:
    """In place of a renderer, which a process without OpenGL does not have."""

    def __init__(self, model: Any, config: Any, camera: Any) -> None:
        del model, config, camera

    def frame(self, qpos: Any, qvel: Any, markers: Any) -> np.ndarray:
        """A black picture."""
        del qpos, qvel, markers
        return np.zeros((32, 32, 3), np.uint8)


def attempt(home: Path, run: Path, plant: Callable[[Path, Path], None], command: str) -> str:
    """Type a command about a stranger's run.

    Args:
        home: an empty folder.
        run: a good run, of which a copy is made.
        plant: what is done to it, as in `KINDS`.
        command: of `COMMANDS`.

    Returns:
        The harm that was done; empty: none.
    """
    gift = make_home(home, run)
    plant(gift, home)
    before = look(home, gift)
    with (
        mock.patch.dict(os.environ, {"HOME": str(home)}),
        mock.patch.object(model_trial, "SECONDS", 1),
        mock.patch.object(view, "Recorder", Still),
    ):
        os.environ.pop("KSIM_PROJECT", None)
        done = ksim(*COMMANDS[command], cwd=home / "work")
    return harm(before, home, gift, done)


def make_home(home: Path, run: Path) -> Path:
    """Make a home with things to lose, and a folder to work in with a stranger's run, `gift`."""
    for name in ("documents/letter", "key", ".bashrc", "work/mine", "work/tasks/notes"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"my {name}\n")
    os.mkfifo(home / "pipe")
    (home / "work" / "many.xml").write_text(f"<mujoco>{MANY}</mujoco>")
    shutil.copytree(run, home / "work" / "gift")
    return home / "work" / "gift"


def look(home: Path, run: Path) -> dict[str, tuple[Any, ...]]:
    """Everything in a home but what is in the run: kind, size, content, time of change."""
    seen: dict[str, tuple[Any, ...]] = {}
    for name, folders, files in os.walk(home):
        if Path(name) == run:
            folders.clear()
            continue
        for each in (*folders, *files):
            path = Path(name, each)
            if path == run:
                continue
            state = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            seen[str(path.relative_to(home))] = (state.st_mode, content, state.st_ino)
    return seen


def harm(before: dict[str, tuple[Any, ...]], home: Path, run: Path, done: Done) -> str:
    """What a command has done that it must not; empty: nothing."""
    after = look(home, run)
    if FIRED in after:
        return "code was run"
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    if changed:
        return f"changed: {changed}"
    if done.returncode not in (0, 2) or "Traceback" in done.stdout + done.stderr:
        return f"status {done.returncode}: {done.stderr}"
    if done.returncode == 2 and not done.stderr.strip():
        return "said nothing"
    return ""
