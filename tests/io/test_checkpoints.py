import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from ksim_cli.errors import UserError
from ksim_cli.io import checkpoint_files
from ksim_cli.io.checkpoints import CheckpointError, CheckpointReadError, CheckpointStore

KILLS = int(os.environ.get("KSIM_KILLS", "5"))
"""How many times the kill test kills; 100 for a night."""


class Carry(NamedTuple):
    level: jax.Array
    count: int


def bits(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """An array of random bits, so that NaN payloads, -0.0 and denormals are among them."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(size), dtype).reshape(shape)


def every_kind() -> dict:
    return {
        "policy": {"w": jnp.asarray(bits((7, 5), "float32")), "b": jnp.array([-0.0, jnp.nan])},
        "carry": Carry(jnp.asarray(0.25), 3),
        "half": jnp.asarray(bits((9,), "uint16").view(jnp.bfloat16)),
        "int8": jnp.arange(-3, 3, dtype=jnp.int8),
        "uint32": jnp.asarray(bits((3,), "uint32")),
        "flags": jnp.array([True, False]),
        "empty": jnp.zeros((4, 0)),
        "none": None,
        "keys": jax.random.split(jax.random.key(5), 3),
        "rbg": jax.random.key(7, impl="rbg"),
        "rows": bits((4, 6), "float64"),
        "numbers": bits((3,), "int64"),
        "scalar": np.float32(1.5),
        "empty_rows": np.zeros((0, 3)),
        "list": [1, -(2**63), 2.5, float("-inf"), True, -0.0],
    }


def same(one: object, other: object) -> None:
    """Assert that two trees are equal in structure, kind, type and every bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert isinstance(a, jax.Array) == isinstance(b, jax.Array)
        if not isinstance(a, jax.Array):
            assert type(a) is type(b)
        elif jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            assert a.dtype == b.dtype
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


TARGET = {"policy": jnp.zeros(3), "x": jnp.zeros(100, jnp.int32), "n": 0}


def filled(step: int) -> dict:
    return {"policy": jnp.full(3, step, float), "x": jnp.full(100, step), "n": step}


def saved(store: CheckpointStore, *steps: int) -> CheckpointStore:
    for step in steps:
        store.save(step, filled(step), {"iteration": step})
    store.wait()
    return store


def read(store: CheckpointStore, step: int) -> tuple[float, int, dict]:
    tree, info = store.restore(step, TARGET)
    assert len({*tree["x"].tolist(), *tree["policy"].tolist()}) == 1
    return int(tree["x"][0]), tree["n"], info


def test_every_kind_of_leaf_comes_back_bit_for_bit(store: CheckpointStore):
    tree = every_kind()
    info = {"iteration": 12, "env_steps": 2**40, "hash": "ab", "bad": float("nan")}
    store.save(12, tree, info)
    store.wait()
    again = CheckpointStore(store.folder)
    back, facts = again.restore(12, tree)
    same(back, tree)
    assert facts == info | {"bad": None}
    assert back["rows"].dtype == np.float64  # though jax itself is kept to 32 bits here


def test_a_tree_of_nothing_but_empty_leaves(store: CheckpointStore):
    tree = {"a": jnp.zeros((0, 3)), "b": ()}
    store.save(0, tree, {})
    store.wait()
    same(CheckpointStore(store.folder).restore(0, tree)[0], tree)


def test_restored_arrays_may_be_donated_and_written(store: CheckpointStore):
    tree = every_kind()
    store.save(1, tree, {})
    back, _ = store.restore(1, tree)
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    step(back["uint32"]).block_until_ready()
    back["rows"][:] = 0.0
    same(store.restore(1, tree)[0], tree)


def test_a_change_after_save_returns_is_not_saved(store: CheckpointStore, monkeypatch):
    go = threading.Event()
    write = checkpoint_files.write_step
    monkeypatch.setattr(checkpoint_files, "write_step", lambda *given: (go.wait(10), write(*given)))
    rows, info = np.zeros(3), {"iteration": 1}
    store.save(1, {"rows": rows}, info)
    rows[:] = 7.0
    info["iteration"] = 2
    go.set()
    store.wait()
    back, facts = store.restore(1, {"rows": rows})
    assert back["rows"].tolist() == [0.0, 0.0, 0.0]
    assert facts == {"iteration": 1}


def test_part_of_the_tree(store: CheckpointStore):
    tree = every_kind()
    store.save(3, tree, {})
    store.wait()
    same(store.restore_subtree(3, "policy", tree["policy"]), tree["policy"])
    same(store.restore_subtree(3, "carry", tree["carry"]), tree["carry"])
    same(store.restore_subtree(3, "rows", tree["rows"]), tree["rows"])
    same(store.restore_subtree(3, "policy/w", tree["policy"]["w"]), tree["policy"]["w"])
    with pytest.raises(CheckpointReadError, match=r"holds no 'polic'.*policy"):
        store.restore_subtree(3, "polic", tree["policy"])
    with pytest.raises(CheckpointReadError, match="w: stored, not asked for"):
        store.restore_subtree(3, "policy", {"b": tree["policy"]["b"]})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            TARGET | {"x": jnp.zeros(99, jnp.int32)},
            r"x: stored is int32\[100\], asked is int32\[99\]",
        ),
        (TARGET | {"x": jnp.zeros(100)}, r"x: stored is int32\[100\], asked is float32\[100\]"),
        ({"policy": TARGET["policy"], "x": TARGET["x"]}, "n: stored, not asked for"),
        (TARGET | {"m": 0}, "m: asked for, not stored"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_read(
    store: CheckpointStore, monkeypatch, target: dict, message: str
):
    saved(store, 4)
    monkeypatch.setattr(checkpoint_files, "safe_open", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(CheckpointReadError, match=message) as caught:
        store.restore(4, target)
    assert isinstance(caught.value, UserError)


def test_a_file_of_ten_gigabytes_that_is_not_asked_for_is_not_opened(store, monkeypatch):
    """It is there, and header, size and manifest agree: only the configuration does not."""
    saved(store, 4)
    folder = store.folder / "00000004"
    header = {"x": {"dtype": "I32", "shape": [2_500_000_000], "data_offsets": [0, 10**10]}}
    text = json.dumps(header).encode()
    (folder / "state.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(folder / "state.safetensors", 8 + len(text) + 10**10)  # sparse
    body = json.loads((folder / "manifest.json").read_text())
    del body["digest"], body["tree"]["n"]
    body["tree"]["x"]["shape"] = [2_500_000_000]
    (folder / "manifest.json").write_text(checkpoint_files._seal(body))
    for name in ("safe_open", "hash_file"):
        monkeypatch.setattr(checkpoint_files, name, lambda *_, **__: pytest.fail("was opened"))
    with pytest.raises(CheckpointReadError, match=r"x: stored is int32\[2500000000\], asked is"):
        store.restore(4, {name: TARGET[name] for name in ("policy", "x")})


def test_a_step_that_is_not_there(store: CheckpointStore):
    assert store.newest(pytest.fail) is None
    assert store.steps() == []
    saved(store, 4, 5)
    with pytest.raises(
        CheckpointReadError, match=r"00000006/manifest\.json is missing\. Stored: 4, 5"
    ):
        store.restore(6, {})


def all_files(store: CheckpointStore, step: int) -> list[Path]:
    folder = store.folder / f"{step:08d}"
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "damage", ["flip", "truncate", "empty", "delete", "folder", "link", "pipe"]
)
def test_damage_to_any_file_is_found_and_the_older_step_taken(store: CheckpointStore, damage: str):
    saved(store, 1, 2)
    paths = all_files(store, 2)
    assert [path.name for path in paths] == [
        "manifest.json",
        "policy.safetensors",
        "state.safetensors",
    ]
    rng = random.Random(0)
    for path in paths:
        good = path.read_bytes()
        for _ in range(16 if damage == "flip" else 1):
            if damage == "flip":
                bad = bytearray(good)
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
                path.write_bytes(bad)
            elif damage == "truncate":
                path.write_bytes(good[: rng.randrange(1, len(good))])
            elif damage == "empty":
                path.write_bytes(b"")
            else:
                path.rename(store.folder.parent / "aside")
            if damage == "folder":
                path.mkdir()
            elif damage == "link":
                path.symlink_to(store.folder.parent / "aside")
            elif damage == "pipe":
                os.mkfifo(path)
            reports: list[str] = []
            fresh = CheckpointStore(store.folder)
            assert fresh.newest(reports.append) == 1, path
            assert len(reports) == 1 and "checkpoint 2" in reports[0]
            assert path.name in reports[0]
            with pytest.raises(CheckpointReadError, match="cannot be used"):
                CheckpointStore(store.folder).restore(2, TARGET)
            if damage == "folder":
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
            path.write_bytes(good)
    assert CheckpointStore(store.folder).newest(pytest.fail) == 2
    assert read(store, 1) == (1, 1, {"iteration": 1})


def test_damage_after_it_was_found_good_is_seen_by_the_next_look(store: CheckpointStore):
    saved(store, 1, 2)
    assert store.newest(pytest.fail) == 2
    all_files(store, 2)[2].write_bytes(b"")
    assert store.newest(lambda text: None) == 1


def test_strange_names_are_no_steps(store: CheckpointStore):
    saved(store, 1, 2)
    (store.folder / "00000003").mkdir()
    (store.folder / "00000004").touch()
    (store.folder / "00000005.json").mkdir()
    (store.folder / "latest").mkdir()
    reports: list[str] = []
    assert store.newest(reports.append) == 2
    assert len(reports) == 2  # 3 and 4, which look like steps, each with its reason
    assert store.steps() == [1, 2]
    saved(store, 3)
    assert store.newest(lambda text: None) == 3
    assert read(store, 3)[0] == 3


def test_reading_changes_nothing(store: CheckpointStore):
    saved(store, 1, 2)
    (store.folder / ".00000003.01234567.ksim-tmp").mkdir()  # a save that is under way elsewhere
    before = sorted(path for path in store.folder.rglob("*"))
    CheckpointStore(store.folder).newest(pytest.fail)
    read(CheckpointStore(store.folder), 2)
    assert sorted(path for path in store.folder.rglob("*")) == before
    saved(CheckpointStore(store.folder), 4)
    assert not (store.folder / ".00000003.01234567.ksim-tmp").exists()


def test_retention_keeps_the_newest(store: CheckpointStore):
    saved(store, *range(6))
    assert store.steps() == [3, 4, 5]
    assert len(list(store.folder.iterdir())) == 3
    one = CheckpointStore(store.folder, keep=1)
    saved(one, 6)
    assert one.steps() == [6]
    with pytest.raises(ValueError, match="keep"):
        CheckpointStore(store.folder, keep=0)


def test_going_on_from_an_older_step_gives_up_the_later_ones(store: CheckpointStore):
    saved(store, 10, 20, 30)
    again = CheckpointStore(store.folder, keep=2)
    assert read(again, 10)[0] == 10
    saved(again, 15)
    assert again.steps() == [10, 15]


def test_saving_a_step_anew_replaces_it_without_a_gap(store: CheckpointStore, monkeypatch):
    saved(store, 7)
    seen: list[int | None] = []
    look(monkeypatch, lambda: seen.append(CheckpointStore(store.folder).newest(pytest.fail)))
    store.save(7, filled(70) | {"n": 7}, {})
    store.wait()
    monkeypatch.undo()
    assert len(seen) > 4 and set(seen) == {7}
    assert read(store, 7) == (70, 7, {})
    saved(store, 8)
    assert sorted(path.name for path in store.folder.iterdir()) == ["00000007-1", "00000008"]


def test_a_failed_save_is_reported_by_wait(store: CheckpointStore):
    saved(store, 1)
    store.folder.rename(store.folder.with_name("aside"))
    store.folder.write_text("in the way")
    store.save(2, {"x": jnp.zeros(2)}, {})
    with pytest.raises(
        CheckpointError, match=r"checkpoint 2 could not be saved.*bytes free"
    ) as caught:
        store.wait()
    assert str(store.folder) in str(caught.value)
    assert not isinstance(caught.value, UserError)
    store.wait()  # reported once
    store.folder.unlink()
    store.folder.with_name("aside").rename(store.folder)
    assert saved(store, 3).steps() == [1, 3]


def test_a_failed_save_is_reported_by_the_next_save_which_goes_on(
    store: CheckpointStore, monkeypatch
):
    saved(store, 1)
    written: list[int] = []

    def fill_the_disk(path: Path) -> None:
        written.append(len(list(path.parent.iterdir())))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "sync", fill_the_disk)
        store.save(2, filled(2), {})
        store._settle()
    assert written == [3]  # all was written, and none of it surely on the disk
    assert [path.name for path in store.folder.iterdir()] == ["00000001"]
    with pytest.raises(CheckpointError, match=r"checkpoint 2 .*No space left"):
        store.save(3, filled(3), {})
    store.wait()
    assert read(store, 3)[0] == 3
    assert store.steps() == [1, 3]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from ksim_cli.io.checkpoints import CheckpointError, CheckpointStore
store = CheckpointStore(Path(sys.argv[1]))
store.save(1, {"x": np.zeros(2)}, {})
store.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, -1))  # no file may grow beyond this
for step in (2, 3):
    store.save(step, {"x": np.random.default_rng(step).standard_normal(100_000)}, {})
    try:
        store.wait()
    except CheckpointError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
