import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ksim_cli.errors import UserError
from ksim_cli.io import checkpoint_files as files
from ksim_cli.io.checkpoint_files import DamagedError, Leaf, Manifest

ARRAYS = {
    "policy/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "%2E%2E": np.full((2, 2), 0.1),
    "keys": np.arange(4, dtype=np.uint32).reshape(2, 2),
    "empty": np.zeros((0, 7)),
    "flag": np.array(True),
}
LEAVES = {
    path: Leaf(array.shape, array.dtype.name, "key<threefry2x32>" if path == "keys" else "numpy")
    for path, array in ARRAYS.items()
}


def commit(folder: Path, step: int) -> Path:
    info = {"iteration": step, "name": "é", "rate": 0.1}
    manifest = Manifest(step, files.package_versions(), info, {}, LEAVES)
    files.write_step(folder, manifest, ARRAYS)
    return files.step_folders(folder)[step]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return commit(tmp_path, 7)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def forge(folder: Path, change: dict) -> None:
    """Change a manifest and give it the right hash."""
    body = json.loads((folder / "manifest.json").read_text()) | change
    del body["digest"]
    (folder / "manifest.json").write_text(files._seal(body))


def forge_hashes(folder: Path) -> None:
    """Make the manifest vouch for the files as they are."""
    forge(folder, {"files": {name: files._hash_file(folder / name) for name in files.FILES}})


def test_a_step_is_two_files_and_a_manifest(stored: Path):
    assert names(stored) == ["manifest.json", "policy.safetensors", "state.safetensors"]
    assert names(stored.parent) == ["00000007"]
    manifest = files.read_manifest(stored)
    assert manifest.info == {"iteration": 7, "name": "é", "rate": 0.1}
    assert {"ksim", "jax", "mujoco", "safetensors", "numpy"} <= manifest.versions.keys()
    assert {path: replace(leaf, file="") for path, leaf in manifest.tree.items()} == LEAVES
    policy = [path for path, leaf in manifest.tree.items() if leaf.file == files.POLICY_FILE]
    assert policy == ["policy/w"]
    body = json.loads((stored / "manifest.json").read_text())
    assert body["tree"]["keys"] == {
        "file": "state.safetensors",
        "shape": [2, 2],
        "dtype": "uint32",
        "kind": "key<threefry2x32>",
    }
    files.check_step(stored)


def test_arrays_round_trip_whole_and_in_part(stored: Path):
    manifest = files.read_manifest(stored)
    for paths in (list(ARRAYS), ["policy/w"], ["%2E%2E", "flag"], []):
        back = files.read_arrays(stored, manifest, paths)
        assert sorted(back) == sorted(paths)
        for path in paths:
            want = ARRAYS[path]
            assert back[path].tobytes() == want.tobytes()
            assert (back[path].dtype, back[path].shape) == (want.dtype, want.shape)
            assert back[path].flags.writeable


def test_no_leaf_at_all(tmp_path: Path):
    files.write_step(tmp_path, Manifest(3, {}, {}, {}, {}), {})
    files.check_step(tmp_path / "00000003")
    assert files.read_manifest(tmp_path / "00000003").tree == {}


