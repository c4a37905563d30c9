"""Kills and signals at random moments, random damage, bad numbers, disks, strangers' runs.

`python -m tests.faults --kills 100 --terms 20 --corruptions 200` prints tables; the tests use the
same functions.
"""

import argparse
import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from tests import canaries, corruptions, disks, injections
from tests.run.commands import TINY, course, ksim
from tests.stopped import Left, stop

ITERATIONS = 40

MOST_SECONDS = 30.0
"""s from a signal to the end, at most."""

RUN = (
    *TINY,
    *("save_every_n_steps=3", "save_every_n_seconds=null"),
    *("valid_every_n_steps=7", "valid_every_n_seconds=null"),
)
"""A short run that saves and evaluates all the time."""


def go_on(folder: Path) -> None:
    """Resume the run of a folder to its end, or start it again where it had not begun."""
    begun = (folder / "run" / "config.yaml").exists()
    if not begun:
        shutil.rmtree(folder / "run", ignore_errors=True)
    typed = ("resume=run",) if begun else (*RUN, f"num_iterations={ITERATIONS}", "run_dir=run")
    done = stop(folder, ("train", *typed), "\0")
    assert done.status == 0, done.output


def attempts(folder: Path, numbers: Sequence[int], seed: int = 0) -> Iterator[tuple[Left, bool]]:
    """Send a signal at random moments of a run, resume, and compare with a run left alone.

    Args:
        folder: an empty folder.
        numbers: the signal of each run.
        seed: of the moments.

    Yields:
        How each run ended, and whether its rows after resuming are those of the one left alone.
    """
    moments = random.Random(seed)
    alone = folder / "alone"
    alone.mkdir(parents=True)
    typed = ("train", *RUN, f"num_iterations={ITERATIONS}", "run_dir=run")
    start = time.monotonic()
    assert stop(alone, typed, "\0").status == 0
    whole = time.monotonic() - start
    for i, number in enumerate(numbers):
        place = folder / str(i)
        while True:
            place.mkdir()
            left = stop(place, typed, moments.uniform(0.2, whole), number)
            if left.sent and not (place / "run" / "summary.json").exists():
                break
            whole *= 0.8  # what was compiled is found, and the run was over: nothing could be lost
            shutil.rmtree(place)
        go_on(place)
        yield left, course(place / "run") == course(alone / "run")
        shutil.rmtree(place)


def main() -> int:
    """Prints a table; returns 1 if any run was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="`kill -9` at so many moments")
    parser.add_argument("--terms", type=int, default=20, help="SIGTERM at so many moments")
    parser.add_argument("--corruptions", type=int, default=200, help="damaged checkpoints")
    for name in PRINTED:
        parser.add_argument(f"--no-{name}", action="store_true", help="leave these out")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    print("| signal | sent | right status | longest until it left, s | rows as without it |")
    print("|---|---|---|---|---|", flush=True)
    wrong = 0
    for number, right, count in (
        (signal.SIGKILL, -signal.SIGKILL, given.kills),
        (signal.SIGTERM, 128 + signal.SIGTERM, given.terms),
    ):
        with tempfile.TemporaryDirectory() as folder:
            all_left = list(attempts(Path(folder), [number] * count, given.seed)) if count else []
        sent = [left for left, _ in all_left]
        # To a shell it is the same whether Python, not awake yet, was ended or has left by itself.
        good = sum(
            left.status in (right, -number) and left.seconds <= MOST_SECONDS for left in sent
        )
        same = sum(equal for _, equal in all_left)
        longest = max((left.seconds for left in sent), default=0.0)
        name = signal.Signals(number).name
        print(
            f"| {name} | {len(sent)} | {good} | {longest:.1f} | {same} of {len(all_left)} |",
            flush=True,
        )
        for left in sent:
            if left.status not in (right, -number):
                print(f"status {left.status}: {left.output[-500:]}", flush=True)
        wrong += len(sent) - good + len(all_left) - same
    if given.corruptions:
        wrong += print_corruptions(given.corruptions, given.seed)
    for name, print_them in PRINTED.items():
        if not getattr(given, f"no_{name}"):
            wrong += print_them()
    return int(wrong > 0)


def print_injections() -> int:
    """Prints how many bad numbers changed nothing for others, on both engines; the others' number."""
    wrong: list[str] = []
    print("\n| engine | injections | named, ended, others bitwise as without |\n|---|---|---|")
    for physics in ("mujoco", "mjx"):
        before, clean = len(wrong), injections.play_unspoilt(physics)
        cases = [*itertools.product(injections.KINDS, injections.VALUES)]
        for kind, value in cases:
            try:
                injections.inject(kind, value, clean, physics)
            except AssertionError as error:
                wrong.append(f"{physics}, {kind}={value}: {error}")
            jax.clear_caches()
        print(f"| {physics} | {len(cases)} | {len(cases) - len(wrong) + before} |", flush=True)
    print(*wrong, sep="\n")
    return len(wrong)


def print_disks() -> int:
    """Prints what came of disks that are full, read-only or gone; the number that was wrong."""
    if not disks.can_mount():
        print("\ndisks: left out, for mounting one takes root")
        return 0
    print("\n| disk | as it should be |\n|---|---|", flush=True)
    missed = 0
    for name, wrong in disks.attempts():
        print(f"| {name} | {wrong or 'yes'} |", flush=True)
        missed += bool(wrong)
    return missed


def print_strangers() -> int:
    """Prints how many commands about strangers' runs did no harm; the others' number."""
    print("\n| strangers' runs | commands | without harm |\n|---|---|---|", flush=True)
    harmed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good"
        ksim("train", *TINY, "num_iterations=2", f"run_dir={good}", cwd=folder, check=0)
        for kind, planted in canaries.KINDS.items():
            before, count = len(harmed), len(planted) * len(canaries.COMMANDS)
            for name, command in itertools.product(planted, canaries.COMMANDS):
                with tempfile.TemporaryDirectory() as home:
                    harm = canaries.attempt(Path(home), good, planted[name], command)
                if harm:
                    harmed.append(f"{name}, ksim {' '.join(canaries.COMMANDS[command])}: {harm}")
            kept = count - len(harmed) + before
            print(f"| {kind}: {len(planted)} | {count} | {kept} |", flush=True)
    print(*harmed, sep="\n")
    return len(harmed)


def print_corruptions(count: int, seed: int) -> int:
    """Prints how many damaged stores of checkpoints were seen through; the others' number."""
    with tempfile.TemporaryDirectory() as folder:
        missed = [
            (d, wrong) for d, wrong in corruptions.attempts(Path(folder), count, seed) if wrong
        ]
    print("\n| damaged stores of checkpoints | found, and the newest good step taken |\n|---|---|")
    print(f"| {count} | {count - len(missed)} |")
    for damaged, wrong in missed:
        print(f"{damaged}: {wrong}")
    return len(missed)


PRINTED = {
    "injections": print_injections,
    "disks": print_disks,
    "strangers": print_strangers,
}


if __name__ == "__main__":
    sys.exit(main())
