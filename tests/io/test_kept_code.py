import dataclasses
import json
from contextlib import nullcontext

import pytest

from ksim_cli.config.components import TaskConfig
from ksim_cli.errors import UserError
from ksim_cli.io.files import hash_file
from ksim_cli.io.kept_code import (
    HASHES,
    changed_code,
    keep_code,
    model_files,
    own_files,
    refuse_foreign_files,
    refuse_foreign_model,
)
from tests.helpers import tiny_cartpole


@pytest.fixture
def project(tmp_path):
    root = (tmp_path / "project").resolve()
    for name, text in {
        "tasks/__init__.py": "one",
        "tasks/mine/__init__.py": "two",
        "tasks/mine/robot.xml": "<mujoco/>",
        "tasks/mine/mesh.stl": "solid",
        "tasks/mine/__pycache__/x.pyc": "",
        "tasks/theirs/__init__.py": "not ours",
        "helpers.py": "three",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def files(root, model=None):
    modules = [str(root / "tasks" / "__init__.py"), str(root / "helpers.py"), json.__file__]
    named = () if model is None else model_files(model)
    return own_files(root, ["mine", "nowhere"], modules, named)


def test_what_a_task_is_made_of(project, tmp_path):
    own = {"helpers.py", "tasks/__init__.py"}
    own |= {f"tasks/mine/{name}" for name in ("__init__.py", "robot.xml", "mesh.stl")}
    assert set(files(project)) == own
    assert set(files(project, project / "tasks" / "mine" / "robot.xml")) == own
    elsewhere = tmp_path / "robot.urdf"
    assert set(files(project, elsewhere)) == own, "it is not there"
    elsewhere.write_text("<robot/>")
    assert set(files(project, elsewhere)) == {*own, elsewhere.resolve().as_posix()}
    assert set(own_files(None, [], [], [elsewhere])) == {elsewhere.resolve().as_posix()}


MODEL = """\
<mujoco><compiler meshdir="../meshes" texturedir='tex'/><include file="parts/leg.xml"/>
<asset><mesh file="a.stl"/><texture fileright="b.png"/><mesh file="gone.stl"/></asset></mujoco>
"""


def test_what_a_model_names_counts(tmp_path):
    """Meshes, textures and includes, wherever they lie, and what an include names."""
    texts = {
        "robots/mine/robot.xml": MODEL,
        "robots/mine/parts/leg.xml": '<mujocoinclude><include file="foot.xml"/></mujocoinclude>',
        "robots/mine/parts/foot.xml": '<mesh file="c.stl"/><include file="leg.xml"/>',
        "robots/meshes/a.stl": "solid",
        "robots/meshes/c.stl": "solid",
        "robots/mine/tex/b.png": "png",
    }
    for name, text in {**texts, "robots/meshes/other.stl": "not of it"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    root = tmp_path.resolve()
    own = own_files(None, (), (), model_files(root / "robots/mine/robot.xml"))
    assert set(own) == {(root / name).as_posix() for name in texts}
    keep_code(root / "run" / "code", own)
    kept = root / "run" / "code" / "elsewhere" / root.relative_to(root.anchor) / "robots/mine"
    assert (kept / "robot.xml").read_text() == MODEL
    assert (kept / "parts/foot.xml").is_file() and not (kept / "tex").exists()
    (root / "robots/meshes/c.stl").write_text("another")
    assert changed_code(root / "run" / "code", own) == [f"{root}/robots/meshes/c.stl changed"]
    urdf = root / "robots" / "robot.urdf"
    urdf.write_text('<robot><mesh filename="package://mine/meshes/a.stl"/></robot>')
    assert root / "robots/meshes/a.stl" not in model_files(urdf)
    (root / "robots" / "a.stl").write_text("solid")
    assert root / "robots/a.stl" in model_files(urdf)


def test_what_is_not_imported_yet_is_not_gone(project, tmp_path):
    code = tmp_path / "code"
    keep_code(code, files(project))
    fewer = {name: path for name, path in files(project).items() if name != "helpers.py"}
    assert changed_code(code, fewer) == ["helpers.py is gone"]
    assert changed_code(code, fewer, project) == []
    (project / "helpers.py").write_text("4")
    assert changed_code(code, fewer, project) == ["helpers.py changed"]
    (tmp_path / "secret").write_text("")
    (code / HASHES).write_text(json.dumps({"../secret": "x"}))
    assert "../secret is gone" in changed_code(code, fewer, project), "nothing outside is read"


def test_what_changed_is_named_and_the_old_is_kept(project, tmp_path):
    code, model = tmp_path / "run" / "code", tmp_path / "robot.urdf"
    model.write_text("<robot/>")
    keep_code(code, files(project, model))
    assert (code / "tasks/mine/__init__.py").read_text() == "two"
    assert not (code / "tasks/mine/mesh.stl").exists(), "known by its hash only"
    assert changed_code(code, files(project, model)) == []
    (project / "tasks/mine/__init__.py").write_text("2")
    (project / "tasks/mine/mesh.stl").write_text("another")
    (project / "tasks/mine/robot.xml").unlink()
    (project / "tasks/mine/more.py").write_text("")
    model.write_text("<robot></robot>")
    changed = [
        f"{model.resolve().as_posix()} changed",
        "tasks/mine/__init__.py changed",
        "tasks/mine/mesh.stl changed",
        "tasks/mine/more.py is new",
        "tasks/mine/robot.xml is gone",
    ]
    assert changed_code(code, files(project, model)) == changed
    assert all(each.endswith("is gone") for each in changed_code(code, {}))
    keep_code(code, files(project, model))
    assert changed_code(code, files(project, model)) == []
    old = code.with_name("code-1")
    assert (old / "tasks/mine/__init__.py").read_text() == "two"
    keep_code(code, files(project, model))
    assert code.with_name("code-2").is_dir()


@pytest.mark.parametrize("text", [None, "", "[]", "[1]", "{", "null"])
def test_where_nothing_was_kept_nothing_changed(project, tmp_path, text):
    if text is not None:
        (tmp_path / HASHES).write_text(text)
    assert changed_code(tmp_path, files(project)) == []


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run in the current folder, trained with a model outside of it."""
    here = tmp_path / "here"
    (here / "run").mkdir(parents=True)
    monkeypatch.chdir(here)
    (tmp_path / "robot.xml").write_text("<mujoco/>")
    keep_code(here / "run" / "code", own_files(None, (), (), [tmp_path / "robot.xml"]))
    return here / "run"


def test_a_model_that_the_run_was_trained_with_is_its_own(run, tmp_path):
    task = TaskConfig(model=str(tmp_path / "robot.xml"))
    refuse_foreign_model(task, run)
    (tmp_path / "robot.xml").write_text("<mujoco></mujoco>")
    with pytest.raises(UserError, match=f"type task.model={tmp_path / 'robot.xml'}"):
        refuse_foreign_model(task, run)


@pytest.mark.parametrize("model", ["{}/other.xml", "../../other.xml", "../../../other.xml"])
def test_a_model_elsewhere_is_not_opened(run, tmp_path, model):
    (tmp_path / "other.xml").write_text("<mujoco/>")
    (run.parent / "tasks" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match=r"other\.xml lies outside"):
        refuse_foreign_model(TaskConfig(name="mine", model=model.format(tmp_path)), run)


def test_a_model_inside_the_run_is_not_opened_though_it_has_its_hash(run):
    (run / "evil.xml").write_text("<mujoco/>")
    keep_code(run / "code", own_files(None, (), (), [run / "evil.xml"]))
    with pytest.raises(UserError, match=r"evil\.xml"):
        refuse_foreign_model(TaskConfig(model=str(run / "evil.xml")), run)


@pytest.mark.parametrize("model", ["", "robot.xml", "{}/here/mine.xml", "{}/nowhere.xml"])
def test_models_of_the_users_own_folder_are(run, tmp_path, model):
    (run.parent / "mine.xml").write_text("<mujoco/>")
    refuse_foreign_model(TaskConfig(model=model.format(tmp_path)), run)


@pytest.mark.parametrize(
    ("path", "typed", "refused"),
    [
        ("motion.npz", (), False),
        ("tasks/mine/motion.npz", (), False),
        ("../motion.npz", (), True),
        ("{elsewhere}/motion.npz", (), True),
        ("{elsewhere}/motion.npz", ("resets.x.path",), False),
        ("link/motion.npz", (), True),
    ],
)
def test_a_file_that_a_saved_config_names_lies_in_the_project(
    project, monkeypatch, path, typed, refused
):
    monkeypatch.chdir(project)
    elsewhere = project.parent / f"{project.name}-elsewhere"
    elsewhere.mkdir()
    (project / "link").symlink_to(elsewhere)
    term = {"type": "motion_state", "path": path.format(elsewhere=elsewhere)}
    config = dataclasses.replace(tiny_cartpole(), resets={"x": term})
    with pytest.raises(UserError, match=r"type resets\.x\.path=") if refused else nullcontext():
        refuse_foreign_files(config, project / "run", typed)


def test_a_file_from_elsewhere_that_a_run_was_trained_with_is_known(project, monkeypatch):
    monkeypatch.chdir(project)
    file = project.parent / f"{project.name}-motion.npz"
    file.write_bytes(b"frames")
    term = {"type": "motion_state", "path": str(file)}
    config = dataclasses.replace(tiny_cartpole(), resets={"x": term})
    (project / "run" / "code").mkdir(parents=True)
    kept = project / "run" / "code" / HASHES
    kept.write_text(json.dumps({file.resolve().as_posix(): hash_file(file)}))
    refuse_foreign_files(config, project / "run", ())
    file.write_bytes(b"others")
    with pytest.raises(UserError, match="no longer"):
        refuse_foreign_files(config, project / "run", ())
