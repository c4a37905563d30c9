"""Runs the command line: in this process, or in one of its own where the process is the point."""

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pytest
from hydra.core.config_store import ConfigStore

from ksim_cli import registry
from ksim_cli.cli import main

ROOT = Path(__file__).parents[2]

LONG = (
    *("task=cartpole", "num_envs=8", "batch_size=4", "rollout_length_frames=8"),
    *("num_episodes=2", "max_env_steps=null", "engine=mujoco", "valid_pictures=false"),
)
"""A small run whose evaluations are 1000 steps long; for what must come amid one."""

TINY = (*LONG, "terminations.time_limit.max_length_seconds=0.5")
"""The smallest run; the tests of `run/` share what it compiles."""

TINY_MJX = (
    *("task=cartpole", "num_envs=64", "batch_size=16", "rollout_length_frames=8"),
    *("num_episodes=2", "max_env_steps=null", "engine=mjx", "integrator=euler"),
    "valid_pictures=false",
    "terminations.time_limit.max_length_seconds=0.5",
)
"""The same on the other engine, enough environments for four devices; 30 s of compiling."""

TINY_LIGHT = tuple("engine=light" if key == "engine=mjx" else key for key in TINY_MJX)
"""As `TINY_MJX`, in a folder where `take_light_engine` was; what is not about MJX takes this one."""


class Done(NamedTuple):
    """Exit status and output of a command; named as in `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def ksim(*arguments: str, cwd: Any, check: int | None = None) -> Done:
    """Run `ksim <arguments>` in a folder, in this process, which is afterwards as it was.

    It finds JAX imported and what other tests compiled, so it costs a tenth of `ksim_process`.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        undone(),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main(list(arguments))
        except SystemExit as left:
            status = left.code
    done = Done(int(status or 0), out.getvalue(), err.getvalue())
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def shell(command: str, cwd: Any, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """What a person types in a shell, redirections and pipes included."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def ksim_process(*arguments: str, cwd: Any, timeout: float = 300, check: int | None = None) -> Done:
    """Run `ksim <arguments>` in a folder, in a process of its own, as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "ksim_cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def take_light_engine(folder: Path) -> None:
    """Give a project the engine of `tests.light_engine`, with whatever its tasks are so far."""
    text = (ROOT / "tests" / "light_engine.py").read_text("utf-8")
    for name in ("tasks", "configs/engine"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "tasks" / "light_engine.py").write_text(text, "utf-8")
    with (folder / "tasks" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nimport tasks.light_engine\n")
    (folder / "configs" / "engine" / "light.yaml").write_text("type: light\n", "utf-8")


def ksim_on_devices(count: int, *commands: Sequence[str], cwd: Any) -> list[Done]:
    """Run commands one after the other in one process, where XLA makes `count` devices of a CPU."""
    program = (
        "import json, sys\n"
        "from tests.run.commands import ksim\n"
        "done = [ksim(*typed, cwd='.') for typed in json.loads(sys.argv[1])]\n"
        "print(json.dumps(done))\n"
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        cwd=cwd,
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    return [Done(*each) for each in json.loads(done.stdout.splitlines()[-1])]


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Put back what a command leaves in its process: JAX's configuration, a user's own task, …"""
    environment, configuration = dict(os.environ), dict(jax.config.values)
    root, hydra = logging.getLogger(), logging.getLogger("hydra")
    handlers, levels = root.handlers[:], (root.level, hydra.level)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        for name, value in configuration.items():
            if jax.config.values[name] != value:
                jax.config.update(name, value)
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        hydra.setLevel(levels[1])
        forget_user_tasks()


def forget_user_tasks() -> None:
    """Drop a user's `tasks` folder: its modules, the classes they registered, their options."""
    ConfigStore.instance().repo.pop("task", None)
    for name in [n for n in sys.modules if n == "tasks" or n.startswith("tasks.")]:
        del sys.modules[name]
    for each in vars(registry).values():
        if isinstance(each, registry.Registry):
            theirs = [
                n for n in each.names() if each.get(n, "").__module__.split(".")[0] == "tasks"
            ]
            for name in theirs:
                del each._entries[name]


def rewound(run: Path, copy: Path, step: int) -> None:
    """Copy a run as a process leaves it that is killed some time after it has saved a step."""
    shutil.copytree(run, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name) > step:
            shutil.rmtree(folder)
    (copy / "summary.json").unlink()


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def course(run: Path) -> list[dict[str, Any]]:
    """The rows of a run without what the clock says: those of two runs that went alike."""
    return [
        {k: v for k, v in row.items() if not k.endswith(("_seconds", "_per_second"))}
        for row in rows(run)
    ]


def check_bench(stdout: str) -> dict[str, Any]:
    """What `ksim bench` says is whole and consistent; returns its line of JSON."""
    assert "training, end to end" in stdout and "physics alone" in stdout
    facts = json.loads(stdout.splitlines()[-1])
    for name in ("raw", "rollout", "update", "training"):
        assert facts[f"{name}_steps_per_second"] > 0
    assert facts["physics_steps_per_second"] == pytest.approx(
        facts["raw_steps_per_second"] * facts["substeps"], rel=1e-3
    )
    assert facts["rounds"] >= 3 and facts["bytes_per_env"] > 0 and facts["compile_seconds"] > 0
    assert facts["versions"]["jax"] and facts["device"]
    return facts
