"""Runs programs that print one line of JSON last, in turn, and tables of what they say."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Program:
    """A program to measure.

    Attributes:
        name: what the table calls it.
        command: what to run.
        rate: key of its JSON line that is compared.
        environment: variables beside those there are.
    """

    name: str
    command: Sequence[str]
    rate: str
    environment: Mapping[str, str] = field(default_factory=dict)


def ksim(*keys: str) -> list[str]:
    """The command `ksim bench` of this checkout."""
    return [sys.executable, "-m", "ksim_cli", "bench", *keys]


def peer(python: str, script: str, *arguments: str) -> list[str]:
    """A program of `benchmarks/peers`, by the interpreter of its environment."""
    return [python, str(ROOT / "benchmarks" / "peers" / script), *arguments]


def run(program: Program, seconds: float = 1800.0) -> dict[str, Any] | None:
    """What the program's last line says; None if it failed, which is said."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            program.command,
            env={**inherited, **program.environment},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        print(f"{program.name}: failed: {error.stderr.strip()[-2000:]}", file=sys.stderr)
    except subprocess.TimeoutExpired:
        print(f"{program.name}: not finished after {seconds:.0f} s", file=sys.stderr)
    return None


def in_turn(programs: Sequence[Program], repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Every program once, then every one again; name -> what its runs said."""
    said: dict[str, list[dict[str, Any]]] = {program.name: [] for program in programs}
    for _ in range(repeats):
        for program in programs:
            facts = run(program)
            if facts is not None:
                said[program.name].append(facts)
                print(f"{program.name}: {facts[program.rate]:,.0f}", file=sys.stderr, flush=True)
    return said


def median(said: Sequence[Mapping[str, Any]], key: str) -> float:
    """The median of a figure over the runs of a program; NaN if none succeeded."""
    values = [facts[key] for facts in said if facts.get(key) is not None]
    return statistics.median(values) if values else float("nan")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    head = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