store.save(4, {"x": np.zeros(2)}, {})
store.wait()
"""


def test_a_disk_that_takes_no_more_costs_nothing_but_the_step(tmp_path: Path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(" could")[0] for line in lines] == ["checkpoint 2", "checkpoint 3"]
    assert all("File too large" in line and "bytes free" in line for line in lines)
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "00000004"]


def test_what_cannot_be_saved_is_said_at_once(store: CheckpointStore):
    with pytest.raises(CheckpointError, match="checkpoint 1 cannot be saved: a/0: str"):
        store.save(1, {"a": ["text"]}, {})
    with pytest.raises(CheckpointError, match="no JSON form"):
        store.save(1, {}, {"a": object()})
    with pytest.raises(ValueError, match="step"):
        store.save(-1, {}, {})
    assert not store.folder.exists()


def test_save_gives_control_back_before_the_files_are_written(store: CheckpointStore, monkeypatch):
    go = threading.Event()
    write = checkpoint_files.write_step
    monkeypatch.setattr(checkpoint_files, "write_step", lambda *given: (go.wait(10), write(*given)))
    store.save(1, {"x": jnp.zeros(3)}, {})
    assert store.steps() == []
    go.set()
    store.wait()
    assert store.steps() == [1]


SAVER = """
import os, sys
from pathlib import Path
import numpy as np
from ksim_cli.io.checkpoints import CheckpointStore
def save_without_pause():
    store = CheckpointStore(Path(sys.argv[1]), keep=2)
    step = (store.newest(lambda text: None) or 0) + 1
    while True:
        tree = {"policy": np.full(5000, step), "x": np.full((8, 5000), step), "n": step}
        store.save(step, tree, {"iteration": step})
        store.wait()
        print(step, flush=True)
        step += 1
