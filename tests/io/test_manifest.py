import json
from pathlib import Path

import pytest

from ksim_cli.io import manifest as m


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, m.Manifest]:
    folder = tmp_path / "00000007"
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "data").write_bytes(bytes(range(100)))
    (folder / "_METADATA").write_text("{}")
    manifest = m.Manifest(
        step=7,
        folder=folder.name,
        versions=m.package_versions(),
        info={"iteration": 7, "name": "é", "rate": 0.1},
        tree={"a/b": m.Leaf((2, 3), "float32", "array"), "k": m.Leaf((), "key<fry>", "key", "t")},
        files=m.hash_files(folder),
    )
    path = tmp_path / "00000007.json"
    m.write_manifest(path, manifest)
    return path, manifest


def test_round_trip(stored: tuple[Path, m.Manifest]):
    path, manifest = stored
    assert m.read_manifest(path) == manifest
    assert set(manifest.files) == {"_METADATA", "d/data"}
    assert {"ksim", "jax", "mujoco", "orbax", "numpy"} <= manifest.versions.keys()
    m.check_files(path.with_suffix(""), manifest)


def test_every_flipped_bit_of_the_manifest_is_found(stored: tuple[Path, m.Manifest]):
    path, _ = stored
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        with pytest.raises(m.ManifestError):
            m.read_manifest(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": "1"}', '{"schema": 1}'])
def test_what_is_no_manifest(tmp_path: Path, text: str):
    path = tmp_path / "00000001.json"
    path.write_text(text)
    with pytest.raises(m.ManifestError):
        m.read_manifest(path)


def test_a_newer_format_names_the_version_to_install(stored: tuple[Path, m.Manifest]):
    path, _ = stored
    body = json.loads(path.read_text())
    body |= {"schema": 2, "versions": {"ksim": "9.1.0"}}
    path.write_text(json.dumps(body))
    with pytest.raises(m.ManifestError, match=r"install ksim 9\.1\.0"):
        m.read_manifest(path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../secret": "0"}},
        {"files": {"/etc/passwd": "0"}},
        {"files": {"a//b": "0"}},
        {"folder": "../00000007"},
        {"folder": 7},
        {"step": 8},
        {"step": None},
        {"info": None},
        {"tree": {"a": {"shape": [1]}}},
    ],
)
def test_a_forged_manifest_leads_nowhere(stored: tuple[Path, m.Manifest], change: dict):
    path, _ = stored
    body = json.loads(path.read_text()) | change
    del body["digest"]
    path.write_text(m._dump({**body, "digest": m._digest(body)}))
    with pytest.raises(m.ManifestError):
        m.read_manifest(path)


@pytest.mark.parametrize("kind", ["flip", "cut", "delete", "extra", "link", "folder"])
def test_changed_files_are_found(stored: tuple[Path, m.Manifest], kind: str):
    path, manifest = stored
    folder = path.with_suffix("")
    data = folder / "d" / "data"
    if kind == "flip":
        content = bytearray(data.read_bytes())
        content[50] ^= 4
        data.write_bytes(content)
    elif kind == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif kind == "delete":
        data.unlink()
    elif kind == "extra":
        (folder / "_sharding").touch()
    elif kind == "link":
        data.rename(path.parent / "moved")
        data.symlink_to(path.parent / "moved")
    else:
        folder.rename(path.parent / "other")
    with pytest.raises(m.ManifestError):
        m.check_files(folder, manifest)


def test_hidden_files_of_a_desktop_do_no_harm(stored: tuple[Path, m.Manifest]):
    path, manifest = stored
    (path.with_suffix("") / ".DS_Store").touch()
    m.check_files(path.with_suffix(""), manifest)
