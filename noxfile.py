"""Every check of the project, one command each: `nox` runs the tests, `nox -l` lists the rest.

Each session installs with the exact versions in constraints/ that fit its Python. `nox -P 3.13 -s
tests` runs the tests on another Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent


def constraints(session: nox.Session) -> Path:
    """The file of exact versions for the session's Python."""
    version = session.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    path = ROOT / "constraints" / f"py{version}.txt"
    if not path.is_file():
        tested = sorted(file.stem[2:] for file in path.parent.glob("py*.txt"))
        session.error(f"no {path.name} in constraints/: tested are Python {', '.join(tested)}")
    return path


def install(session: nox.Session, *packages: str) -> None:
    """Installs packages at the versions the project is tested with."""
    session.install("--constraint", str(constraints(session)), *packages)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, on all cores; arguments after `--` go to pytest, as in `nox -- -m "not slow"`."""
    install(session, "--editable", ".[dev,tensorboard,warp]")
    # All workers share what they compile, and keep it from one run to the next.
    cache = ROOT / ".nox" / "jax-cache"
    env = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    arguments = ["--numprocesses=auto", "--dist=worksteal", *session.posargs]
    session.run("python", "-m", "pytest", *arguments, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint; `nox -s lint -- --fix` mends what can be mended."""
    install(session, "ruff")
    fix = "--fix" in session.posargs
    session.run("ruff", "format", *([] if fix else ["--check", "--diff"]), ".")
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types of the package."""
    install(session, "--editable", ".[dev,tensorboard]")
    session.run("pyright", *session.posargs)


@nox.session
def compatibility(session: nox.Session) -> None:
    """Models that other packages publish, against native MuJoCo; writes docs/compatibility.md."""
    install(session, "--editable", ".")
    packages = str(ROOT / "constraints" / "compatibility.txt")
    session.install("--no-deps", "--requirement", packages)
    arguments = session.posargs or ["--report", "docs/compatibility.md"]
    session.run("python", "-m", "tests.compatibility", *arguments)


@nox.session
def faults(session: nox.Session) -> None:
    """Kills and signals at random moments, random damage; `nox -s faults -- --kills 20`: fewer."""
    install(session, "--editable", ".[dev]")
    cache = ROOT / ".nox" / "jax-cache"
    arguments = ["-m", "tests.faults", *session.posargs]
    session.run("python", *arguments, env={"JAX_COMPILATION_CACHE_DIR": str(cache)})


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist: each is built, installed alone and tried from another folder."""
    install(session, "build", "hatchling")
    dist = Path(session.create_tmp()) / "dist"
    for old in dist.glob("ksim-*"):
        old.unlink()
    # The wheel is made from the sdist, so that a file missing from the sdist is noticed.
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), str(ROOT))
    for archive in (*dist.glob("ksim-*.whl"), *dist.glob("ksim-*.tar.gz")):
        smoke(session, archive)


def smoke(session: nox.Session, archive: Path) -> None:
    """Installs one archive in an environment of its own and trains two iterations there."""
    kind = archive.suffix.lstrip(".")
    folder = Path(session.create_tmp()).resolve() / f"smoke-{kind}"
    session.run("python", "-c", f"import shutil; shutil.rmtree({str(folder)!r}, True)", silent=True)
    folder.mkdir(parents=True)
    session.run("python", "-m", "venv", str(folder / "venv"))
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python, ksim = str(scripts / "python"), str(scripts / "ksim")
    pinned = ["--constraint", str(constraints(session)), str(archive.resolve())]
    session.run(python, "-m", "pip", "install", "--quiet", *pinned, external=True)
    tiny = ["task=cartpole", "seed=0", "num_iterations=2", "num_envs=8", "batch_size=4"]
    commands = (
        [ksim, "--help"],
        [ksim, "list"],
        [ksim, "train", *tiny],
        [ksim, "eval", "num_episodes=2"],
    )
    with session.chdir(folder):
        for command in commands:
            session.run(*command, external=True)
