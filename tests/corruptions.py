"""Random damage to stored checkpoints; whether all of it is found, and the right step is taken."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ksim_cli.io.checkpoint_files import FILES, MANIFEST
from ksim_cli.io.checkpoints import CheckpointReadError, CheckpointStore

STEPS = (3, 5, 8)
NAMES = (MANIFEST, *FILES)
Random = random.Random


def tree(step: int) -> dict[str, Any]:
    """What is saved as a step; no two have an array in common."""
    values = np.random.default_rng(step).standard_normal((16, 8)).astype(np.float32)
    return {"policy": {"w": values}, "state": values.T + step, "count": step}


def make_store(folder: Path) -> None:
    """Save the steps."""
    store = CheckpointStore(folder)
    for step in STEPS:
        store.save(step, tree(step), {"iteration": step})
        store.wait()


def _flip(path: Path, rng: Random) -> None:
    data = bytearray(path.read_bytes())
    for bit in rng.sample(range(8 * len(data)), rng.choice((1, 1, 1, 2, 64))):
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def _cut(path: Path, rng: Random) -> None:
    os.truncate(path, rng.choice((0, rng.randrange(path.stat().st_size))))


def _grow(path: Path, rng: Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice((1, 4096))))


def _blank(path: Path, rng: Random) -> None:
    """Zeros in place of a block, as a disk leaves them after a power cut."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    path.write_bytes(data)


def _delete(path: Path, rng: Random) -> None:
    path.unlink()


def _folder(path: Path, rng: Random) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path, rng: Random) -> None:
    aside = path.parent.parent / f"aside-{path.name}"
    path.rename(aside)
    path.symlink_to(aside)


def _stray(path: Path, rng: Random) -> None:
    path.with_name(rng.choice(("x", "policy.pkl", "state.npz", "1.safetensors"))).touch()


def _swap(one: Path, other: Path) -> None:
    aside = one.with_name(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _swap_inside(path: Path, rng: Random) -> None:
    _swap(path, path.with_name(rng.choice([name for name in NAMES if name != path.name])))


DAMAGES: dict[str, Callable[[Path, Random], None]] = {
    each.__name__.strip("_"): each
    for each in (_flip, _cut, _grow, _blank, _delete, _folder, _link, _stray, _swap_inside)
}
"""Ways to damage one file of a step."""


def damage(folder: Path, rng: Random) -> dict[int, str]:
    """Damage some of the steps in a folder; each damaged one, and what was done to it."""
    if rng.random() < 0.2:
        one, other = rng.sample(STEPS, 2)
        name = rng.choice(("", *NAMES))
        _swap(folder / f"{one:08d}" / name, folder / f"{other:08d}" / name)
        return dict.fromkeys((one, other), f"swap of {name or 'the folders'}")
    done = {}
    for step in rng.sample(STEPS, rng.choice((1, 1, 2, 3))):
        kind, name = rng.choice([*DAMAGES]), rng.choice(NAMES)
        DAMAGES[kind](folder / f"{step:08d}" / name, rng)
        done[step] = f"{kind} of {name}"
    return done


def overlooked(folder: Path, damaged: dict[int, str]) -> str:
    """What a store does not notice of damage, or does wrong about it; empty: nothing."""
    said: list[str] = []
    store = CheckpointStore(folder)
    good = [step for step in STEPS if step not in damaged]
    newest = store.newest(said.append)
    if newest != max(good, default=None):
        return f"took step {newest}"
    for step in STEPS:
        if (store.verify(step) is None) != (step in good):
            return f"step {step} is called {store.verify(step) or 'good'}"
        try:
            found, info = store.restore(step, tree(0))
        except CheckpointReadError:
            found, info = None, {}
        if step in good and (found is None or info != {"iteration": step}):
            return f"step {step} cannot be read"
        if step in good and any(
            not np.array_equal(found[name], tree(step)[name]) for name in ("state", "count")
        ):
            return f"step {step} is read as something else"
    passed = sum(step > (newest or 0) for step in damaged)
    return "" if len(said) == passed else f"{passed} damaged steps, told: {said}"


def attempts(folder: Path, count: int, seed: int = 0) -> Iterator[tuple[dict[int, str], str]]:
    """Damage a store again and again.

    Args:
        folder: an empty folder.
        count: how many times.
        seed: of what is done.

    Yields:
        What was done to which step, and what was overlooked.
    """
    rng = Random(seed)
    make_store(folder / "whole")
    for i in range(count):
        store = folder / str(i)
        shutil.copytree(folder / "whole", store)
        damaged = damage(store, rng)
        yield damaged, overlooked(store, damaged)
        shutil.rmtree(store)