def test_steps_are_read_from_names(tmp_path: Path):
    assert files.step_folders(tmp_path / "none") == {}
    for name in ("00000003", "123456789", "3", "best", ".00000004.0a.ksim-tmp", "00000006-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "00000005").mkdir()
    (tmp_path / "00000006").mkdir()
    (tmp_path / "00000008.json").touch()
    assert files.committed_steps(tmp_path) == [3, 6, 123456789]
    assert [*files.step_folders(tmp_path)] == [3, 5, 6, 123456789]
    assert files.step_folders(tmp_path)[6] == tmp_path / "00000006-1"


def test_a_folder_without_a_manifest_never_counts_more_than_one_with(tmp_path: Path):
    folder = commit(tmp_path, 5)
    (tmp_path / "00000005-3").mkdir()
    assert files.step_folders(tmp_path)[5] == folder
    assert commit(tmp_path, 5).name == "00000005-4"


def test_saving_anew_overwrites_nothing(tmp_path: Path):
    assert commit(tmp_path, 5).name == "00000005"
    assert commit(tmp_path, 5).name == "00000005-1"
    (tmp_path / "00000005-9").touch()
    assert commit(tmp_path, 5).name == "00000005-10"
    for name in ("00000005", "00000005-1", "00000005-10"):
        files.check_step(tmp_path / name)


def test_checkpoints_of_an_earlier_version_are_recognised(tmp_path: Path):
    (tmp_path / "00000006").mkdir()
    (tmp_path / "00000006.json").write_text('{"schema": 1}')
    for look in (files.step_folders, files.committed_steps):
        with pytest.raises(UserError, match="of an earlier version of ksim") as caught:
            look(tmp_path)
        assert str(tmp_path) in str(caught.value)
    (tmp_path / "00000006.json").unlink()
    (tmp_path / "00000006.json").mkdir()  # a folder is no manifest of any version
    assert files.committed_steps(tmp_path) == []


def test_leftovers_go_and_strangers_stay(tmp_path: Path):
    for step in (1, 2, 2):
        commit(tmp_path, step)
    (commit(tmp_path, 3) / "manifest.json").write_text("damaged")
    for name in ("00000009", "best"):
        (tmp_path / name).mkdir()
    for name in ("notes.txt", ".hidden", "00000011"):
        (tmp_path / name).touch()
    stay = {*names(tmp_path)} - {"00000002"}  # replaced
    for name in (".00000004.01234567.ksim-tmp", ".00000005-1.89abcdef.ksim-tmp"):
        (tmp_path / name / "d").mkdir(parents=True)
    files.remove_others(tmp_path, files.committed_steps(tmp_path))
    assert {*names(tmp_path)} == stay
    files.remove_others(tmp_path / "none", [])


def test_only_the_steps_named_are_kept(tmp_path: Path):
    for step in (1, 2, 4, 5, 8):
        commit(tmp_path, step)
    files.remove_others(tmp_path, [2, 5])
    assert names(tmp_path) == ["00000002", "00000005"]


@pytest.mark.parametrize("failing", ["safetensors.numpy.save_file", "os.rename", "sync"])
def test_a_failed_attempt_leaves_nothing(tmp_path: Path, monkeypatch, failing: str):
    commit(tmp_path, 1)

    def fail(*given: object, **named: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(failing if "." in failing else f"{files.__name__}.{failing}", fail)
    with pytest.raises(OSError, match="no space left"):
        commit(tmp_path, 2)
    assert names(tmp_path) == ["00000001"]


def test_every_file_and_its_folder_are_synced_before_the_rename(tmp_path: Path, monkeypatch):
    events: list[str] = []
    sync, rename = files.sync, os.rename

    def synced(path: Path) -> None:
        events.append(path.name)
        sync(path)

    def renamed(old: Path, new: Path) -> None:
        if Path(old).parent == tmp_path:
            assert {*events} == {*files.FILES, "manifest.json", Path(old).name}
            events.clear()
        rename(old, new)

    monkeypatch.setattr(files, "sync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    commit(tmp_path, 1)
    assert events == [tmp_path.name]


def test_every_flipped_bit_of_the_manifest_is_found(stored: Path):
    path = stored / "manifest.json"
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        with pytest.raises(DamagedError):
            files.read_manifest(stored)


@pytest.mark.parametrize("name", files.FILES)
def test_every_flipped_byte_of_an_array_file_is_found(stored: Path, name: str):
    manifest = files.read_manifest(stored)
    path = stored / name
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        with pytest.raises(DamagedError, match=name):
            files.check_file(stored, name, manifest)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", '{"format": "2"}', '{"format": 2}', "[" * 100_000]
)
def test_what_is_no_manifest(stored: Path, text: str):
    (stored / "manifest.json").write_text(text)
    with pytest.raises(DamagedError, match=r"manifest\.json is damaged") as caught:
        files.read_manifest(stored)
    assert len(str(caught.value)) < 400


def test_a_newer_format_names_the_version_to_install(stored: Path):
    body = json.loads((stored / "manifest.json").read_text())
    body |= {"format": files.FORMAT + 1, "versions": {"ksim": "9.1.0"}}
    (stored / "manifest.json").write_text(json.dumps(body))
    with pytest.raises(DamagedError, match=r"install ksim 9\.1\.0"):
        files.read_manifest(stored)


LEAF = {"file": "state.safetensors", "shape": [1], "dtype": "float32", "kind": "numpy"}


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../secret": "0"}},
        {"files": {"/etc/passwd": "0"}},
        {"files": {"policy.safetensors": "0"}},
        {"files": {"policy.safetensors": "0", "state.safetensors": "0", "a//b": "0"}},
        {"files": 7},
        {"step": 8},
        {"step": None},
        {"step": "00000007"},
        {"info": None},
        {"stranger": 1},
        {"tree": {"a": {"shape": [1]}}},
        {"tree": {"a": LEAF | {"file": "../00000007/state.safetensors"}}},
        {"tree": {"a": LEAF | {"file": ["state.safetensors"]}}},
        {"tree": {"a": LEAF | {"shape": 3}}},
        {"tree": []},
    ],
)
def test_a_forged_manifest_leads_nowhere(stored: Path, change: dict):
    forge(stored, change)
    with pytest.raises(DamagedError):
        files.read_manifest(stored)


@pytest.mark.parametrize(
    "leaf",
    [
        {"shape": [4]},
        {"shape": [2.5, 2]},
        {"shape": [[2, 2]]},
        {"shape": [-2, -2]},
        {"dtype": "float32"},
        {"dtype": "object"},
        {"dtype": ["float64"]},
        {"file": "policy.safetensors"},
    ],
)
def test_a_manifest_that_says_other_than_the_header_is_refused(stored: Path, leaf: dict):
    tree = json.loads((stored / "manifest.json").read_text())["tree"]
    forge(stored, {"tree": tree | {"%2E%2E": tree["%2E%2E"] | leaf}})
    with pytest.raises(DamagedError, match=r"does not hold what the manifest says of %2E%2E"):
        files.check_step(stored)


HUGE = [50_000, 50_000]  # 10 GB of float32


@pytest.mark.parametrize(
    "offsets",
    [(0, 10**10), (0, 4), (0, 0)],
    ids=["beyond the file", "fewer bytes than the shape needs", "no bytes"],
)
def test_arrays_of_ten_gigabytes_in_a_small_file_are_refused(stored: Path, offsets: tuple):
    """The manifest, the header and all hashes agree; only the file's size does not."""
    header = {"policy/w": {"dtype": "F32", "shape": HUGE, "data_offsets": [*offsets]}}
    text = json.dumps(header).encode()
    path = stored / "policy.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"0000")
    tree = json.loads((stored / "manifest.json").read_text())["tree"]
    forge(stored, {"tree": tree | {"policy/w": tree["policy/w"] | {"shape": HUGE}}})
    forge_hashes(stored)
    manifest = files.read_manifest(stored)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"policy\.safetensors is damaged"):
            files.read_arrays(stored, manifest, ["policy/w"])
        with pytest.raises(DamagedError, match=r"policy\.safetensors is damaged"):
            files.check_step(stored)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_header_that_claims_a_length_of_ten_gigabytes_is_refused(stored: Path):
    path = stored / "state.safetensors"
    path.write_bytes((10**10).to_bytes(8, "little") + path.read_bytes()[8:])
    forge_hashes(stored)
    with pytest.raises(DamagedError, match=r"state\.safetensors is damaged.*header too large"):
        files.check_step(stored)