for line in sys.stdin:  # each time a process, and imports once for all of them
    child = os.fork()
    if not child:
        print("process", os.getpid(), flush=True)
        save_without_pause()
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def kill_while_saving(saver: subprocess.Popen[str], folder: Path, rng: random.Random) -> None:
    """Start a process that saves without pause and kill it at a random moment after a commit."""
    assert saver.stdin is not None and saver.stdout is not None
    saver.stdin.write("start\n")
    saver.stdin.flush()
    _, child = saver.stdout.readline().split()
    line = saver.stdout.readline()  # the first commit of this process
    assert line.strip().isdigit()
    time.sleep(rng.uniform(0.0, 0.3))
    os.kill(int(child), signal.SIGKILL)
    printed = [line, *iter(saver.stdout.readline, f"status {-signal.SIGKILL}\n")]
    last = int([text for text in printed if text.strip().isdigit()][-1])
    reports: list[str] = []
    store = CheckpointStore(folder, keep=2)
    newest = store.newest(reports.append)
    assert newest is not None and newest >= last, reports
    target = {"policy": np.zeros(5000, np.int64), "x": np.zeros((8, 5000), np.int64), "n": 0}
    tree, info = store.restore(newest, target)
    assert (tree["x"] == newest).all() and (tree["policy"] == newest).all()
    assert (tree["n"], info) == (newest, {"iteration": newest})