def test_a_manifest_of_ten_gigabytes_is_not_read(stored: Path):
    os.truncate(stored / "manifest.json", 10**10)  # sparse: it takes no space
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"manifest\.json is damaged"):
            files.read_manifest(stored)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["manifest.json", *files.FILES])
@pytest.mark.parametrize(
    "kind", ["flip", "cut", "empty", "delete", "link", "loose link", "folder", "pipe"]
)
def test_changed_files_are_found(stored: Path, name: str, kind: str):
    path, aside = stored / name, stored.parent / "aside"
    content = path.read_bytes()
    if kind == "flip":
        path.write_bytes(content[:-4] + bytes([content[-4] ^ 4]) + content[-3:])
    elif kind in ("cut", "empty"):
        path.write_bytes(content[:-1] if kind == "cut" else b"")
    else:
        path.rename(aside)
    if kind in ("link", "loose link"):
        path.symlink_to(aside if kind == "link" else stored / "nowhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(DamagedError, match=name):
        files.check_step(stored)


def test_the_folder_gone_or_a_file(stored: Path):
    stored.rename(stored.parent / "other")
    with pytest.raises(DamagedError, match=r"00000007/manifest\.json is missing"):
        files.check_step(stored)
    stored.touch()
    with pytest.raises(DamagedError, match=r"00000007/manifest\.json is missing"):
        files.check_step(stored)


def test_a_step_that_is_a_link_is_not_read(stored: Path):
    link = stored.with_name("00000008")
    stored.rename(stored.parent / "aside")
    link.symlink_to(stored.parent / "aside")
    with pytest.raises(DamagedError, match="folder 00000008 is a link"):
        files.check_step(link)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_strangers_in_the_folder_are_found(stored: Path, kind: str):
    path = stored / "other.safetensors"
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(stored / "manifest.json")
    with pytest.raises(DamagedError, match=r"other\.safetensors does not belong there"):
        files.check_step(stored)


def test_hidden_files_of_a_desktop_do_no_harm(stored: Path):
    (stored / ".DS_Store").touch()
    files.check_step(stored)