@pytest.mark.slow
def test_kill_nine_at_random_moments_never_costs_a_checkpoint(tmp_path: Path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    rng, command = random.Random(seed), [sys.executable, "-c", SAVER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as saver:
        for _ in range(KILLS):
            kill_while_saving(saver, tmp_path, rng)
        assert saver.stdin is not None
        saver.stdin.close()
    store = CheckpointStore(tmp_path, keep=2)
    newest = store.newest(lambda text: None)
    assert newest is not None
    saved(store, newest + 1)
    assert read(store, newest + 1)[0] == newest + 1
    assert len(list(tmp_path.iterdir())) == 2  # two steps and nothing left of any killed save


def look(monkeypatch: pytest.MonkeyPatch, at_each: Callable[[], None]) -> None:
    """Call a function before and after each change of any folder."""

    def watch(name: str) -> None:
        inner = getattr(os, name)

        def watched(*given: object, **named: object) -> object:
            at_each()
            result = inner(*given, **named)
            at_each()
            return result

        monkeypatch.setattr(os, name, watched)

    for name in ("replace", "rename", "unlink", "rmdir", "mkdir"):
        watch(name)


def test_a_kill_between_any_two_changes_of_the_folder(tmp_path: Path, monkeypatch):
    """The order of commits and removals, checked at each of them and not by chance."""
    store = CheckpointStore(tmp_path / "c", keep=1)
    saved(store, 1)
    looks: list[int | None] = []
    look(
        monkeypatch,
        lambda: looks.append(CheckpointStore(store.folder).newest(lambda text: None)),
    )
    saved(store, 2)
    monkeypatch.undo()
    assert len(looks) > 10
    assert looks == sorted(looks, key=lambda step: step or 0)
    assert set(looks) == {1, 2}


def test_the_policy_is_read_without_the_state(store: CheckpointStore):
    saved(store, 4)
    state = store.folder / "00000004" / "state.safetensors"
    state.unlink()
    os.mkfifo(state)  # whoever opened it would wait for ever
    policy = store.restore_subtree(4, "policy", TARGET["policy"])
    assert policy.tolist() == [4.0, 4.0, 4.0]
    with pytest.raises(CheckpointReadError, match=r"state\.safetensors is missing, or no regular"):
        store.restore_subtree(4, "x", TARGET["x"])
    path = store.folder / "00000004" / "policy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointReadError, match=r"policy\.safetensors is damaged: its hash"):
        store.restore_subtree(4, "policy", TARGET["policy"])


def test_what_is_not_of_the_policy_is_in_the_other_file(store: CheckpointStore):
    store.save(1, {"policy": {"w": np.ones(2)}, "policy2": np.ones(3), "host": np.ones(4)}, {})
    store.wait()
    held = {
        name: {*load_file(store.folder / "00000001" / f"{name}.safetensors")}
        for name in ("policy", "state")
    }
    assert held == {"policy": {"policy/w"}, "state": {"policy2", "host"}}


def test_checkpoints_of_an_earlier_version_are_refused_in_one_sentence(store: CheckpointStore):
    old = store.folder / "00000006"
    (old / "d").mkdir(parents=True)
    (old / "_METADATA").write_text("{}")
    (store.folder / "00000006.json").write_text('{"schema": 1}')
    for use in (
        store.steps,
        lambda: store.newest(pytest.fail),
        lambda: store.verify(6),
        lambda: store.info(6),
        lambda: store.restore(6, {}),
        lambda: store.restore_subtree(6, "policy", {}),
    ):
        with pytest.raises(UserError, match="of an earlier version of ksim and cannot be read"):
            use()
